//! What the command line asks for.

use super::asks_for_rocksdb;

#[test]
fn a_demo_needs_rocksdb_only_for_data_that_stays() {
    let asks = |line: &str| {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        asks_for_rocksdb(&args)
    };
    for line in ["--data d", "--data=d", "--engine rocksdb", "--no-shell --engine=rocksdb"] {
        assert!(asks(line), "{line}");
    }
    for line in ["", "--engine memory", "--topology one-region", "--clock fixed --epsilon 4ms"] {
        assert!(!asks(line), "{line}");
    }
}
