//! Every interleaving of small scenarios, on nine nodes in three regions in virtual time.
//!
//! In the manner of PostgreSQL's isolation specs, with one difference: nobody writes down what each
//! interleaving should give. Under `SERIALIZABLE` every outcome must equal that of *some* serial
//! order that respects real time; [`judge`] finds one or fails. Besides, each scenario says what must
//! have been seen somewhere: that write skew aborts, that a lock is waited for, that the same
//! scenario under `REPEATABLE READ` lets an anomaly through: the judge can fail.
//!
//! Each scenario runs twice: with each table on one range, and with the tables cut into ranges whose
//! leaders are in different regions, so that transactions commit by two-phase commit.
//!
//! | variable | what |
//! |---|---|
//! | `ISOLATION_SPEC` | run this scenario alone |
//! | `ISOLATION_RUNS` | the most interleavings per scenario and level |
//! | `ISOLATION_TRACE` | print every run |

mod judge;
mod run;
mod spec;

use std::{path::Path, sync::Arc, time::Duration};

use keys::NodeId;
use net::{ClusterId, Pace};
use node::disk::{Disk, VirtualDisk};
use range::CommitWait;
use sim_regions::{Cluster, ClusterOptions, Topology, time};
use storage::{Engine, MemEngine};

use judge::Judge;
use run::{Fate, Outcome, describe, must, session};
use spec::{Expectation, Level, Sight, Spec};

/// What everything random is drawn from.
const SEED: u64 = 2026;

/// How long a sync takes on the simulated disks.
const SYNC: Duration = Duration::from_millis(2);

/// The most interleavings of a scenario that are run at a level by default: all of any scenario here.
/// Of more, this many are taken at even distances.
const RUNS: usize = 2000;

/// The regions, to which leaders are moved in turn.
const REGIONS: [&str; 3] = ["us-east", "us-west", "europe-west"];

/// How often a transfer of a leader is looked after before it counts as failed.
const TRANSFER_LOOKS: usize = 100;

/// Where the ranges are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// Each table on one range.
    OneRange,
    /// Cut, with leaders in different regions.
    Split,
}

async fn nine_nodes(seed: u64) -> Cluster {
    let options = ClusterOptions {
        topology: Topology::load("three-regions").expect("shipped"),
        nodes_per_region: Some(3),
        replication: 3,
        cluster: ClusterId(7),
        seed,
        pace: Pace::Virtual,
        time: time::simulated(),
        commit_wait: CommitWait::On,
        control: sql::control::NoControl::shared(),
        engines: Arc::new(|_| {
            let engine: Arc<dyn Engine> = Arc::new(MemEngine::new());
            let disk: Arc<dyn Disk> =
                Arc::new(VirtualDisk { engine: Arc::clone(&engine), latency: SYNC });
            Ok((engine, disk))
        }),
        sql_address: Box::new(|_| String::new()),
        trace: None,
        tune: Box::new(|_| {}),
    };
    let cluster = Cluster::start(options).await.expect("the cluster starts");
    cluster.boot().await.expect("the cluster boots");
    cluster
}

fn specs() -> Vec<Spec> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/isolation/specs");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the scenarios are there")
        .map(|entry| entry.expect("a folder can be read").path())
        .collect();
    files.sort();
    let wanted = std::env::var("ISOLATION_SPEC").ok();
    let read = |path: &std::path::PathBuf| {
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a plain name");
        let is_wanted = wanted.as_ref().is_none_or(|wanted| wanted == name);
        let text = || std::fs::read_to_string(path).expect("a scenario can be read");
        is_wanted.then(|| Spec::parse(name, &text()))
    };
    let specs: Vec<Spec> = files.iter().filter_map(read).collect();
    assert!(!specs.is_empty(), "there is no such scenario");
    specs
}

