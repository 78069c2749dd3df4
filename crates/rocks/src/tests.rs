//! The engine on RocksDB: conformance, a mirrored run beside the engine in memory, and what a
//! directory keeps through closing, torn and rotten logs.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use storage::{
    MemEngine,
    conformance::{self, random, versions},
    mirror::Mirror,
};

use super::*;

/// A directory of its own, removed in the end.
struct TestDir(PathBuf);

impl TestDir {
    fn new() -> TestDir {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "meridian-rocks-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        TestDir(std::env::temp_dir().join(name))
    }

    /// Opens with memtables so small that random runs reach several levels of table files.
    fn open(&self) -> RocksEngine {
        let memory = Memory::new(1 << 20, 8 << 20);
        let options = RocksOptions { write_buffer_bytes: 64 << 10, ..RocksOptions::new(memory) };
        RocksEngine::open(&self.0, &options).expect("the directory is fine")
    }

    /// The write-ahead log files, oldest first.
    fn logs(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.0).expect("the directory is there");
        let mut logs: Vec<_> = entries
            .map(|entry| entry.expect("readable").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
            .collect();
        logs.sort();
        logs
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        // Nothing depends on it: the next test has another directory.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn numbered(value: u32) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for cf in [Cf::Log, Cf::State] {
        batch.put(cf, value.to_be_bytes().to_vec(), vec![7; 100]);
    }
    batch
}

/// How many numbered batches are there; asserts that it is a prefix, and whole.
fn count(engine: &RocksEngine) -> u32 {
    let counts = [Cf::Log, Cf::State].map(|cf| {
        let mut count = 0u32;
        let result = engine.scan(Scan::new(cf, b"", b"\xff"), &mut |key, _| {
            assert_eq!(key, count.to_be_bytes(), "one from the middle is lost");
            count += 1;
            true
        });
        result.expect("the disk works");
        count
    });
    assert_eq!(counts[0], counts[1], "a batch survived in part");
    counts[0]
}

#[test]
fn rocks_engine_conforms() {
    let dirs = std::cell::RefCell::new(Vec::new());
    conformance::all(&|| {
        let dir = TestDir::new();
        let engine = dir.open();
        dirs.borrow_mut().push(dir);
        Box::new(engine)
    });
}

#[test]
fn rocks_engine_equals_the_naive_twin_through_flushes_and_compactions() {
    for seed in 0..4 {
        let dir = TestDir::new();
        let engine = dir.open();
        let mut twin = random::Twin::default();
        let mut round = 0;
        random::run(&engine, &mut twin, seed, 3_000, &mut |_| {
            round += 1;
            if round % 2 == 0 {
                engine.flush().expect("the disk works");
            }
            if round % 7 == 0 {
                engine.compact();
            }
        });
    }
}

#[test]
fn mvcc_on_rocks_equals_the_naive_twin_through_flushes_and_compactions() {
    for seed in 0..4 {
        let dir = TestDir::new();
        let engine = dir.open();
        let mut round = 0;
        versions::run(&engine, seed, 3_000, &mut |_| {
            round += 1;
            engine.flush().expect("the disk works");
            if round % 9 == 0 {
                engine.compact();
            }
        });
    }
}

#[test]
fn rocks_engine_equals_the_naive_twin_through_reopening() {
    let dir = TestDir::new();
    let mut twin = random::Twin::default();
    for seed in 0..12 {
        let engine = dir.open();
        random::check(&engine, &twin);
        random::run(&engine, &mut twin, seed, 400, &mut |_| {});
    }
}

#[test]
fn mirrored_run_with_the_engine_in_memory() {
    let dir = TestDir::new();
    let mirror = Mirror::new(Box::new(dir.open()), Box::new(MemEngine::new()));
    let mut twin = random::Twin::default();
    random::run(&mirror, &mut twin, 4711, 3_000, &mut |_| {});
    let dirs = std::cell::RefCell::new(Vec::new());
    conformance::one_thread(&|| {
        let dir = TestDir::new();
        let mirror = Mirror::new(Box::new(dir.open()), Box::new(MemEngine::new()));
        dirs.borrow_mut().push(dir);
        Box::new(mirror)
    });
}

#[test]
fn reopening_keeps_what_was_synced() {
    let dir = TestDir::new();
    let engine = dir.open();
    (0..100).for_each(|value| engine.write(numbered(value)).expect("the disk works"));
    engine.sync().expect("the disk works");
    drop(engine);
    assert_eq!(count(&dir.open()), 100);
}

/// Set for the process that [`killed_process_keeps_all_it_wrote`] starts and kills: its directory.
const VICTIM: &str = "MERIDIAN_ROCKS_TEST_VICTIM";

/// Writes for ever and tells each number once it is written; syncs now and then.
fn victim(path: PathBuf) {
    let engine = RocksEngine::open(path, &RocksOptions::default()).expect("the directory is fine");
    for value in 0.. {
        engine.write(numbered(value)).expect("the disk works");
        if value % 16 == 0 {
            engine.sync().expect("the disk works");
        }
        println!("wrote {value}");
    }
}

