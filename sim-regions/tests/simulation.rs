//! The simulator: one seed is one run, honest clusters hold, faults happen, bad scenarios are refused.

use std::time::Duration;

use checker::Outcome;
use sim_regions::{
    Topology, TraceSum,
    sim::{
        self, Options, Report, faults::FaultKinds, judge::judge, mode::Mode, scenario::Scenario,
        workload::Workload,
    },
};

/// A short run with everything in it.
fn options(seed: u64, topology: &str, seconds: u64) -> Options {
    let mut options = Options::new(seed, Topology::load(topology).expect("shipped"));
    options.duration = Duration::from_secs(seconds);
    options
}

fn run(options: &Options) -> Report {
    sim::run(options, &mut |_| {}).expect("the cluster starts")
}

/// A run in which nothing is broken must hold, and make progress in the end.
fn holds(options: &Options) -> Report {
    let report = run(options);
    let judgement = judge(&report);
    let seed = options.seed;
    assert!(judgement.held(), "seed {seed}:\n{}", judgement.render_text());
    assert_eq!(report.missed, Vec::<String>::new(), "seed {seed}:\n{}", report.story.join("\n"));
    assert_eq!(report.stuck, Vec::<String>::new(), "seed {seed}:\n{}", report.story.join("\n"));
    report
}

#[test]
fn one_seed_takes_one_way_bit_for_bit() {
    let traces = |seed| -> Vec<TraceSum> {
        (0..2).map(|_| run(&options(seed, "three-regions", 15)).trace).collect()
    };
    let all: Vec<Vec<TraceSum>> = (1..=4).map(traces).collect();
    for twice in &all {
        assert!(twice[0].frames > 1_000, "{twice:?}");
        assert_eq!(twice[0], twice[1], "the same seed took another way");
    }
    assert_ne!(all[0][0], all[1][0], "the seed does not reach the run");
}

#[test]
fn honest_clusters_hold_whatever_happens_to_them() {
    for topology in ["one-region", "three-regions", "five-regions"] {
        for seed in 1..=6 {
            let report = holds(&options(seed, topology, 25));
            assert!(report.count(Outcome::Ok) > 20, "{topology}, seed {seed}: hardly anything ran");
        }
    }
}

/// Rows move between unique keys in the midst of all faults; at the end every index is checked.
#[test]
fn indexes_agree_with_their_tables_whatever_happens() {
    for seed in 1..=3 {
        let mut options = options(seed, "one-region", 20);
        options.workloads = vec![Workload::Unique, Workload::Register];
        options.clients = 6;
        holds(&options);
    }
}

/// Runs that found something once. What they stand for may have moved since: each bug has a test of
/// its own beside the code as well.
#[test]
fn seeds_that_found_something_hold() {
    // A leader that was woken without end while its split waited.
    holds(&options(1, "three-regions", 60));
    // Checksums of later ranges that got no time behind a node that is down.
    holds(&options(112, "three-regions", 60));
    holds(&options(121, "three-regions", 60));
    holds(&options(134, "three-regions", 60));
}

#[test]
fn shipped_scenarios_hold() {
    for name in Scenario::shipped() {
        let scenario = Scenario::load(name).expect("shipped scenarios make sense");
        let report = holds(&scenario.options);
        let planned = scenario.options.plan.as_ref().map_or(0, Vec::len);
        assert!(report.story.len() > planned, "{name}: {:?}", report.story);
    }
}

#[test]
fn faults_do_what_they_say() {
    let plan = r#"
        about = "one of each"
        duration = "20s"
        [[fault]]
        at = "3s"
        kind = "failed-sync"
        node = 4
        for = "500ms"
        [[fault]]
        at = "5s"
        kind = "full-disk"
        node = 5
        for = "500ms"
        [[fault]]
        at = "8s"
        kind = "pause"
        node = 2
        for = "4s"
        [[fault]]
        at = "13s"
        kind = "crash"
        nodes = [1, 2, 3]
        for = "1s"
        [[fault]]
        at = "16s"
        kind = "bit-rot"
        node = 9
    "#;
    let scenario = Scenario::parse("plan", plan).expect("it makes sense");
    let story = holds(&scenario.options).story.join("\n");
    for told in [
        "n4 stopped: the disk failed",
        "n5 stopped: the disk failed",
        "no space left on device",
        "n4 runs again",
        "pause n2 for 4s",
        "n1 runs again",
        "rotten on n9",
        "all faults end",
    ] {
        assert!(story.contains(told), "nothing about \"{told}\":\n{story}");
    }
}

/// Nothing is lost when the lights go out everywhere, again and again.
#[test]
fn crashes_of_all_nodes_lose_nothing_acknowledged() {
    let mut options = options(3, "one-region", 20);
    let crash = |at| {
        format!("[[fault]]\nat = \"{at}s\"\nkind = \"crash\"\nnodes = [1, 2, 3]\nfor = \"100ms\"\n")
    };
    let text = ["about = \"\"\n".to_owned(), crash(3), crash(7), crash(11), crash(15)].concat();
    options.plan = Scenario::parse("crashes", &text).expect("it makes sense").options.plan;
    options.topology = Topology::load("one-region").expect("shipped");
    let report = holds(&options);
    assert!(report.count(Outcome::Ok) > 100, "hardly anything ran");
}