/// The orders to run: all, or some at even distances.
fn orders(spec: &Spec) -> Vec<Vec<usize>> {
    let runs = std::env::var("ISOLATION_RUNS").ok();
    let runs = runs.map_or(RUNS, |runs| runs.parse().expect("ISOLATION_RUNS is a number"));
    let all = spec.permutations();
    if all.len() <= runs {
        return all;
    }
    (0..runs).map(|at| all[at * all.len() / runs].clone()).collect()
}

/// What a run did, for the scenario's expectations.
fn sights(outcome: &Outcome, is_serial: bool) -> Vec<Sight> {
    let mut sights = Vec::new();
    for seen in &outcome.seen {
        match &seen.fate {
            Fate::Done => {}
            Fate::Failed(state) => sights.push(Sight::Fails(state.clone())),
            Fate::Conflict => sights.push(Sight::Aborts),
        }
    }
    if sights.is_empty() {
        sights.push(Sight::Commits);
    }
    if !outcome.blocked.is_empty() {
        sights.push(Sight::Blocks);
    }
    if !is_serial {
        sights.push(Sight::Anomaly);
    }
    sights
}

/// Runs a scenario at a level and checks what is expected of it.
async fn scenario(judge: &mut Judge<'_>, cluster: &Cluster, spec: &Spec, level: Level) {
    let expected = spec.expect.iter().find(|(at, _)| *at == level).map(|(_, expected)| expected);
    let mut missing: Vec<Expectation> = expected.cloned().unwrap_or_default();
    if level == Level::Serializable {
        missing.push(Expectation::No(Sight::Anomaly));
    }
    let stops_early = !missing.iter().any(|one| matches!(one, Expectation::No(_)));
    let orders = orders(spec);
    let mut runs = 0;
    let began = timer::Instant::now();
    for order in &orders {
        if stops_early && missing.is_empty() {
            break;
        }
        let outcome = run::interleaved(cluster, spec, level, order).await;
        let explained = judge.explain(&outcome).await;
        runs += 1;
        let sights = sights(&outcome, explained.is_some());
        let steps = describe(spec, order);
        let told = || format!("{} {}: {steps}: {outcome:#?}", spec.name, level.sql());
        if std::env::var_os("ISOLATION_TRACE").is_some() {
            eprintln!("{steps}: {sights:?} as {explained:?}");
        }
        for sight in sights {
            assert!(!missing.contains(&Expectation::No(sight.clone())), "{sight:?}: {}", told());
            missing.retain(|one| *one != Expectation::Some(sight.clone()));
        }
    }
    missing.retain(|one| matches!(one, Expectation::Some(_)));
    let name = &spec.name;
    assert!(missing.is_empty(), "{name} {}: never seen: {missing:?}", level.sql());
    let (all, took) = (spec.permutations().len(), began.elapsed().as_secs());
    eprintln!("{name}, {}: {runs} of {all} interleavings in {took} s", level.sql());
}

/// Puts the leaders of a scenario's ranges into the regions in turn.
async fn spread(setup: &mut sql::Session) {
    let mut last = String::new();
    for look in 0..TRANSFER_LOOKS {
        let ranges = ranges(setup).await;
        let wanted = |at: usize| REGIONS[(at + 1) % REGIONS.len()];
        let mut wrong = false;
        for (at, range) in ranges.iter().enumerate() {
            if range.leader_region.as_deref() == Some(wanted(at)) {
                continue;
            }
            wrong = true;
            let voter = range.voter_in(wanted(at));
            let sql = format!("ALTER RANGE {} TRANSFER LEADER TO NODE {voter}", range.id);
            if look % 20 == 0
                && let Err(error) = setup.simple(&sql, &mut |_| {}).await
            {
                last = format!("{error:?}");
            }
        }
        if !wrong {
            assert!(ranges.len() > 1, "nothing was split");
            return;
        }
        timer::sleep(Duration::from_millis(500)).await;
    }
    panic!("the leaders do not move: {last}");
}

/// A row of `SHOW RANGES`.
struct RangeRow {
    id: i64,
    leader_region: Option<String>,
    replicas: String,
}