fn start_victim(dir: &TestDir) -> Child {
    Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "tests::killed_process_keeps_all_it_wrote", "--nocapture"])
        .env(VICTIM, &dir.0)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it can be started again")
}

#[test]
fn killed_process_keeps_all_it_wrote() {
    if let Some(path) = std::env::var_os(VICTIM) {
        return victim(PathBuf::from(path));
    }
    let dir = TestDir::new();
    let mut written = 0;
    for round in 1..=3 {
        let mut child = start_victim(&dir);
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        // Borrowed: a closed pipe would end the process in order, and it is to be killed.
        for line in lines.by_ref() {
            let line = line.expect("readable");
            let Some(value) = line.rsplit_once("wrote ").and_then(|(_, n)| n.parse().ok()) else {
                continue;
            };
            written = written.max(value);
            if value == round * 300 {
                break;
            }
        }
        let error = RocksEngine::open(&dir.0, &RocksOptions::default()).expect_err("in use");
        let holder = Some(child.id());
        assert_eq!(error, OpenError::InUse { path: dir.0.clone(), holder });
        child.kill().expect("it runs");
        child.wait().expect("it was killed");
        assert!(count(&dir.open()) > written, "of {written} in round {round}");
    }
}

#[test]
fn after_a_failure_nothing_is_written_any_more() {
    let dir = TestDir::new();
    let engine = dir.open();
    engine.write(numbered(0)).expect("the disk works");
    // Any error will do; a disk that fails on demand is the business of the engine in memory.
    let fail = |db: &DB| db.set_options(&[("no_such_option", "1")]);
    let first = engine.unless_failed("testing", fail).expect_err("no such option");
    for later in [engine.write(numbered(1)), engine.sync()] {
        assert_eq!(later.expect_err("S3").to_string(), first.to_string());
    }
    assert_eq!(count(&engine), 1);
}

#[test]
fn torn_end_of_the_log_loses_the_last_batch_alone() {
    let dir = TestDir::new();
    let engine = dir.open();
    (0..10).for_each(|value| engine.write(numbered(value)).expect("the disk works"));
    engine.sync().expect("the disk works");
    drop(engine);
    let log = dir.logs().pop().expect("there is a log");
    let len = fs::metadata(&log).expect("it is there").len();
    let file = fs::OpenOptions::new().write(true).open(&log).expect("writable");
    file.set_len(len - 10).expect("it can be cut");
    assert_eq!(count(&dir.open()), 9);
}

/// A directory with table files and a log that is still needed, closed.
fn with_data() -> TestDir {
    let dir = TestDir::new();
    let engine = dir.open();
    (0..10).for_each(|value| engine.write(numbered(value)).expect("the disk works"));
    engine.flush().expect("the disk works");
    (10..20).for_each(|value| engine.write(numbered(value)).expect("the disk works"));
    engine.sync().expect("the disk works");
    drop(engine);
    dir
}

