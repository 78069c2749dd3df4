//! Every experiment finds what it expects, with one seed as with another, and one seed gives one
//! set of figures.

use std::{fs, path::PathBuf, time::Duration};

use experiment::{EXPERIMENTS, ExperimentError, Findings, Options};

fn run(name: &str, options: &Options) -> Result<Findings, ExperimentError> {
    let found = EXPERIMENTS.iter().find(|experiment| experiment.name == name);
    found.unwrap_or_else(|| panic!("there is no experiment {name}")).run(options)
}

/// Runs it, demands what it expects, and looks at what it writes.
fn finds(name: &str, seed: u64) {
    let findings = run(name, &Options { seed, ..Options::default() }).expect("clusters start");
    assert_eq!(findings.wrong(), Vec::<String>::new(), "{}", findings.text());
    assert!(findings.text().lines().all(|line| line.chars().count() <= 100), "{}", findings.text());
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{seed}"));
    let page = findings.write(&folder).expect("the folder takes files");
    let page = fs::read_to_string(page).expect("it was written");
    assert!(page.contains(&format!("meridian experiment run {name} --seed {seed}")), "no command");
    let tables = fs::read_dir(&folder).expect("it was written").filter(|entry| {
        let path = entry.as_ref().expect("it can be read").path();
        path.extension().is_some_and(|extension| extension == "csv")
    });
    assert!(tables.count() > 0, "{name} wrote no CSV");
}

#[test]
fn every_experiment_has_a_test() {
    let this = include_str!("experiments.rs");
    for experiment in EXPERIMENTS {
        assert!(this.contains(&format!("finds(\"{}\"", experiment.name)), "{}", experiment.name);
    }
}

#[test]
fn commit_wait() {
    finds("commit-wait", 1);
    finds("commit-wait", 2);
}

/// docs/commit-wait.md shows what the experiment draws: its figures are the experiment's, and its
/// listings stand in the summary. `UPDATE_GOLDENFILES=1` writes the figures anew.
#[test]
fn the_page_that_teaches_commit_wait_shows_what_is_measured() {
    let options = Options { seed: 1, ..Options::default() };
    let findings = run("commit-wait", &options).expect("clusters start");
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("commit-wait-taught");
    findings.write(&folder).expect("the folder takes files");
    let docs = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let text = fs::read_to_string(docs.join("commit-wait.md")).expect("the page is there");
    let figures: Vec<&str> = text
        .split("](figures/")
        .skip(1)
        .map(|rest| rest.split_once(')').expect("the link ends").0)
        .collect();
    assert!(figures.len() >= 3, "figures: {figures:?}");
    for figure in figures {
        let (drawn, kept) = (folder.join(figure), docs.join("figures").join(figure));
        if std::env::var_os("UPDATE_GOLDENFILES").is_some() {
            fs::copy(&drawn, &kept).expect("the figure is kept");
        }
        let read =
            |path| fs::read_to_string(path).unwrap_or_else(|error| panic!("{figure}: {error}"));
        assert!(read(drawn) == read(kept), "{figure} is not what is measured");
    }
    let listings: Vec<&str> = text
        .split("```measured\n")
        .skip(1)
        .map(|rest| rest.split_once("```").expect("the listing ends").0)
        .collect();
    assert!(listings.len() >= 3, "listings: {listings:?}");
    for listing in listings {
        assert!(findings.text().contains(listing), "not what is measured:\n{listing}");
    }
}

#[test]
fn paper_tables() {
    finds("paper-table3", 1);
    finds("paper-table4", 1);
}

#[test]
fn paper_figures() {
    finds("paper-figure5", 1);
    finds("paper-figure6", 1);
}

#[test]
fn staleness_isolation_placement_clocks() {
    finds("staleness-ladder", 1);
    finds("isolation-lab", 1);
    finds("placement", 1);
    finds("clock-models", 1);
}

#[test]
fn contention() {
    finds("contention", 1);
}

