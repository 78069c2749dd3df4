//! Timelines in virtual time, where they are exact: what is drawn of a transaction over three
//! regions, the same twice from one seed, and what `EXPLAIN ANALYZE` says of a statement.
//!
//! The drawings lie in `timelines/`; `UPDATE_GOLDENFILES=1` draws them anew.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use expr::Datum;
use keys::NodeId;
use net::{ClusterId, Pace};
use node::disk::{Disk, VirtualDisk};
use range::CommitWait;
use sim_regions::{Cluster, ClusterOptions, Topology, time};
use sql::{Execution, SessionOptions};
use storage::{Engine, memory};
use tracing_subscriber::layer::SubscriberExt;

/// How long a sync takes on the simulated disks.
const SYNC: Duration = Duration::from_millis(2);

/// Tables led in each of the three regions, and one transaction over them.
const TABLES: [(u32, &str); 3] = [
    (1, "CREATE TABLE here (k INT8 PRIMARY KEY, v TEXT)"),
    (4, "CREATE TABLE west (k INT8 PRIMARY KEY, v TEXT)"),
    (7, "CREATE TABLE europe (k INT8 PRIMARY KEY, v TEXT)"),
];

async fn nine_nodes(seed: u64, traces: trace::Collector) -> Cluster {
    let disks: Arc<Mutex<Vec<memory::Disk>>> = Arc::default();
    let options = ClusterOptions {
        topology: Topology::load("three-regions").expect("shipped"),
        nodes_per_region: Some(3),
        replication: 3,
        cluster: ClusterId(7),
        seed,
        pace: Pace::Virtual,
        time: time::simulated(),
        commit_wait: CommitWait::On,
        engines: Arc::new(move |_| {
            let disk = memory::Disk::default();
            disks.lock().unwrap_or_else(PoisonError::into_inner).push(disk.clone());
            let engine: Arc<dyn Engine> = Arc::new(disk.crash_losing_unsynced());
            let disk: Arc<dyn Disk> =
                Arc::new(VirtualDisk { engine: Arc::clone(&engine), latency: SYNC });
            Ok((engine, disk))
        }),
        sql_address: Box::new(|_| String::new()),
        control: sql::control::NoControl::shared(),
        trace: None,
        tune: Box::new(move |config| config.traces = traces.clone()),
    };
    let cluster = Cluster::start(options).await.expect("the cluster starts");
    cluster.boot().await.expect("the cluster boots");
    cluster
}

/// A client's session on a node.
struct Client(sql::Session);

impl Client {
    fn on(cluster: &Cluster, node: u32) -> Client {
        let node = cluster.node(NodeId(node)).expect("it runs");
        Client(node.database().session(SessionOptions::default()).expect("room"))
    }

    /// Runs statements; answers with the first column of the last one's rows.
    async fn run(&mut self, sql: &str) -> Vec<String> {
        let text = |row: Vec<Datum>| match row.into_iter().next() {
            Some(Datum::Text(text)) => text.to_string(),
            other => format!("{other:?}"),
        };
        self.rows(sql).await.into_iter().map(text).collect()
    }

    /// Runs a statement that answers with one row.
    async fn row(&mut self, sql: &str) -> Vec<Datum> {
        self.rows(sql).await.pop().expect("a row")
    }

    async fn rows(&mut self, sql: &str) -> Vec<Vec<Datum>> {
        let mut last = Vec::new();
        let mut take = |execution| {
            last = match execution {
                Execution::Rows { rows, .. } => rows,
                Execution::Done { .. } => Vec::new(),
            };
        };
        let outcome = self.0.simple(sql, &mut take).await;
        outcome.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        last
    }
}

/// Runs a story on a cluster of its own in virtual time, with a collector that hears of it.
fn in_virtual_time<T>(seed: u64, story: impl AsyncFnOnce(&Cluster) -> T) -> T {
    let traces = trace::Collector::default();
    let subscriber = tracing_subscriber::registry().with(traces.layer());
    let _listening = tracing::subscriber::set_default(subscriber);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let cluster = nine_nodes(seed, traces).await;
        for (node, table) in TABLES {
            Client::on(&cluster, node).run(table).await;
        }
        // Schemas, routes and leases come to rest.
        tokio::time::sleep(Duration::from_secs(10)).await;
        let told = story(&cluster).await;
        cluster.stop().await;
        told
    })
}

