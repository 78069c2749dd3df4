//! Every kind of chart on one page, with made-up values: to see what they look like.
//!
//! `cargo run -p report --example gallery -- gallery.html` writes the page, a table as CSV to
//! standard output with `--csv`, and else a summary as text.

use std::{env, fs, io, process::ExitCode};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use report::{
    Axis, Bars, Cell, Column, Confidence, Estimate, Hue, Lines, Multiples, Page, Percentile,
    Sample, Series, Table, Verdict, terminal,
};

const C95: Confidence = Confidence::C95;

/// Uncertainties in milliseconds, as the experiment on commit-wait takes them.
const EPSILONS: [f64; 6] = [0.0, 0.1, 1.0, 4.0, 7.0, 20.0];

/// Topologies with the round trip to a quorum, in milliseconds.
const TOPOLOGIES: [(&str, f64); 3] =
    [("one region", 0.6), ("three regions", 31.0), ("five regions", 62.0)];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let table = waits();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--csv"] => table.write_csv(io::stdout()).expect("standard output takes it"),
        [path] => {
            let page = gallery(&table).render();
            if let Err(error) = fs::write(path, page) {
                eprintln!("cannot write {path}: {error}");
                return ExitCode::FAILURE;
            }
            print!("{}", summary(&table));
        }
        _ => {
            eprintln!("usage: gallery FILE.html | --csv");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// Waits around `center` with a tail, never below zero.
fn latencies(seed: u64, count: usize, center: f64, spread: f64) -> Sample {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut value = || {
        let bell: f64 = (0..6).map(|_| random.random::<f64>() - 0.5).sum::<f64>();
        let tail = -(1.0 - random.random::<f64>()).ln();
        (center + spread * (bell + 0.6 * tail)).max(center * 0.8)
    };
    Sample::new((0..count).map(|_| value())).expect("there are values")
}

/// The wait that replication does not hide.
fn exposed(epsilon: f64, quorum: f64) -> f64 {
    (2.0 * epsilon - quorum).max(0.0)
}

fn measured(epsilon: f64, quorum: f64) -> Sample {
    let seed = (epsilon * 10.0) as u64 * 100 + quorum as u64;
    latencies(seed, 400, quorum + exposed(epsilon, quorum) + 0.2, 0.05 * quorum + 0.3)
}

fn waits() -> Table {
    let mut table = Table::new([
        Column::text("topology"),
        Column::number("\u{3b5}").unit("ms"),
        Column::count("commits"),
        Column::estimate("mean").unit("ms"),
        Column::estimate("p99").unit("ms"),
        Column::number("theory").unit("ms"),
    ]);
    for (name, quorum) in TOPOLOGIES {
        for epsilon in [1.0, 7.0, 20.0] {
            let sample = measured(epsilon, quorum);
            table.row([
                name.into(),
                epsilon.into(),
                sample.count().into(),
                sample.estimate_mean(C95).into(),
                sample.estimate_percentile(Percentile::P99, C95).into(),
                (quorum + exposed(epsilon, quorum)).into(),
            ]);
        }
    }
    table.row([
        "five regions, cut off".into(),
        20.0.into(),
        0_usize.into(),
        Cell::Missing,
        Cell::Missing,
        Cell::Missing,
    ]);
    table
}

fn summary(table: &Table) -> String {
    let sample = measured(7.0, 0.6);
    let sawtooth: Vec<f64> = sawtooth().map(|(_, epsilon)| epsilon).collect();
    format!(
        "{}\n{}\n{}\n{}\n\u{3b5} over two minutes {} 1 to 7 ms\n",
        terminal::wrap(
            "Commit latency by clock uncertainty. All values are made up, to show charts."
        ),
        table.to_text(),
        terminal::describe(&sample, "ms"),
        terminal::histogram(&sample, "ms", 12),
        terminal::sparkline(&sawtooth),
    )
}

fn gallery(table: &Table) -> Page {
    let mut page = Page::new(
        "What commit-wait costs",
        "A gallery of every chart and table that an experiment can show. All values are made up.",
    );
    let (with, without) = (measured(7.0, 0.6), measured(0.0, 0.6));
    let difference = with.mean_minus(&without, C95);
    page.key_numbers(&[
        (&format!("{:.1} ms", with.mean()), "mean commit at \u{3b5} = 7 ms within one region"),
        ("14 ms", "wait that theory demands, 2\u{3b5}"),
        ("0 ms", "of it seen by clients across three regions"),
    ]);
    page.prose(
        "A commit is told to nobody before its timestamp is definitely past. The wait is **2\u{3b5}**, \
         and it begins when the timestamp is chosen, so replication hides as much of it as it takes \
         itself:\n\n- within a region almost nothing is hidden;\n- across regions nearly everything \
         is, until `2\u{3b5}` exceeds the round trip to a quorum.",
    );
    let verdict = match difference.verdict() {
        Verdict::Different => "so the wait is seen",
        Verdict::NotShownDifferent | Verdict::TooFewValues => "so nothing is shown",
    };
    page.note(&format!("\u{3b5} = 7 ms against 0 in one region, in ms: {difference}, {verdict}."));
    page.heading("Latency by uncertainty");
    page.chart(&by_epsilon(Axis::linear("commit latency, mean").unit("ms"), "Linear"));
    page.chart(&by_epsilon(Axis::log("commit latency, mean").unit("ms"), "Logarithmic"));
    page.table("The same in numbers, with 95% intervals", table);
    page.heading("What a commit is made of");
    page.chart(&stack());
    page.heading("Distributions");
    page.chart(&histograms());
    page.chart(&cumulative());
    page.heading("Beside the paper");
    page.chart(&beside_the_paper());
    page.heading("Over time");
    page.chart(&uncertainty_over_time());
    page.chart(&failover());
    page.chart(&throughput());
    page.heading("Again");
    page.command("cargo run -p report --example gallery -- gallery.html");
    page
}

fn by_epsilon(y: Axis, scale: &str) -> Lines {
    let title = format!("{scale}: the wait shows once 2\u{3b5} exceeds the quorum's round trip");
    let x = Axis::log("clock uncertainty \u{3b5}").unit("ms");
    let mut lines = Lines::new(title, x, y).caption(
        "400 commits each; bars are 95% intervals of the mean. Theory is quorum RTT + \
         max(0, 2\u{3b5} \u{2212} quorum RTT).",
    );
    for ((name, quorum), hue) in TOPOLOGIES.into_iter().zip(Hue::ALL) {
        let points =
            EPSILONS.map(|epsilon| (epsilon, measured(epsilon, quorum).estimate_mean(C95)));
        let curve = (0..=60).map(|step| 0.1 * 200f64.powf(f64::from(step) / 60.0));
        let curve = std::iter::once(0.0).chain(curve);
        let theory = curve.map(|epsilon| (epsilon, quorum + exposed(epsilon, quorum)));
        lines = lines
            .series(Series::measured(name, points).hue(hue))
            .series(Series::theory(format!("{name}, theory"), theory).hue(hue));
    }
    lines
}

fn stack() -> Bars {
    let parts =
        [("Paxos", Hue::Blue), ("hidden wait", Hue::Sky), ("exposed wait", Hue::Vermillion)];
    let axis = Axis::linear("commit latency, mean").unit("ms");
    let title = "Across regions replication hides the wait";
    let mut bars = Bars::stacked(title, axis, parts)
        .caption("Hidden wait runs while Paxos does; only the exposed part makes a commit slower.");
    for (name, quorum) in TOPOLOGIES {
        bars = bars.heading(name);
        for epsilon in [1.0, 7.0, 20.0] {
            let hidden = quorum.min(2.0 * epsilon);
            let parts = [quorum - hidden, hidden, exposed(epsilon, quorum)].map(Some);
            bars = bars.row(format!("\u{3b5} = {epsilon} ms"), parts);
        }
    }
    bars
}

fn histograms() -> Multiples {
    let axis = Axis::linear("commit latency").unit("ms");
    let title = "Commits gather just behind 2\u{3b5} within one region";
    let mut multiples = Multiples::histograms(title, axis).caption("400 commits in each panel.");
    for epsilon in EPSILONS {
        let sample = measured(epsilon, 0.6);
        multiples = multiples
            .panel(format!("\u{3b5} = {epsilon} ms"), [("commits", Hue::Blue, sample)])
            .mark(2.0 * epsilon, "2\u{3b5}");
    }
    multiples
}

fn cumulative() -> Multiples {
    let axis = Axis::log("commit latency").unit("ms");
    let mut multiples = Multiples::cumulative("Every percentile moves, not just the mean", axis);
    for (name, quorum) in TOPOLOGIES {
        multiples = multiples.panel(
            name,
            [
                ("with commit-wait", Hue::Vermillion, measured(20.0, quorum)),
                ("without", Hue::Blue, measured(0.0, quorum)),
            ],
        );
    }
    multiples
}

fn beside_the_paper() -> Bars {
    let paper = [17.0, 24.5, 31.5, 30.0, 35.5, 42.7, 71.4, 150.5];
    let participants = ["1", "2", "5", "10", "25", "50", "100", "200"];
    let axis = Axis::linear("commit latency, mean").unit("ms");
    let parts = [("Spanner, 2012", Hue::Grey), ("Meridian", Hue::Blue)];
    let mut bars = Bars::grouped("Two-phase commit by participants", axis, parts)
        .caption("The paper stops at 200. Whiskers are 95% intervals.");
    for (at, (paper, count)) in paper.into_iter().zip(participants).enumerate() {
        let ours = latencies(at as u64, 50, paper * 0.93, 2.0 + paper * 0.2).estimate_mean(C95);
        bars = bars.row(count, [Some(paper.into()), Some(ours)]);
    }
    bars.row("500", [None, Some(Estimate::exact(171.0))])
}

/// One poll each 30 s; in between clocks drift apart by 200 us/s.
fn sawtooth() -> impl Iterator<Item = (f64, f64)> {
    (0..=480)
        .map(|quarter| f64::from(quarter) / 4.0)
        .map(|second| (second, 1.0 + second % 30.0 * 0.2))
}

fn uncertainty_over_time() -> Lines {
    let (x, y) = (Axis::linear("time").unit("s"), Axis::linear("\u{3b5}").unit("ms"));
    let late = sawtooth().map(|(second, epsilon)| {
        (second, if second > 60.0 && second < 90.0 { epsilon + 6.0 } else { epsilon })
    });
    Lines::new("Uncertainty grows between polls", x, y)
        .height(200.0)
        .series(Series::trace("us-east", sawtooth()))
        .series(Series::trace("europe-west", late))
        .bound(4.0, "average")
        .event(60.0, "a time master is lost")
}

fn failover() -> Lines {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let mut run = |dip: f64, length: f64| {
        let mut done = 0.0;
        let points: Vec<(f64, f64)> = (0..=150)
            .map(|step| f64::from(step) / 10.0)
            .map(|second| {
                let since = second - 5.0;
                let rate = if (0.0..length).contains(&since) { dip } else { 1.0 };
                done += rate * (95.0 + 10.0 * random.random::<f64>());
                (second, done / 1e3)
            })
            .collect();
        points
    };
    let (x, y) = (Axis::linear("time").unit("s"), Axis::linear("reads so far").unit("thousand"));
    Lines::new("A leader killed hard is missed for its lease", x, y)
        .series(Series::trace("non-leader", run(1.0, 0.0)))
        .series(Series::trace("leader, soft", run(0.6, 1.0)))
        .series(Series::trace("leader, hard", run(0.0, 9.0)))
        .event(5.0, "the kill")
        .event(14.0, "the lease is over")
}

fn throughput() -> Lines {
    let (x, y) = (Axis::linear("clients"), Axis::linear("throughput").unit("1/s"));
    let of = |most: f64, seed: u64| {
        (1..=24).map(move |step| {
            let clients = f64::from(step) * 8.0;
            let mean = most * (1.0 - (-clients / 60.0).exp());
            (clients, latencies(seed + step as u64, 12, mean, mean * 0.12).estimate_mean(C95))
        })
    };
    let mut lines = Lines::new("Throughput by number of clients", x, y)
        .caption("Bands are 95% intervals of the mean over 12 runs.");
    for (at, region) in ["us-east", "us-west", "europe-west", "tokyo", "sydney"].iter().enumerate()
    {
        let most = 9_000.0 - 350.0 * at as f64;
        lines = lines.series(Series::measured(*region, of(most, at as u64 * 100)).banded());
    }
    lines.series(Series::theory("one core's limit", [(8.0, 10_000.0), (192.0, 10_000.0)])).series(
        Series::steps(
            "admitted at once",
            (1..=24).map(|at| (f64::from(at) * 8.0, f64::from(at / 6) * 1_000.0)),
        ),
    )
}
