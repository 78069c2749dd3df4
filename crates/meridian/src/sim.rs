//! `meridian sim`: a cluster in virtual time, from one seed or from many.
//!
//! ```text
//!   --seed 7            one run: its story, its history, its verdict
//!   --seeds 1..1000     a campaign: a line per seed, and for each failure the command that replays it
//! ```
//!
//! Exit codes: 0, all held; 1, a violation, or a cluster that made no progress; 2, unusable input; 3,
//! nothing is wrong, but some history could not be judged wholly.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::IsTerminal,
    ops::RangeInclusive,
    path::PathBuf,
    str::FromStr,
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use checker::Outcome;
use serde_json::{Value as Json, json};
use sim_regions::{
    Topology,
    sim::{
        self, Progress,
        faults::FaultKinds,
        judge::{Judgement, judge},
        mode::Mode,
        scenario::Scenario,
        workload::Workload,
    },
};

use timer::Tick;

use crate::{Ending, demo::parse_duration, out};

/// Threads of a campaign, at most.
const JOBS_MAX: u32 = 256;

/// Seeds of a campaign, at most.
const SEEDS_MAX: u64 = 1_000_000;

/// `meridian sim`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Run this one seed. The default is 1.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Run these seeds, first..last.
    #[arg(long, value_name = "A..B")]
    seeds: Option<Seeds>,
    /// Seeds at work at once, each on a thread of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(JOBS_MAX)))]
    jobs: u32,
    /// A scenario: topology, workloads, faults and mode, in a TOML file, or the
    /// name of a shipped one. Options given beside it replace what it says.
    #[arg(long, value_name = "FILE|NAME")]
    scenario: Option<String>,
    /// A shipped topology, or a TOML file. The default is three-regions.
    #[arg(long, value_name = "NAME|FILE")]
    topology: Option<String>,
    /// Nodes in each region.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    nodes_per_region: Option<u32>,
    /// Virtual time with clients and faults; what heals afterwards comes on top. The default is 60s.
    #[arg(long, value_parser = parse_duration)]
    duration: Option<Duration>,
    /// What clients do: all, or a list of bank, append, register, skew, predicate, fork, monotonic,
    /// sequential, comments, linear, stale, held, unique, cancels.
    #[arg(long)]
    workload: Option<Workloads>,
    /// Which faults are drawn from the seed: all, none, or a list of crash, pause, partition,
    /// network, disk, clock, admin.
    #[arg(long)]
    faults: Option<FaultKinds>,
    /// ε of every clock, instead of the topology's clocks.
    #[arg(long, value_parser = parse_duration)]
    epsilon: Option<Duration>,
    /// The tick of virtual time; a part of 1ms, not below 1us.
    #[arg(long, value_parser = parse_tick)]
    tick: Option<Tick>,
    /// Break the database on purpose; `--mode list` lists how.
    #[arg(long)]
    mode: Option<String>,
    /// Clients.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    clients: Option<u32>,
    /// Transactions begun per virtual second.
    #[arg(long)]
    rate: Option<f64>,
    /// Write the history here (one seed only).
    #[arg(long, value_name = "FILE", conflicts_with = "seeds")]
    history: Option<PathBuf>,
    /// Format of the history.
    #[arg(long, value_enum, default_value_t = HistoryFormat::Jsonl)]
    history_format: HistoryFormat,
    /// How results are printed: JSON is an object per seed.
    #[arg(long, value_enum, default_value_t = out::Format::Text)]
    format: out::Format,
    /// Write a page about the verdict here (one seed only).
    #[arg(long, value_name = "FILE.html", conflicts_with = "seeds")]
    report: Option<PathBuf>,
    /// Print what was done to the cluster, line by line.
    #[arg(long)]
    story: bool,
}

/// `first..last`, both included.
#[derive(Clone, Debug)]
struct Seeds(RangeInclusive<u64>);

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Seeds, String> {
        let wrong = || format!("seeds are first..last, like 1..50, not \"{text}\"");
        let (first, last) = text.split_once("..").ok_or_else(wrong)?;
        let number = |text: &str| text.trim_start_matches('=').parse().map_err(|_| wrong());
        let (first, last): (u64, u64) = (number(first)?, number(last)?);
        if last < first || last - first >= SEEDS_MAX {
            return Err(wrong());
        }
        Ok(Seeds(first..=last))
    }
}