/// The drawing must be as it was.
fn assert_golden(name: &str, drawn: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/timelines").join(name);
    if std::env::var_os("UPDATE_GOLDENFILES").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder is made");
        std::fs::write(&path, drawn).expect("the drawing is kept");
    }
    let kept = std::fs::read_to_string(&path).expect("the drawing is there");
    assert_eq!(kept, drawn, "{name}: UPDATE_GOLDENFILES=1 draws it anew");
}

async fn two_phase_commit(cluster: &Cluster, form: &str) -> String {
    let mut client = Client::on(cluster, 1);
    let one = "INSERT INTO here VALUES (0, ''); SELECT v FROM west; SELECT v FROM europe";
    client.run(one).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    client.run("SET trace = on").await;
    let all = "BEGIN; INSERT INTO here VALUES (1, 'x'); INSERT INTO west VALUES (1, 'y'); \
               INSERT INTO europe VALUES (1, 'z'); COMMIT";
    client.run(all).await;
    client.run(&format!("SHOW TRACE LAST AS {form}")).await.join("\n") + "\n"
}

#[test]
fn a_commit_over_three_regions_is_drawn_and_the_same_seed_draws_the_same() {
    let draw = || in_virtual_time(3, async |cluster| two_phase_commit(cluster, "TEXT").await);
    let drawn = draw();
    for line in drawn.lines() {
        assert!(line.chars().count() <= trace::render::WIDTH, "too wide: {line}");
    }
    for part in ["prepare", "commit", "resolve", "accept", "apply", "commit-wait", "log "] {
        assert!(drawn.contains(part), "there is no {part} in\n{drawn}");
    }
    assert_eq!(drawn, draw(), "the same seed drew something else");
    assert_golden("two_phase_commit.txt", &drawn);
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/TRACES.md");
    let document = std::fs::read_to_string(document).expect("the document is there");
    assert!(document.contains(&drawn), "docs/TRACES.md shows another drawing:\n{drawn}");
}

/// Somebody holds the row for a while: the wait is a span of its own, and `EXPLAIN ANALYZE` says how
/// long it was and whom it was for.
#[test]
fn a_wait_for_a_lock_is_drawn_and_explained() {
    in_virtual_time(4, async |cluster| {
        let (mut holder, mut waiter) = (Client::on(cluster, 4), Client::on(cluster, 1));
        holder.run("INSERT INTO west VALUES (1, 'x')").await;
        waiter.run("SELECT v FROM west; SET trace = on").await;
        holder.run("BEGIN; SELECT v FROM west WHERE k = 1 FOR UPDATE").await;
        // Older by every clock, so that it is waited for and not wounded (X5).
        tokio::time::sleep(Duration::from_secs(1)).await;
        let wanted = "BEGIN; SELECT v FROM west WHERE k = 1 FOR UPDATE; COMMIT";
        let held = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            holder.run("COMMIT").await;
        };
        tokio::join!(held, waiter.run(wanted));
        let drawn = waiter.run("SHOW TRACE LAST AS TEXT").await.join("\n");
        assert!(drawn.contains("waits for locks"), "{drawn}");

        holder.run("BEGIN; SELECT v FROM west WHERE k = 1 FOR UPDATE").await;
        // Older by every clock, so that it is waited for and not wounded (X5).
        tokio::time::sleep(Duration::from_secs(1)).await;
        waiter.run("SET trace = off").await;
        let held = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            holder.run("COMMIT").await;
        };
        let explain = "EXPLAIN ANALYZE SELECT v FROM west WHERE k = 1 FOR UPDATE";
        let ((), told) = tokio::join!(held, waiter.run(explain));
        let told = told.join("\n");
        assert!(told.contains("lock range 1016 at node 6 in us-west"), "{told}");
        let waited = told.lines().find_map(|line| line.strip_prefix("waited: ")).expect("said");
        let millis = waited.split(' ').next().and_then(|number| number.parse::<f64>().ok());
        assert!(millis.is_some_and(|millis| millis > 100.0), "{told}");
    });
}