impl RangeRow {
    /// The node of a replica, from `1 (us-east), 4 (us-west)`.
    fn voter_in(&self, region: &str) -> u32 {
        let mut replicas = self.replicas.split(", ");
        let found = replicas.find(|replica| replica.ends_with(&format!("({region})")));
        let found = found.and_then(|replica| replica.split(' ').next()?.parse().ok());
        found.unwrap_or_else(|| panic!("no replica in {region}: {}", self.replicas))
    }
}

async fn ranges(setup: &mut sql::Session) -> Vec<RangeRow> {
    let mut found = Vec::new();
    let mut sink = |execution: sql::Execution| {
        let sql::Execution::Rows { columns, rows, .. } = execution else { return };
        let at = |name| columns.iter().position(|column| column.name == name).expect("a column");
        let text = |datum: &sql::Datum| datum.as_text().map(str::to_owned);
        for row in rows {
            // The system range has no table.
            if text(&row[at("table_name")]).is_some() {
                found.push(RangeRow {
                    id: row[at("range_id")].as_int().expect("a number"),
                    leader_region: text(&row[at("leader_region")]),
                    replicas: text(&row[at("replicas")]).unwrap_or_default(),
                });
            }
        }
    };
    setup.simple("SHOW RANGES", &mut sink).await.expect("ranges are shown");
    found
}

/// Runs something in virtual time, on this thread alone.
fn in_virtual_time(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, work);
}

/// All scenarios in one layout.
fn run_all(layout: Layout) {
    in_virtual_time(async {
        let cluster = nine_nodes(SEED).await;
        for spec in specs() {
            let mut setup = session(&cluster, NodeId(1));
            must(&mut setup, &spec.schema).await;
            if layout == Layout::Split {
                must(&mut setup, &spec.split).await;
                spread(&mut setup).await;
            }
            let mut judge = Judge::new(&cluster, &spec);
            for (level, _) in &spec.expect {
                scenario(&mut judge, &cluster, &spec, *level).await;
            }
            eprintln!("{}: {} serial runs", spec.name, judge.serial_runs());
            let drops: Vec<String> =
                tables(&spec).map(|name| format!("DROP TABLE {name}")).collect();
            must(&mut setup, &drops).await;
            setup.close().await;
        }
        cluster.stop().await;
    });
}

/// The tables that a scenario makes.
fn tables(spec: &Spec) -> impl Iterator<Item = &str> {
    spec.schema.iter().filter_map(|sql| sql.strip_prefix("CREATE TABLE ")?.split(' ').next())
}

#[test]
fn every_interleaving_is_serial_with_each_table_on_one_range() {
    run_all(Layout::OneRange);
}

#[test]
fn every_interleaving_is_serial_with_tables_split_over_regions() {
    run_all(Layout::Split);
}

/// The judge knows real time: one after the other, the second doctor sees the first one gone. Were it
/// the second who had come first, no serial order would explain that.
#[test]
fn a_serial_outcome_against_real_time_is_found() {
    in_virtual_time(async {
        let cluster = nine_nodes(SEED).await;
        let text = include_str!("specs/write-skew.spec");
        let spec = Spec::parse("write-skew", text);
        let mut setup = session(&cluster, NodeId(1));
        must(&mut setup, &spec.schema).await;
        setup.close().await;
        let one_after_the_other = [0, 0, 0, 1, 1, 1];
        let mut outcome =
            run::interleaved(&cluster, &spec, Level::Serializable, &one_after_the_other).await;
        let mut judge = Judge::new(&cluster, &spec);
        assert_eq!(judge.explain(&outcome).await, Some(vec![0, 1]));
        let [first, second] = &mut outcome.seen[..] else { panic!("two sessions") };
        std::mem::swap(&mut first.began, &mut second.began);
        std::mem::swap(&mut first.ended, &mut second.ended);
        assert_eq!(judge.explain(&outcome).await, None);
        cluster.stop().await;
    });
}