/// `all`, or a list.
#[derive(Clone, Debug)]
struct Workloads(Vec<Workload>);

impl FromStr for Workloads {
    type Err = String;

    fn from_str(text: &str) -> Result<Workloads, String> {
        if text == "all" {
            return Ok(Workloads(Workload::ALL.iter().map(|(workload, _)| *workload).collect()));
        }
        text.split(',').map(|name| name.trim().parse()).collect::<Result<_, _>>().map(Workloads)
    }
}

/// Formats of histories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum HistoryFormat {
    /// Our JSON lines.
    Jsonl,
    /// EDN, as Elle reads it.
    Edn,
}

/// Runs what was asked for.
///
/// # Errors
/// If the options make no sense, or a file cannot be read or written.
pub fn run(options: &Options) -> anyhow::Result<Ending> {
    if options.mode.as_deref() == Some("list") {
        for spec in sim::mode::MODES {
            println!("{:<26} {:<8} {}", spec.name, spec.rule, spec.about);
        }
        return Ok(Ending::Clean);
    }
    let base = settings(options)?;
    match &options.seeds {
        Some(Seeds(seeds)) => campaign(options, &base, seeds.clone()),
        None => one(options, &base),
    }
}

/// The scenario, if there is one, and what the command line replaces.
fn settings(options: &Options) -> anyhow::Result<sim::Options> {
    let mut base = match &options.scenario {
        Some(name) => Scenario::load(name).map_err(anyhow::Error::msg)?.options,
        None => sim::Options::new(1, Topology::load("three-regions")?),
    };
    if let Some(mode) = &options.mode {
        let mode = Mode::from_str(mode).map_err(anyhow::Error::msg)?;
        base.mode = mode;
        if options.scenario.is_none() {
            mode.stage(&mut base);
        }
    }
    if let Some(topology) = options.topology.as_deref() {
        base.topology = Topology::load(topology)?;
    }
    if let Some(nodes) = options.nodes_per_region {
        base.nodes_per_region = Some(nodes as usize);
    }
    if let Some(duration) = options.duration {
        base.duration = duration;
    }
    if let Some(Workloads(workloads)) = &options.workload {
        base.workloads.clone_from(workloads);
    }
    if let Some(faults) = &options.faults {
        base.faults = faults.clone();
        base.plan = None;
    }
    if let Some(epsilon) = options.epsilon {
        base.epsilon = Some(epsilon);
    }
    if let Some(tick) = options.tick {
        base.tick = tick;
    }
    if let Some(clients) = options.clients {
        base.clients = clients as usize;
    }
    if let Some(rate) = options.rate {
        if !(rate.is_finite() && rate > 0.0) {
            bail!("--rate is a positive number of transactions per second, not {rate}");
        }
        base.rate = rate;
    }
    if let Some(seed) = options.seed {
        base.seed = seed;
    }
    Ok(base)
}

/// One seed, in full.
fn one(options: &Options, base: &sim::Options) -> anyhow::Result<Ending> {
    let shown = std::io::stderr().is_terminal();
    let mut last = now();
    let ran = simulate(base, &mut |progress| {
        if shown && last.elapsed() > Duration::from_millis(100) {
            last = now();
            let Progress { virtual_time, operations } = progress;
            eprint!(
                "\r{:>6} s of {} virtual, {operations} operations ",
                virtual_time.as_secs(),
                clock::format_duration(base.duration)
            );
        }
    })?;
    if shown {
        eprint!("\r\x1b[K");
    }
    if options.story && options.format == out::Format::Text {
        let story = ran.report.story.iter().map(|line| format!("{line}\n"));
        out::print(&story.collect::<String>())?;
    }
    if let Some(path) = &options.history {
        let text = match options.history_format {
            HistoryFormat::Jsonl => checker::to_json_lines(&ran.report.history),
            HistoryFormat::Edn => checker::to_edn(&ran.report.history),
        };
        std::fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    }
    if let Some(path) = &options.report {
        std::fs::write(path, ran.judgement.render_html())
            .with_context(|| format!("write {}", path.display()))?;
    }
    out::print(&ran.told(options))?;
    Ok(ran.ending())
}