/// Somebody writes the row meanwhile, and commits after the patience of one try: one wait ends by
/// the deadline of its request, the next one with the news that what was read is not so any more, and
/// the statement runs again. All of it counts as waiting, and is drawn, with the reasons.
#[test]
fn a_wait_that_ended_in_an_error_is_counted_drawn_and_explained() {
    let (told, stats, drawn) = in_virtual_time(8, async |cluster| {
        let (mut holder, mut waiter) = (Client::on(cluster, 4), Client::on(cluster, 1));
        holder.run("INSERT INTO west VALUES (1, 'x')").await;
        waiter.run("SELECT v FROM west; SET trace = on").await;
        holder.run("BEGIN; SELECT v FROM west WHERE k = 1 FOR UPDATE").await;
        // Older by every clock, so that it is waited for and not wounded (X5).
        tokio::time::sleep(Duration::from_secs(1)).await;
        let held = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            holder.run("UPDATE west SET v = 'one' WHERE k = 1; COMMIT").await;
        };
        let explain = "EXPLAIN ANALYZE UPDATE west SET v = 'two' WHERE k = 1";
        let ((), told) = tokio::join!(held, waiter.run(explain));
        let stats = waiter.row("SHOW COMMIT STATS").await;
        let drawn = waiter.run("SHOW TRACE LAST AS TEXT").await.join("\n") + "\n";
        (told.join("\n") + "\n", stats, drawn)
    });
    let waited = told.lines().find_map(|line| line.strip_prefix("waited: ")).expect("said");
    let millis = waited.split(' ').next().and_then(|number| number.parse::<f64>().ok());
    assert!(millis.is_some_and(|millis| millis > 1_900.0), "{told}");
    let Datum::Float(lock_wait) = &stats[3] else { panic!("{stats:?}") };
    assert!(*lock_wait > 1_900.0, "{stats:?}");
    assert!(drawn.matches("waits for locks").count() >= 2, "{drawn}");
    for why in ["timed out waiting for txn ", "what it read was changed"] {
        assert!(drawn.contains(&format!("× {why}")), "{drawn}");
        assert!(told.contains(&format!("    failed: {why}")), "{told}");
    }
    // That the waiting gateway looked for another leader meanwhile is no part of it: one look serves
    // all that wait.
    assert!(!drawn.contains("status") && !told.contains("status"), "{drawn}{told}");
    for line in drawn.lines() {
        assert!(line.chars().count() <= trace::render::WIDTH, "too wide: {line}");
    }
    assert_golden("lock_wait_ended_in_an_error.txt", &(told + &drawn));
}

#[test]
fn explain_analyze_names_spans_replicas_rows_and_round_trips() {
    let told = in_virtual_time(5, async |cluster| {
        let mut client = Client::on(cluster, 1);
        client.run("INSERT INTO west VALUES (1, 'x'), (2, 'y'), (3, 'z')").await;
        client.run("SELECT v FROM europe").await;
        let explain = "EXPLAIN ANALYZE INSERT INTO europe SELECT k, v FROM west WHERE k < 3";
        client.run(explain).await.join("\n") + "\n"
    });
    for part in [
        "scan west@primary",
        "spans: west/primary/[ - 2]",
        "in us-west",
        "2 rows",
        "commit: ",
        "round trips of the gateway: us-east to europe-west",
        "waited: 0.000 ms for other transactions",
    ] {
        assert!(told.contains(part), "there is no {part} in\n{told}");
    }
    assert_golden("explain_analyze.txt", &told);
}

/// What is explained is run at the snapshot that it names, also as one of several statements.
#[test]
fn explain_analyze_runs_a_query_of_the_past_in_the_past() {
    in_virtual_time(9, async |cluster| {
        let mut client = Client::on(cluster, 1);
        client.run("INSERT INTO west VALUES (1, 'x'), (2, 'y')").await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        client.run("INSERT INTO west VALUES (3, 'z')").await;
        let explain = "EXPLAIN ANALYZE SELECT v FROM west AS OF SYSTEM TIME '-3s'";
        for text in [explain, &format!("SHOW TABLES; {explain}")] {
            let told = client.run(text).await.join("\n");
            assert!(told.contains("result: SELECT 2"), "{told}");
            assert!(told.contains("in us-east: ") && told.contains(", 2 rows, "), "{told}");
        }
        let plan = client.run("EXPLAIN SELECT v FROM west AS OF SYSTEM TIME '-3s'").await;
        assert!(plan.iter().any(|line| line.contains("scan west@primary")), "{plan:?}");
    });
}