/// P0a: a node that comes back with an older copy of its folder is refused by name, stays down, and
/// nothing acknowledged is lost; where nobody looks, something is.
#[test]
fn a_folder_that_is_turned_back_is_refused() {
    let mode: Mode = "old-folder".parse().expect("a mode");
    let stage = |seed| {
        let mut options = options(seed, "one-region", 1);
        mode.stage(&mut options);
        options
    };
    let found = (1..=3).filter(|seed| !judge(&run(&stage(*seed))).held()).count();
    assert!(found > 0, "nobody looks, and nothing is lost");
    for seed in 1..=3 {
        let story = holds(&Options { mode: Mode::default(), ..stage(seed) }).story.join("\n");
        let refused =
            "n1 stopped: n1 came back with an older copy of its data folder: n2 remembers";
        assert!(story.contains(refused), "{story}");
        let last = story.rsplit("n1 stopped").next().expect("it is there");
        assert!(!last.contains("n1 runs again"), "{story}");
    }
}

/// What clients give up leaves nothing behind that trips a range or shows in a history. What a range
/// once tripped over is shown in small by its script `read_outlived_by_its_transaction_is_dropped`.
#[test]
fn clients_that_give_up_leave_nothing_behind() {
    for (seed, topology, rate) in [(1, "three-regions", 150.0), (2, "one-region", 1500.0)] {
        let mut options = options(seed, topology, 15);
        options.workloads = vec!["cancels".parse().expect("it is one")];
        options.faults = "none".parse().expect("it is a kind");
        options.rate = rate;
        let report = holds(&options);
        assert!(report.count(Outcome::Ok) > 20, "{topology}: hardly anything ran");
        let given_up = report.count(Outcome::Fail);
        assert!(given_up > 10, "{topology}: only {given_up} were given up");
    }
}

/// Probes are asked at their time and place, and told where they are missed.
#[test]
fn probes_notice_what_they_must() {
    let probe = |fails: bool, at: u32| {
        format!(
            "[[probe]]\nat = \"{at}s\"\nnode = 1\nsql = \"SELECT * FROM register0\"\n\
             within = \"2s\"\nfails = {fails}\n"
        )
    };
    let scenario = |probes: &str| {
        let text = "about = \"a node alone\"\nduration = \"20s\"\n[[fault]]\nat = \"5s\"\n\
                    kind = \"partition\"\nnodes = [1]\nfor = \"8s\"\n"
            .to_owned();
        Scenario::parse("probes", &(text + probes)).expect("it makes sense").options
    };
    holds(&scenario(&(probe(false, 3) + &probe(true, 10) + &probe(false, 17))));
    let wrong = run(&scenario(&(probe(true, 3) + &probe(false, 10))));
    assert_eq!(wrong.missed.len(), 2, "{:?}", wrong.missed);
    assert!(wrong.missed[0].contains("it should fail"), "{:?}", wrong.missed);
    assert!(wrong.missed[1].contains("n1 at 10s"), "{:?}", wrong.missed);
}

#[test]
fn bad_scenarios_are_refused_by_what_is_wrong() {
    let refused = |text: &str| Scenario::parse("s", text).expect_err("it makes no sense");
    for (text, told) in [
        ("", "missing field `about`"),
        ("about = ''\nworkloads = ['banc']", "there is no workload \"banc\""),
        ("about = ''\nworkloads = []", "no workloads"),
        ("about = ''\ntopology = 'moon'", "no topology"),
        ("about = ''\nmode = 'chaos'", "there is no mode \"chaos\""),
        ("about = ''\nrate = 0", "above zero"),
        ("about = ''\ntick = '3us'", "a tick divides 1ms"),
        ("about = ''\nmodel = 'linear'", "linear"),
        ("about = ''\nepsilon = '251ms'", "above the limit of 250ms"),
        (
            "about = ''\n[[probe]]\nat = '1s'\nnode = 10\nsql = ''\nwithin = '1s'",
            "no node 10 for a probe",
        ),
        (
            "about = ''\n[[probe]]\nat = '60s'\nnode = 1\nsql = ''\nwithin = '1s'",
            "does not end within the run",
        ),
        ("about = ''\n[[fault]]\nat = '1s'\nkind = 'pause'\nnode = 10\nfor = '1s'", "no node 10"),
        ("about = ''\n[[fault]]\nat = '1'\nkind = 'bit-rot'\nnode = 1", "s: "),
    ] {
        let error = refused(text);
        assert!(error.contains(told), "{text}: {error}");
    }
    let kinds = "crash,meteor".parse::<FaultKinds>().expect_err("no such kind");
    assert!(kinds.contains("there are no faults \"meteor\""), "{kinds}");
}
