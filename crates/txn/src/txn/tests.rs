//! Transactions on the naive cluster: what they see, what they refuse, what they leave behind.

mod model;

use std::sync::Arc;

use bytes::Bytes;
use keys::{Key, NodeId, RangeId, Span};
use kv::{KvError, LockWait, Push, PushKind, Request};
use timer::Instant;

use crate::{
    Access, Coordinator, Isolation, Scan, ScanRows, Txn, TxnError, TxnOptions, naive::NaiveCluster,
};

/// Ranges r2 [a - h), r3 [h - p), r4 [p - z), led by nodes 1, 2, 3.
fn cluster() -> (Arc<NaiveCluster>, Arc<Coordinator>) {
    let cluster = NaiveCluster::new(3, &["a".into(), "h".into(), "p".into(), "z".into()], None);
    let coordinator = cluster.coordinator();
    (cluster, coordinator)
}

fn at(isolation: Isolation) -> TxnOptions {
    TxnOptions { isolation, ..TxnOptions::default() }
}

fn key(name: &str) -> Key {
    name.into()
}

fn value(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn span(start: &str, end: &str) -> Span {
    Span::new(start, end)
}

fn shown(rows: &ScanRows) -> String {
    let row =
        |(key, value): &(Key, Bytes)| format!("{}={}", key.escape_ascii(), value.escape_ascii());
    rows.rows.iter().map(row).collect::<Vec<_>>().join(" ")
}

async fn write(coordinator: &Arc<Coordinator>, rows: &[(&str, &str)]) {
    let mut txn = coordinator.begin(TxnOptions::default());
    for (name, text) in rows {
        txn.put(key(name), value(text)).unwrap();
    }
    txn.commit().await.unwrap();
}

async fn get(txn: &mut Txn, name: &str) -> Option<String> {
    let found = txn.get(&[key(name)]).await.unwrap().pop().unwrap();
    found.map(|value| value.escape_ascii().to_string())
}

async fn scan(txn: &mut Txn, start: &str, end: &str) -> String {
    shown(&txn.read(vec![Scan::all(span(start, end))]).await.unwrap()[0])
}

/// Waits until what goes on behind answers is done.
async fn settled(cluster: &NaiveCluster) {
    for _ in 0..1_000 {
        if cluster.holders().is_empty() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{:?} still hold locks", cluster.holders());
}

#[tokio::test(start_paused = true)]
async fn commits_in_one_range_and_over_several() {
    let (cluster, coordinator) = cluster();
    let mut one = coordinator.begin(TxnOptions::default());
    one.put(key("b"), value("1")).unwrap();
    let info = one.commit().await.unwrap();
    assert_eq!(info.participants, 1);
    let mut three = coordinator.begin(TxnOptions::default());
    assert_eq!(get(&mut three, "b").await.as_deref(), Some("1"));
    three.put(key("c"), value("2")).unwrap();
    three.put(key("i"), value("3")).unwrap();
    three.put(key("q"), value("4")).unwrap();
    let info_three = three.commit().await.unwrap();
    assert_eq!(info_three.participants, 3);
    assert!(info_three.at > info.at);
    let mut reader = coordinator.begin(TxnOptions::default());
    assert_eq!(scan(&mut reader, "a", "z").await, "b=1 c=2 i=3 q=4");
    assert_eq!(reader.commit().await.unwrap().participants, 0);
    settled(&cluster).await;
}

#[tokio::test(start_paused = true)]
async fn reads_its_own_writes_in_both_directions_and_with_limits() {
    let (cluster, coordinator) = cluster();
    cluster.set_page_rows(2);
    write(&coordinator, &[("b", "1"), ("c", "1"), ("d", "1"), ("i", "1"), ("q", "1")]).await;
    let mut txn = coordinator.begin(TxnOptions::default());
    txn.delete(key("c")).unwrap();
    txn.put(key("d"), value("2")).unwrap();
    txn.put(key("k"), value("2")).unwrap();
    assert_eq!(scan(&mut txn, "a", "z").await, "b=1 d=2 i=1 k=2 q=1");
    let reverse = Scan { reverse: true, ..Scan::all(span("a", "z")) };
    let limited = Scan { limit: Some(2), ..reverse.clone() };
    let rows = txn.read(vec![reverse, limited]).await.unwrap();
    assert_eq!(shown(&rows[0]), "q=1 k=2 i=1 d=2 b=1");
    assert_eq!(shown(&rows[1]), "q=1 k=2");
    let rest = Scan { reverse: true, ..Scan::all(rows[1].resume.clone().unwrap()) };
    let page = txn.scan_page(&rest, 2).await.unwrap();
    assert_eq!(shown(&page), "i=1 d=2");
    let rest = Scan { span: page.resume.unwrap(), ..rest };
    let page = txn.scan_page(&rest, 2).await.unwrap();
    assert_eq!(shown(&page), "b=1");
    assert!(txn.overlaps(&span("c", "d")) && !txn.overlaps(&span("e", "j")));
}

#[tokio::test(start_paused = true)]
async fn savepoints_take_back_writes() {
    let (_, coordinator) = cluster();
    let mut txn = coordinator.begin(TxnOptions::default());
    txn.put(key("b"), value("1")).unwrap();
    txn.savepoint("s");
    txn.put(key("b"), value("2")).unwrap();
    txn.put(key("c"), value("2")).unwrap();
    txn.rollback_to("s").unwrap();
    assert_eq!(scan(&mut txn, "a", "z").await, "b=1");
    txn.put(key("d"), value("3")).unwrap();
    txn.release("s").unwrap();
    assert_eq!(txn.rollback_to("s").unwrap_err().sqlstate(), "3B001");
    txn.commit().await.unwrap();
    let mut reader = coordinator.begin(TxnOptions::default());
    assert_eq!(scan(&mut reader, "a", "z").await, "b=1 d=3");
}

/// Two doctors on call; each leaves if the other stays.
async fn write_skew(isolation: Isolation) -> Result<crate::CommitInfo, TxnError> {
    let (_, coordinator) = cluster();
    write(&coordinator, &[("b", "on"), ("q", "on")]).await;
    let (mut one, mut two) = (coordinator.begin(at(isolation)), coordinator.begin(at(isolation)));
    assert_eq!(scan(&mut one, "a", "z").await, "b=on q=on");
    assert_eq!(scan(&mut two, "a", "z").await, "b=on q=on");
    one.put(key("b"), value("off")).unwrap();
    two.put(key("q"), value("off")).unwrap();
    one.commit().await.unwrap();
    two.commit().await
}

#[tokio::test(start_paused = true)]
async fn write_skew_is_refused_at_serializable_only() {
    let error = write_skew(Isolation::Serializable).await.unwrap_err();
    assert_eq!(error.sqlstate(), "40001");
    let told = error.to_string();
    assert!(told.contains("/0x62/[] was changed after this transaction read it"), "{told}");
    write_skew(Isolation::RepeatableRead).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn lost_updates_are_refused_at_every_level() {
    for isolation in [Isolation::Serializable, Isolation::RepeatableRead, Isolation::ReadCommitted]
    {
        let (_, coordinator) = cluster();
        write(&coordinator, &[("b", "1")]).await;
        let mut one = coordinator.begin(at(isolation));
        let mut two = coordinator.begin(at(isolation));
        assert_eq!(get(&mut one, "b").await, get(&mut two, "b").await);
        one.put(key("b"), value("2")).unwrap();
        two.put(key("b"), value("2")).unwrap();
        one.commit().await.unwrap();
        assert_eq!(two.commit().await.unwrap_err().sqlstate(), "40001", "{isolation:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_phantom_is_a_conflict() {
    let (_, coordinator) = cluster();
    let mut txn = coordinator.begin(TxnOptions::default());
    assert_eq!(scan(&mut txn, "i", "k").await, "");
    write(&coordinator, &[("j", "1")]).await;
    txn.put(key("b"), value("none")).unwrap();
    assert_eq!(txn.commit().await.unwrap_err().sqlstate(), "40001");
}

#[tokio::test(start_paused = true)]
async fn what_a_limit_left_unread_is_no_conflict() {
    let (_, coordinator) = cluster();
    write(&coordinator, &[("b", "1"), ("c", "1"), ("d", "1")]).await;
    let mut txn = coordinator.begin(TxnOptions::default());
    let first = Scan { limit: Some(1), ..Scan::all(span("a", "z")) };
    assert_eq!(shown(&txn.read(vec![first]).await.unwrap()[0]), "b=1");
    write(&coordinator, &[("c", "2")]).await;
    txn.put(key("x"), value("1")).unwrap();
    txn.commit().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn read_committed_sees_each_statement_anew() {
    let (_, coordinator) = cluster();
    write(&coordinator, &[("b", "1")]).await;
    let mut txn = coordinator.begin(at(Isolation::ReadCommitted));
    txn.begin_statement().await.unwrap();
    assert_eq!(get(&mut txn, "b").await.as_deref(), Some("1"));
    write(&coordinator, &[("b", "2")]).await;
    let moved = txn.lock(vec![key("b")], LockWait::Wait).await.unwrap();
    assert_eq!(moved.len(), 1);
    txn.begin_statement().await.unwrap();
    assert_eq!(get(&mut txn, "b").await.as_deref(), Some("2"));
    txn.put(key("b"), value("3")).unwrap();
    txn.commit().await.unwrap();
}

/// ε falls when a clock hears from its source: the interval's end may lie before one that was read
/// earlier. Found by `clients_that_give_up_leave_nothing_behind` on a sawtooth clock.
#[tokio::test(start_paused = true)]
async fn a_statement_sees_what_the_one_before_it_saw_though_the_interval_became_narrower() {
    let (cluster, coordinator) = cluster();
    write(&coordinator, &[("b", "1")]).await;
    cluster.set_epsilon(7_000_000);
    let mut txn = coordinator.begin(at(Isolation::ReadCommitted));
    let first = txn.begin_statement().await.unwrap();
    cluster.set_epsilon(1_000_000);
    let second = txn.begin_statement().await.unwrap();
    assert!(second >= first, "{first:?}, then {second:?}");
    assert_eq!(get(&mut txn, "b").await.as_deref(), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn read_only_and_past_transactions_write_nothing() {
    let (cluster, coordinator) = cluster();
    write(&coordinator, &[("b", "1")]).await;
    let past = coordinator.clock().now().latest_timestamp();
    write(&coordinator, &[("b", "2")]).await;
    let options = TxnOptions { as_of: Some(past), ..TxnOptions::default() };
    let mut txn = coordinator.begin(options);
    assert_eq!(txn.access(), Access::ReadOnly);
    assert_eq!(get(&mut txn, "b").await.as_deref(), Some("1"));
    assert_eq!(txn.put(key("b"), value("3")).unwrap_err().sqlstate(), "25006");
    cluster.crash(NodeId(1));
    assert_eq!(get(&mut txn, "b").await.as_deref(), Some("1"));
    cluster.set_gc_threshold(past.next());
    let error = txn.get(&[key("b")]).await.unwrap_err();
    assert_eq!(error.sqlstate(), "72000");
    let future =
        coordinator.clock().now().latest_timestamp().plus(std::time::Duration::from_secs(9));
    let mut txn = coordinator.begin(TxnOptions { as_of: Some(future), ..TxnOptions::default() });
    assert_eq!(txn.begin_statement().await.unwrap_err().sqlstate(), "22023");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_transaction_leaves_no_lock() {
    let (cluster, coordinator) = cluster();
    let mut txn = coordinator.begin(TxnOptions::default());
    txn.lock(vec![key("b"), key("q")], LockWait::Wait).await.unwrap();
    let mut other = coordinator.begin(TxnOptions::default());
    let busy = other.lock(vec![key("b")], LockWait::NoWait).await.unwrap_err();
    assert_eq!(busy.sqlstate(), "55P03");
    assert!(!cluster.holders().is_empty());
    drop(txn);
    settled(&cluster).await;
    other.lock(vec![key("b")], LockWait::NoWait).await.unwrap();
    other.rollback().await;
    assert!(cluster.holders().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_waiter_gets_the_lock_when_its_holder_is_done() {
    let (cluster, coordinator) = cluster();
    let mut old = coordinator.begin(TxnOptions::default());
    old.lock(vec![key("b")], LockWait::Wait).await.unwrap();
    let mut young = coordinator.begin(at(Isolation::ReadCommitted));
    let waiting = tokio::spawn(async move {
        let moved = young.lock(vec![key("b")], LockWait::Wait).await.unwrap();
        (young, moved)
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    old.put(key("b"), value("1")).unwrap();
    let info = old.commit().await.unwrap();
    let (mut young, moved) = waiting.await.unwrap();
    assert_eq!(moved, [(key("b"), info.at)]);
    young.rollback().await;
    settled(&cluster).await;
}

#[tokio::test(start_paused = true)]
async fn an_older_transaction_wounds_a_younger_one() {
    let (_, coordinator) = cluster();
    let mut old = coordinator.begin(TxnOptions::default());
    let mut young = coordinator.begin(TxnOptions::default());
    young.lock(vec![key("b")], LockWait::Wait).await.unwrap();
    young.put(key("b"), value("young")).unwrap();
    old.lock(vec![key("b")], LockWait::Wait).await.unwrap();
    let error = young.commit().await.unwrap_err();
    assert_eq!(error.sqlstate(), "40001");
    old.put(key("b"), value("old")).unwrap();
    old.commit().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lock_wait_ends_at_the_deadline() {
    let (_, coordinator) = cluster();
    let mut old = coordinator.begin(TxnOptions::default());
    old.lock(vec![key("b")], LockWait::Wait).await.unwrap();
    let mut young = coordinator.begin(TxnOptions::default());
    let begun = Instant::now();
    let timeout = std::time::Duration::from_secs(5);
    young.set_deadline(Some(begun + timeout));
    let error = young.lock(vec![key("b")], LockWait::Wait).await.unwrap_err();
    assert_eq!(error.sqlstate(), "57014");
    assert!(error.to_string().contains("timed out waiting"), "{error}");
    assert_eq!(begun.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn ranges_split_and_leaders_move_unnoticed() {
    let (cluster, coordinator) = cluster();
    write(&coordinator, &[("b", "1"), ("i", "1"), ("q", "1")]).await;
    cluster.split(&key("c"), RangeId(10));
    cluster.split(&key("e"), RangeId(11));
    cluster.set_leader(RangeId(3), NodeId(1));
    let mut txn = coordinator.begin(TxnOptions::default());
    assert_eq!(scan(&mut txn, "a", "z").await, "b=1 i=1 q=1");
    cluster.split(&key("j"), RangeId(12));
    for name in ["b", "c", "f", "i", "k"] {
        txn.put(key(name), value("2")).unwrap();
    }
    let info = txn.commit().await.unwrap();
    assert_eq!(info.participants, 6);
    settled(&cluster).await;
    let mut txn = coordinator.begin(TxnOptions::default());
    assert_eq!(scan(&mut txn, "a", "z").await, "b=2 c=2 f=2 i=2 k=2 q=1");
}

#[tokio::test(start_paused = true)]
async fn a_range_without_replicas_is_named() {
    let (cluster, coordinator) = cluster();
    (1..=3).for_each(|node| cluster.crash(NodeId(node)));
    let mut txn = coordinator.begin(TxnOptions::default());
    txn.set_deadline(Some(Instant::now() + std::time::Duration::from_secs(3)));
    let error = txn.get(&[key("b")]).await.unwrap_err();
    assert_eq!(error.sqlstate(), "57M01");
    assert!(error.to_string().contains("r1 is unavailable"), "{error}");
    assert!(error.to_string().contains("among n1, n2, n3; n1: no answer"), "{error}");
}

/// Nobody is waited for until the statement's own deadline where a fail-over would be over by now; a
/// leader that holds a lock is there, and is.
#[tokio::test(start_paused = true)]
async fn a_range_without_a_leader_is_given_up_after_a_fail_over() {
    let (cluster, coordinator) = cluster();
    let patience = crate::RouterConfig::default().leaderless_patience;
    let mut old = coordinator.begin(TxnOptions::default());
    old.lock(vec![key("b")], LockWait::Wait).await.unwrap();
    let mut young = coordinator.begin(TxnOptions::default());
    let begun = Instant::now();
    young.set_deadline(Some(begun + patience * 3));
    let error = young.lock(vec![key("b")], LockWait::Wait).await.unwrap_err();
    assert_eq!((error.sqlstate(), begun.elapsed()), ("57014", patience * 3), "{error}");
    (1..=3).for_each(|node| cluster.crash(NodeId(node)));
    let begun = Instant::now();
    let mut txn = coordinator.begin(TxnOptions::default());
    let error = txn.get(&[key("b")]).await.unwrap_err();
    assert_eq!(error.sqlstate(), "57M01", "{error}");
    assert!(begun.elapsed() < patience + patience / 4, "{:?}", begun.elapsed());
}

/// What became of a commit is asked for as long as its asker has, not only as long as a fail-over
/// takes: an answer that comes late is better than none (X8).
#[tokio::test(start_paused = true)]
async fn an_outcome_is_asked_for_until_the_deadline() {
    let (cluster, coordinator) = cluster();
    let mut txn = coordinator.begin(TxnOptions::default());
    txn.lock(vec![key("b")], LockWait::Wait).await.unwrap();
    let push = Push { txn: txn.meta(), kind: PushKind::Owner };
    (1..=3).for_each(|node| cluster.crash(NodeId(node)));
    let begun = Instant::now();
    let patience = crate::RouterConfig::default().leaderless_patience * 3;
    let router = coordinator.router();
    let asked = router.send_to_key(&key("b"), Request::Push(push), begun + patience).await;
    assert!(matches!(asked, Err(KvError::Unavailable { .. })), "{asked:?}");
    assert!(begun.elapsed() >= patience, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn contended_increments_all_happen() {
    let (cluster, coordinator) = cluster();
    write(&coordinator, &[("b", "0"), ("q", "0")]).await;
    let mut tasks = Vec::new();
    for _ in 0..20 {
        let coordinator = coordinator.clone();
        tasks.push(tokio::spawn(async move {
            let timeout = std::time::Duration::from_secs(60);
            let done = coordinator.run_retrying(TxnOptions::default(), timeout, |txn: &mut Txn| {
                Box::pin(async move {
                    for name in ["b", "q"] {
                        let now: u64 = get(txn, name).await.unwrap().parse().unwrap();
                        tokio::task::yield_now().await;
                        txn.put(key(name), value(&(now + 1).to_string()))?;
                    }
                    Ok::<_, TxnError>(())
                })
            });
            done.await.unwrap();
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(cluster.newest(&key("b")).as_deref(), Some(&b"20"[..]));
    assert_eq!(cluster.newest(&key("q")).as_deref(), Some(&b"20"[..]));
    settled(&cluster).await;
}

#[tokio::test(start_paused = true)]
async fn one_lookup_serves_all_who_want_a_key() {
    let (_, coordinator) = cluster();
    let mut tasks = Vec::new();
    for _ in 0..50 {
        let mut txn = coordinator.begin(TxnOptions::default());
        tasks.push(tokio::spawn(async move {
            txn.get(&[key("b")]).await.unwrap();
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let deadline = Instant::now() + std::time::Duration::from_secs(1);
    let ranges = coordinator.router().ranges_of(&span("a", "z"), deadline).await.unwrap();
    let ids: Vec<u64> = ranges.iter().map(|range| range.id.0).collect();
    assert_eq!(ids, [2, 3, 4]);
    let gap = coordinator.router().ranges_of(&span("z", "zz"), deadline).await.unwrap_err();
    assert!(matches!(gap, TxnError::NoRange { .. }), "{gap}");
}

/// The directory still has the parent, the cache knows the child: what is left of the parent is
/// found through the parent's replica.
#[tokio::test(start_paused = true)]
async fn a_directory_behind_the_times_is_good_enough() {
    let (cluster, coordinator) = cluster();
    cluster.split(&key("c"), RangeId(10));
    let child = cluster.ranges().into_iter().find(|range| range.id == RangeId(10)).unwrap();
    coordinator.router().learn(child);
    write(&coordinator, &[("b", "1"), ("d", "1")]).await;
    let mut txn = coordinator.begin(TxnOptions::default());
    assert_eq!(scan(&mut txn, "a", "h").await, "b=1 d=1");
}

#[tokio::test(start_paused = true)]
async fn too_many_rows_are_refused_before_memory_is_full() {
    let (cluster, _) = cluster();
    let config = crate::Config { max_read_rows: 2, ..crate::Config::default() };
    let coordinator = cluster.coordinator_with(config, crate::RouterConfig::default());
    write(&coordinator, &[("b", "1"), ("i", "1"), ("q", "1")]).await;
    let mut txn = coordinator.begin(TxnOptions::default());
    let error = txn.read(vec![Scan::all(span("a", "z"))]).await.unwrap_err();
    assert_eq!(error.sqlstate(), "53200");
    assert_eq!(scan(&mut txn, "a", "p").await, "b=1 i=1");
    assert_eq!(txn.read_stats().rows, 5);
}

#[tokio::test(start_paused = true)]
async fn a_schema_bound_that_passed_is_a_conflict() {
    let (_, coordinator) = cluster();
    let mut txn = coordinator.begin(TxnOptions::default());
    txn.put(key("b"), value("1")).unwrap();
    txn.set_not_after(coordinator.clock().now().latest_timestamp());
    let error = txn.commit().await.unwrap_err();
    assert_eq!(error.sqlstate(), "40001");
    assert!(error.to_string().contains("too long ago"), "{error}");
}

/// A blind write that rests on what was read before: refused if that was written meanwhile, also by a
/// commit above the writer's own snapshot.
#[tokio::test(start_paused = true)]
async fn what_is_relied_on_is_validated_as_of_its_own_time() {
    let (cluster, coordinator) = cluster();
    write(&coordinator, &[("b", "1")]).await;
    let since = coordinator.last_commit();
    let mut fine = coordinator.begin(TxnOptions::default());
    fine.rely_on(Span::point(key("b")), since);
    fine.put(key("q"), value("1")).unwrap();
    fine.commit().await.unwrap();
    write(&coordinator, &[("b", "2")]).await;
    let mut late = coordinator.begin(TxnOptions::default());
    late.rely_on(Span::point(key("b")), since);
    late.put(key("q"), value("2")).unwrap();
    assert_eq!(late.commit().await.unwrap_err().sqlstate(), "40001");
    assert_eq!(cluster.newest(&key("q")).as_deref(), Some(&b"1"[..]));
    settled(&cluster).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_never_reads_below_its_last_commit() {
    let (_, coordinator) = cluster();
    let after =
        coordinator.clock().now().latest_timestamp().plus(std::time::Duration::from_millis(9));
    let mut txn = coordinator.begin(TxnOptions { after, ..TxnOptions::default() });
    assert_eq!(txn.begin_statement().await.unwrap(), after);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_too_old_to_be_decided_is_refused_here() {
    let (cluster, _) = cluster();
    let config = crate::Config { max_age: std::time::Duration::ZERO, ..crate::Config::default() };
    let coordinator = cluster.coordinator_with(config, crate::RouterConfig::default());
    let mut txn = coordinator.begin(TxnOptions::default());
    assert_eq!(txn.commit().await.unwrap_err().sqlstate(), "40001");
    assert!(txn.is_finished());
}

fn long(byte: u8, len: usize) -> Key {
    Key::from_vec([vec![b'b', byte], vec![b'x'; len - 2]].concat())
}

/// Locks take memory as writes do, at the gateway and in the ranges.
#[tokio::test(start_paused = true)]
async fn locks_count_towards_the_bytes_of_a_transaction() {
    let (cluster, _) = cluster();
    let config = crate::Config { max_txn_bytes: 100_000, ..crate::Config::default() };
    let coordinator = cluster.coordinator_with(config, crate::RouterConfig::default());
    let mut txn = coordinator.begin(TxnOptions::default());
    let keys: Vec<Key> = (0..5).map(|n| long(n, 16_000)).collect();
    txn.lock(keys.clone(), LockWait::Wait).await.unwrap();
    txn.lock(keys, LockWait::Wait).await.unwrap();
    let more = (5..8).map(|n| long(n, 16_000)).collect();
    assert_eq!(txn.lock(more, LockWait::Wait).await.unwrap_err().sqlstate(), "54000");
    let error = txn.put(key("c"), Bytes::from(vec![0; 30_000])).unwrap_err();
    assert_eq!(error.sqlstate(), "54000", "{error}");
    txn.put(key("c"), Bytes::from(vec![0; 10_000])).unwrap();
    txn.lock(vec![key("d")], LockWait::Wait).await.unwrap();
    txn.rollback().await;
    settled(&cluster).await;
}

/// More than one message holds is asked for in several.
#[tokio::test(start_paused = true)]
async fn many_long_keys_are_locked_in_pages() {
    let (cluster, coordinator) = cluster();
    let keys: Vec<Key> = (0..=u8::MAX)
        .flat_map(|a| (0..4).map(move |b| (a, b)))
        .map(|(a, b)| Key::from_vec([vec![b'b', a, b], vec![b'x'; 10_000]].concat()))
        .collect();
    let mut txn = coordinator.begin(TxnOptions::default());
    txn.lock(keys.clone(), LockWait::Wait).await.unwrap();
    let mut other = coordinator.begin(TxnOptions::default());
    for key in [&keys[0], &keys[keys.len() / 2], &keys[keys.len() - 1]] {
        let busy = other.lock(vec![key.clone()], LockWait::NoWait).await.unwrap_err();
        assert_eq!(busy.sqlstate(), "55P03");
    }
    other.rollback().await;
    txn.rollback().await;
    settled(&cluster).await;
}

/// What was looked for may be longer than any key there is: nothing is there, and that is validated
/// like anything else. So is a key that is just as long as a key may be.
#[tokio::test(start_paused = true)]
async fn reads_of_keys_too_long_to_exist_do_not_hinder_the_commit() {
    let (_, coordinator) = cluster();
    let longest = crate::Config::default().max_key_bytes;
    for isolation in [Isolation::Serializable, Isolation::RepeatableRead, Isolation::ReadCommitted]
    {
        let mut txn = coordinator.begin(at(isolation));
        let asked = [long(0, longest + 4_000), long(1, longest), long(2, longest + 1)];
        txn.get(&asked).await.unwrap();
        txn.read(vec![Scan::all(Span::new(asked[0].clone(), asked[2].clone()))]).await.unwrap();
        txn.put(asked[1].clone(), value("1")).unwrap();
        txn.put(key("q"), value("1")).unwrap();
        txn.commit().await.unwrap();
    }
    let mut txn = coordinator.begin(TxnOptions::default());
    txn.get(&[long(1, longest + 4_000)]).await.unwrap();
    let mut other = coordinator.begin(TxnOptions::default());
    other.put(long(1, longest), value("2")).unwrap();
    other.commit().await.unwrap();
    txn.put(key("q"), value("2")).unwrap();
    let result = txn.commit().await;
    assert!(result.as_ref().is_err_and(|error| error.sqlstate() == "40001"), "{result:?}");
}