/// Its leader asks for its lease when all replicas are there; a timeline showed it wait for a second.
#[test]
fn a_table_just_made_takes_its_first_write_at_once() {
    in_virtual_time(7, async |cluster| {
        for node in [1, 4, 7] {
            let mut client = Client::on(cluster, node);
            client.run("SET trace = on").await;
            for table in 0..5 {
                let name = format!("made_{node}_{table}");
                client.run(&format!("CREATE TABLE {name} (k INT8 PRIMARY KEY)")).await;
                client.run(&format!("INSERT INTO {name} VALUES (1)")).await;
                let drawn = client.run("SHOW TRACE LAST AS TEXT").await.join("\n");
                assert!(drawn.contains(&format!("INSERT INTO {name}")), "{drawn}");
                assert!(!drawn.contains("waits for lease"), "{drawn}");
            }
        }
    });
}

#[test]
fn what_was_not_traced_is_said() {
    in_virtual_time(6, async |cluster| {
        let mut client = Client::on(cluster, 1);
        client.run("INSERT INTO here VALUES (1, 'x')").await;
        let unknown = format!("SHOW TRACE '{}'", "0".repeat(32));
        for sql in ["SHOW TRACE LAST", &unknown] {
            let error = client.0.simple(sql, &mut |_| {}).await.expect_err("nothing is known");
            assert_eq!(error.sqlstate.code(), "42704", "{error:?}");
        }
        let error = client.0.simple("SHOW TRACE 'x'", &mut |_| {}).await.expect_err("no id");
        assert_eq!(error.sqlstate.code(), "22023", "{error:?}");
        assert_eq!(client.run("SHOW trace").await, ["off"]);
        client.run("SET trace = on; INSERT INTO here VALUES (2, 'y')").await;
        assert_eq!(client.run("SHOW TRACES").await.len(), 1);

        // Another session has no part in it, and a schema change is no trace.
        let mut other = Client::on(cluster, 1);
        other.run("SET trace = on; CREATE TABLE made (k INT8 PRIMARY KEY)").await;
        let error = other.0.simple("SHOW TRACE LAST", &mut |_| {}).await.expect_err("not its own");
        assert_eq!(error.sqlstate.code(), "42704", "{error:?}");
        assert!(error.hint.as_ref().is_some_and(|hint| hint.contains("SHOW TRACES")), "{error:?}");
        let drawn = client.run("SHOW TRACE LAST AS TEXT").await.join("\n");
        assert!(drawn.contains("INSERT INTO here"), "{drawn}");
    });
}

/// Two transactions of two regions, over ranges led in both, lock each what the other wants next.
#[test]
fn a_deadlock_over_two_ranges_ends_once_it_is_found() {
    let took = in_virtual_time(5, async |cluster| {
        let (mut older, mut younger) = (Client::on(cluster, 1), Client::on(cluster, 4));
        older.run("INSERT INTO here VALUES (1, ''); INSERT INTO west VALUES (1, '')").await;
        older.run("BEGIN; UPDATE here SET v = 'a' WHERE k = 1").await;
        younger.run("BEGIN; UPDATE west SET v = 'b' WHERE k = 1").await;
        let begun = tokio::time::Instant::now();
        let crossing = "UPDATE here SET v = 'b' WHERE k = 1";
        let mut ignore = |_| {};
        let (_, lost) = tokio::join!(
            older.run("UPDATE west SET v = 'a' WHERE k = 1; COMMIT"),
            younger.0.simple(crossing, &mut ignore),
        );
        let error = lost.expect_err("both cannot have it");
        assert_eq!(error.sqlstate.code(), "40001", "{error:?}");
        begun.elapsed()
    });
    // It takes the time of a wait that is worth a question, twice, and a few round trips of 65 ms; not
    // that after which whoever waits is taken for deadlocked.
    let wounded_after = range::Config::default().wound_after;
    assert!(took < wounded_after, "{took:?}, and without a search it takes {wounded_after:?}");
}