#[test]
fn one_seed_gives_one_set_of_figures() {
    let text = |seed| {
        let topologies = vec!["one-region".to_owned()];
        let options = Options { seed, topologies, ..Options::default() };
        run("commit-wait", &options).expect("clusters start").text().to_owned()
    };
    assert_eq!(text(3), text(3));
    assert_ne!(text(3), text(4), "the seed does not reach the figures");
}

/// What an experiment sets itself is refused, not passed over.
#[test]
fn only_what_is_left_open_can_be_chosen() {
    let refused = |name: &str, options: Options| match run(name, &options) {
        Ok(_) => panic!("{name} took {options:?}"),
        Err(error) => error.to_string(),
    };
    let epsilons = vec![Duration::from_millis(4)];
    let epsilon = Options { epsilons: epsilons.clone(), ..Options::default() };
    assert_eq!(refused("paper-figure6", epsilon), "paper-figure6 leaves no choice of --epsilon");
    let topologies = vec!["five-regions".to_owned()];
    let topology = Options { topologies, ..Options::default() };
    assert_eq!(refused("isolation-lab", topology), "isolation-lab leaves no choice of --topology");
    let work = Options { work: Some(Duration::ZERO), ..Options::default() };
    assert_eq!(refused("paper-figure6", work), "paper-figure6 leaves no choice of --work");
    let many = Options { epsilons: [epsilons.clone(), epsilons].concat(), ..Options::default() };
    assert_eq!(refused("contention", many), "contention takes one --epsilon at a time");
    let wide = Options { epsilons: vec![Duration::from_secs(10)], ..Options::default() };
    assert_eq!(refused("commit-wait", wide), "an ε of 10s is beyond the 250ms that nodes tolerate");
}

/// Work on messages makes a commit longer: by some messages, and by queues.
#[test]
fn work_takes_time() {
    let median = |work| {
        let topologies = vec!["one-region".to_owned()];
        let epsilons = vec![Duration::ZERO];
        let options = Options { seed: 1, topologies, epsilons, work };
        let findings = run("commit-wait", &options).expect("clusters start");
        let line = findings.text().lines().find(|line| line.starts_with("one-region"));
        let line = line.expect("a line for the topology").to_owned();
        line.split_whitespace().nth(3).and_then(|p50| p50.parse::<f64>().ok()).expect("a figure")
    };
    let (free, priced) = (median(None), median(Some(Duration::from_micros(100))));
    assert!((free + 0.2..free + 1.0).contains(&priced), "{free} and {priced} ms");
}

#[test]
fn a_folder_that_takes_no_files_is_told_before_the_run() {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("no-folder");
    fs::write(&file, "a file").expect("the folder takes files");
    assert!(experiment::prepare(&file).is_err());
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("prepared").join("deep");
    experiment::prepare(&folder).expect("it is made");
    let left = fs::read_dir(&folder).expect("it is there").count();
    assert_eq!(left, 0, "nothing is left in it");
}

/// ε decides the wait, whatever ε.
#[test]
fn epsilon_and_topology_can_be_chosen() {
    let options = Options {
        seed: 1,
        topologies: vec!["one-region".to_owned()],
        epsilons: vec![Duration::from_micros(2_500)],
        work: None,
    };
    let findings = run("commit-wait", &options).expect("clusters start");
    assert!(findings.text().contains("5.01"), "a wait of 2ε and a tick: {}", findings.text());
    let nowhere = Options { topologies: vec!["moon".to_owned()], ..options };
    assert!(matches!(run("commit-wait", &nowhere), Err(ExperimentError::Topology(_))));
}

/// Beyond the knee and at it, where replication varies the most: over five regions.
#[test]
fn theory_holds_at_the_knee_and_beyond() {
    for seed in [1, 2] {
        let options = Options {
            seed,
            topologies: vec!["five-regions".to_owned()],
            epsilons: [0, 20, 35, 40, 50, 60, 80, 100].map(Duration::from_millis).to_vec(),
            work: None,
        };
        let findings = run("commit-wait", &options).expect("clusters start");
        assert_eq!(findings.wrong(), Vec::<String>::new(), "{}", findings.text());
    }
}