/// What a run came to.
struct Ran {
    report: sim::Report,
    judgement: Judgement,
    took: Duration,
}

fn simulate(
    options: &sim::Options,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> anyhow::Result<Ran> {
    let started = now();
    // What is logged names its seed: the runs of a campaign log side by side.
    let seed = tracing::error_span!("sim", seed = options.seed);
    let report = seed.in_scope(|| sim::run(options, progress))?;
    let took = started.elapsed();
    let judgement = judge(&report);
    Ok(Ran { report, judgement, took })
}

impl Ran {
    fn held(&self) -> bool {
        self.report.stuck.is_empty() && self.report.missed.is_empty() && self.judgement.held()
    }

    fn ending(&self) -> Ending {
        match (self.held(), self.judgement.verdict.valid) {
            (false, _) => Ending::Failed,
            (true, valid) => valid.into(),
        }
    }

    /// All that is printed of the run.
    fn told(&self, options: &Options) -> String {
        let ending = self.ending();
        if options.format == out::Format::Json {
            return format!("{}\n", self.object(options));
        }
        let mut text = format!("{}\n", self.line());
        match ending {
            Ending::Clean => {}
            Ending::Undecided => {
                for note in &self.judgement.verdict.notes {
                    writeln!(text, "note: {note}").expect("strings take all");
                }
            }
            Ending::Failed => {
                text.push_str(&self.trouble());
                let replay = replay(options, self.report.seed);
                writeln!(text, "replay: {replay}").expect("strings take all");
            }
        }
        text
    }

    /// The run for a program: the verdict and what only a run has.
    fn object(&self, options: &Options) -> Json {
        let report = &self.report;
        let mut object = self.judgement.verdict.to_json();
        object["seed"] = json!(report.seed);
        object["held"] = json!(self.held());
        object["no_progress"] = json!(report.stuck);
        object["missed_probes"] = json!(report.missed);
        object["trace"] = json!(format!("{:016x}", report.trace.hash));
        object["virtual_seconds"] = json!(report.virtual_time.as_secs_f64());
        object["replay"] = json!(replay(options, report.seed));
        if options.story {
            object["story"] = json!(report.story);
        }
        object
    }

    /// The run in a line.
    fn line(&self) -> String {
        let report = &self.report;
        let speed = report.virtual_time.as_secs_f64() / self.took.as_secs_f64();
        format!(
            "seed {:<5} {:<9} trace {:016x}  {} ok, {} failed, {} unknown; {:.1} s virtual, {speed:.0} times real time",
            report.seed,
            match self.ending() {
                Ending::Clean => "held",
                Ending::Undecided => "undecided",
                Ending::Failed => "VIOLATED",
            },
            report.trace.hash,
            report.count(Outcome::Ok),
            report.count(Outcome::Fail),
            report.count(Outcome::Unknown),
            report.virtual_time.as_secs_f64(),
        )
    }

    /// What did not hold, with witnesses.
    fn trouble(&self) -> String {
        let mut text = String::new();
        for stuck in &self.report.stuck {
            writeln!(text, "no progress: the run waits for {stuck}").expect("strings take all");
        }
        for missed in &self.report.missed {
            writeln!(text, "a probe was missed: {missed}").expect("strings take all");
        }
        text.push_str(&self.judgement.render_text());
        text
    }
}

/// What a person's watch says: how long a run takes has no influence on it.
#[expect(clippy::disallowed_methods, reason = "measures the simulation from outside")]
fn now() -> Instant {
    Instant::now()
}

/// The command that runs a seed again.
fn replay(options: &Options, seed: u64) -> String {
    let mut command = format!("meridian sim --seed {seed}");
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            write!(command, " --{name} {value}").expect("strings take all");
        }
    };
    add("scenario", options.scenario.clone());
    add("topology", options.topology.clone());
    add("nodes-per-region", options.nodes_per_region.map(|nodes| nodes.to_string()));
    add("duration", options.duration.map(clock::format_duration));
    add(
        "workload",
        options.workload.as_ref().map(|Workloads(all)| {
            all.iter().map(|workload| workload.name()).collect::<Vec<_>>().join(",")
        }),
    );
    add("faults", options.faults.as_ref().map(FaultKinds::to_string));
    add("epsilon", options.epsilon.map(clock::format_duration));
    add("tick", options.tick.map(|tick| clock::format_duration(tick.length())));
    add("mode", options.mode.clone());
    add("clients", options.clients.map(|clients| clients.to_string()));
    add("rate", options.rate.map(|rate| rate.to_string()));
    command
}