/// The error of a directory that does not open: it names the file and what to do, and the directory is
/// left as it was.
fn refused(dir: &TestDir, named: &str) -> String {
    let files = || {
        let entries = fs::read_dir(&dir.0).expect("the directory is there");
        let mut names: Vec<_> = entries.map(|entry| entry.expect("readable").file_name()).collect();
        names.retain(|name| name.to_string_lossy().ends_with(".sst"));
        names.sort();
        names
    };
    let before = files();
    let error = RocksEngine::open(&dir.0, &RocksOptions::default()).expect_err("S3");
    assert_eq!(files(), before, "something was deleted");
    assert!(matches!(error, OpenError::Corrupted { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(" is corrupted in ") && text.contains(named), "no {named} in: {text}");
    assert!(text.contains("leave this node switched off") && !text.contains('\n'), "{text}");
    text
}

/// The only file of this kind.
fn file(dir: &TestDir, is: impl Fn(&str) -> bool) -> PathBuf {
    let entries = fs::read_dir(&dir.0).expect("the directory is there");
    let mut found = entries.map(|entry| entry.expect("readable").path());
    let fits = |path: &PathBuf| is(&path.file_name().expect("a file").to_string_lossy());
    found.find(fits).expect("there is one")
}

#[test]
fn rot_in_the_log_is_reported_and_nothing_opened() {
    let dir = with_data();
    let log = dir.logs().pop().expect("there is a log");
    let mut bytes = fs::read(&log).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&log, bytes).expect("writable");
    refused(&dir, &log.file_name().expect("a file").to_string_lossy());
}

/// All that a crash can leave of the last record: nothing, or any beginning of it.
#[test]
fn wherever_the_end_of_the_log_is_torn_only_the_last_batch_is_lost() {
    let dir = TestDir::new();
    let engine = dir.open();
    (0..3).for_each(|value| engine.write(numbered(value)).expect("the disk works"));
    engine.sync().expect("the disk works");
    drop(engine);
    let log = dir.logs().pop().expect("there is a log");
    let whole = fs::read(&log).expect("readable");
    let record = whole.len() / 3;
    for cut in [1, 6, 7, 8, record / 2, record - 8, record - 1] {
        let again = TestDir::new();
        fs::create_dir_all(&again.0).expect("the temporary directory is writable");
        for entry in fs::read_dir(&dir.0).expect("the directory is there") {
            let path = entry.expect("readable").path();
            let name = path.file_name().expect("a file");
            fs::copy(&path, again.0.join(name)).expect("copied");
        }
        let name = log.file_name().expect("a file");
        fs::write(again.0.join(name), &whole[..whole.len() - cut]).expect("writable");
        assert_eq!(count(&again.open()), 2, "{cut} of {record} bytes torn off");
    }
}

#[test]
fn a_missing_file_is_named_and_nothing_is_made_anew() {
    type Is = fn(&str) -> bool;
    let kinds: [Is; 4] = [
        |name| name == "CURRENT",
        |name| name.starts_with("MANIFEST-"),
        |name| name.ends_with(".sst"),
        |name| name.ends_with(".log"),
    ];
    for is in kinds {
        let dir = with_data();
        let gone = file(&dir, is);
        fs::remove_file(&gone).expect("it is ours");
        let name = gone.file_name().expect("a file").to_string_lossy().into_owned();
        // Which number the log had is forgotten with it.
        refused(&dir, if name.ends_with(".log") { "*.log" } else { &name });
    }
}

#[test]
fn a_manifest_that_is_no_manifest_is_reported() {
    let dir = with_data();
    let manifest = file(&dir, |name| name.starts_with("MANIFEST-"));
    fs::write(&manifest, b"nonsense, and more of it than a header").expect("writable");
    let error = RocksEngine::open(&dir.0, &RocksOptions::default()).expect_err("S3");
    assert!(matches!(error, OpenError::Corrupted { .. }), "{error}");
}

#[test]
fn rot_in_a_table_file_is_reported_by_reads() {
    let dir = TestDir::new();
    let engine = dir.open();
    (0..100).for_each(|value| engine.write(numbered(value)).expect("the disk works"));
    engine.flush().expect("the disk works");
    drop(engine);
    for entry in fs::read_dir(&dir.0).expect("the directory is there") {
        let path = entry.expect("readable").path();
        if path.extension().is_some_and(|extension| extension == "sst") {
            let mut bytes = fs::read(&path).expect("readable");
            bytes[100] ^= 1;
            fs::write(&path, bytes).expect("writable");
        }
    }
    let engine = dir.open();
    let mut seen = 0;
    let result = engine.scan(Scan::new(Cf::Log, b"", b"\xff"), &mut |_, _| {
        seen += 1;
        true
    });
    assert!(result.expect_err("S3").corruption);
    assert_eq!(seen, 0);
    let cursor = engine.cursor(Scan::new(Cf::Log, b"", b"\xff"));
    assert!(cursor.entry().is_none());
    assert!(cursor.status().expect_err("not the end of the data").corruption);
    assert!(engine.get(Cf::Log, &5u32.to_be_bytes()).expect_err("S3").corruption);
}

#[test]
fn directory_in_use_is_refused_with_its_holder() {
    let dir = TestDir::new();
    let _engine = dir.open();
    let error = RocksEngine::open(&dir.0, &RocksOptions::default()).expect_err("it is in use");
    let holder = Some(std::process::id());
    assert_eq!(error, OpenError::InUse { path: dir.0.clone(), holder });
    assert!(error.to_string().ends_with("is in use by this process already"), "{error}");
}

#[test]
fn path_that_is_a_file_is_refused() {
    let dir = TestDir::new();
    fs::write(&dir.0, "a file").expect("the temporary directory is writable");
    let error = RocksEngine::open(&dir.0, &RocksOptions::default()).expect_err("no directory");
    assert!(matches!(error, OpenError::Failed { .. }), "{error}");
    fs::remove_file(&dir.0).expect("it is ours");
}

#[test]
fn nine_databases_share_the_memory_of_a_process() {
    let memory = Memory::default();
    let dirs: Vec<_> = (0..9).map(|_| TestDir::new()).collect();
    let engines: Vec<_> = dirs
        .iter()
        .map(|dir| RocksEngine::open(&dir.0, &RocksOptions::new(memory.clone())).expect("fine"))
        .collect();
    for engine in &engines {
        (0..100).for_each(|value| engine.write(numbered(value)).expect("the disk works"));
    }
    // Nine databases of five column families: what they take idle must be small beside 1 GiB.
    let idle: u64 = engines
        .iter()
        .flat_map(|engine| Cf::ALL.map(|cf| engine.property(cf, "rocksdb.size-all-mem-tables")))
        .map(|bytes| bytes.expect("RocksDB knows it"))
        .sum();
    assert!(idle < 16 << 20, "{idle} bytes of memtables");
}