fn parse_tick(text: &str) -> Result<Tick, String> {
    Tick::new(parse_duration(text)?).map_err(|error| error.to_string())
}

/// Many seeds, on several threads; results are printed in the order of seeds.
fn campaign(
    options: &Options,
    base: &sim::Options,
    seeds: RangeInclusive<u64>,
) -> anyhow::Result<Ending> {
    let started = now();
    let mut sum = Sum::default();
    let next = Mutex::new(seeds.clone());
    let (done, results) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..options.jobs {
            let (next, done) = (&next, done.clone());
            scope.spawn(move || {
                loop {
                    let seed = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(seed) = seed else { return };
                    let options = sim::Options { seed, ..base.clone() };
                    let ran = std::panic::catch_unwind(|| simulate(&options, &mut |_| {}));
                    let ran = ran.unwrap_or_else(|panic| Err(panicked(panic.as_ref())));
                    if done.send((seed, ran)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        let mut waiting = BTreeMap::new();
        let mut turn = *seeds.start();
        for (seed, ran) in results {
            waiting.insert(seed, ran);
            while let Some(ran) = waiting.remove(&turn) {
                sum.take(options, turn, ran)?;
                turn += 1;
            }
        }
        Ok::<(), anyhow::Error>(())
    })?;
    sum.tell(options, started.elapsed())?;
    Ok(match (sum.failed.is_empty(), sum.undecided.is_empty()) {
        (false, _) => Ending::Failed,
        (true, false) => Ending::Undecided,
        (true, true) => Ending::Clean,
    })
}

/// What a campaign came to so far.
#[derive(Default)]
struct Sum {
    held: usize,
    failed: Vec<u64>,
    undecided: Vec<u64>,
    virtual_time: Duration,
}

impl Sum {
    /// Prints what came of a seed.
    fn take(
        &mut self,
        options: &Options,
        seed: u64,
        ran: anyhow::Result<Ran>,
    ) -> anyhow::Result<()> {
        match ran {
            Ok(ran) => {
                self.virtual_time += ran.report.virtual_time;
                match ran.ending() {
                    Ending::Clean => self.held += 1,
                    Ending::Undecided => self.undecided.push(seed),
                    Ending::Failed => self.failed.push(seed),
                }
                out::print(&ran.told(options))
            }
            Err(error) => {
                self.failed.push(seed);
                let (error, replay) = (format!("{error:#}"), replay(options, seed));
                out::print(&match options.format {
                    out::Format::Text => {
                        format!("seed {seed:<5} PANICKED  {error}\nreplay: {replay}\n")
                    }
                    out::Format::Json => {
                        let object = json!({
                            "schema": checker::SCHEMA,
                            "seed": seed,
                            "held": false,
                            "panicked": error,
                            "replay": replay,
                        });
                        format!("{object}\n")
                    }
                })
            }
        }
    }

    fn tell(&self, options: &Options, took: Duration) -> anyhow::Result<()> {
        let total = self.held + self.failed.len() + self.undecided.len();
        let undecided = match self.undecided.len() {
            0 => String::new(),
            count => format!(", {count} undecided"),
        };
        out::print(&match options.format {
            out::Format::Text => format!(
                "{} of {total} seeds held{undecided}; {:.0} virtual seconds in {:.0} s\n",
                self.held,
                self.virtual_time.as_secs_f64(),
                took.as_secs_f64()
            ),
            out::Format::Json => {
                let object = json!({
                    "schema": checker::SCHEMA,
                    "seeds": total,
                    "held": self.held,
                    "failed": self.failed,
                    "undecided": self.undecided,
                    "virtual_seconds": self.virtual_time.as_secs_f64(),
                });
                format!("{object}\n")
            }
        })
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> anyhow::Error {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    anyhow::Error::msg(text.unwrap_or("a node's code panicked").to_owned())
}
