//! Registrations on the naive cluster: what each rests on, and what whoever changes the schema finds.

use keys::SchemaVersion;
use txn::naive::NaiveCluster;

use super::*;

const LENGTH: Duration = Duration::from_secs(5);
const NODE: NodeId = NodeId(2);

fn registrar(cluster: &Arc<NaiveCluster>) -> Registrar {
    Registrar { coordinator: cluster.coordinator(), node: NODE, length: LENGTH }
}

async fn read(registrar: &Registrar) -> Catalog {
    let mut txn = registrar.coordinator.begin(reads_only(Timestamp::ZERO));
    store::load(&mut txn).await.expect("it can be read")
}

async fn publish(registrar: &Registrar, version: u64) -> Timestamp {
    let mut txn = registrar.coordinator.begin(TxnOptions::default());
    store::put_version(&mut txn, SchemaVersion(version)).expect("it fits");
    txn.commit().await.expect("nobody else writes").at
}

fn is_conflict(outcome: &Outcome<Lease>) -> bool {
    matches!(outcome, Err(Failure::Txn(TxnError::Retry(_))))
}

#[tokio::test(start_paused = true)]
async fn a_registration_covers_what_was_known_unless_the_schema_changed() {
    let cluster = NaiveCluster::new(3, &[], None);
    let registrar = registrar(&cluster);
    let (known, lease) = (read(&registrar).await, registrar.look().await.unwrap());
    assert!(!lease.covers(known.read_at), "nothing is registered yet");
    let first = registrar.at_once(&known, &lease).await.expect("nothing changed");
    assert!(first.covers(first.at) && !first.covers(known.read_at), "{first:?}");
    assert!(first.until > first.at && first.until <= first.at.plus(LENGTH), "{first:?}");
    // Its own registration is no change.
    let known = known.seen_again(first.at);
    let second = registrar.at_once(&known, &first).await.expect("nothing changed");
    assert!(second.at > first.at && second.until > first.until, "{second:?}");
    let known = known.seen_again(second.at);
    let changed = publish(&registrar, 1).await;
    assert!(is_conflict(&registrar.at_once(&known, &second).await));
    let third = registrar.anew(&second).await.expect("whatever happened");
    assert!(third.at > changed && third.until > second.until, "{third:?}");
}

/// A registration that was given up on its way arrives after a later one: it would tell of an end below
/// the one that is in use.
#[tokio::test(start_paused = true)]
async fn a_registration_does_not_arrive_behind_a_later_one() {
    let cluster = NaiveCluster::new(3, &[], None);
    let registrar = registrar(&cluster);
    let (known, lease) = (read(&registrar).await, registrar.look().await.unwrap());
    let first = registrar.at_once(&known, &lease).await.expect("nothing changed");
    assert!(is_conflict(&registrar.at_once(&known, &lease).await), "it was seen before the first");
    // The node starts anew: what its former life sends from now on is refused, too.
    let found = registrar.look().await.unwrap();
    assert!(found.former >= first.until, "{found:?}");
    let again = registrar.at_once(&known, &found).await.expect("nothing changed");
    assert!(again.until > Timestamp::ZERO && again.former == found.former, "{again:?}");
    assert!(is_conflict(&registrar.at_once(&known, &first).await));
    assert!(registrar.leave(&first).await.is_err(), "a former life does not leave for this one");
    // Nor does this one for the former: what that sent may still arrive.
    registrar.leave(&again).await.expect("nothing changed");
    assert_eq!(registrar.look().await.unwrap().former, again.former);
}

#[tokio::test(start_paused = true)]
async fn whoever_changes_the_schema_finds_who_is_registered() {
    let cluster = NaiveCluster::new(3, &[], None);
    let registrar = registrar(&cluster);
    let (known, lease) = (read(&registrar).await, registrar.look().await.unwrap());
    let mine = registrar.at_once(&known, &lease).await.expect("nothing changed");
    let published = publish(&registrar, 1).await;
    let coordinator = &registrar.coordinator;
    let ends = Ends::read(coordinator, published, LENGTH).await;
    assert!(ends.of(NODE) >= mine.until, "{ends:?}");
    assert_eq!(ends.of(NodeId(1)), Timestamp::ZERO, "it never registered");
    registrar.leave(&mine).await.expect("nothing else is on its way");
    assert_eq!(Ends::read(coordinator, published, LENGTH).await.of(NODE), Timestamp::ZERO);
    // Whatever a registration says, nothing is used for longer than a lease.
    let mut txn = coordinator.begin(TxnOptions::default());
    store::put_lease(&mut txn, NODE, Timestamp::MAX).expect("it fits");
    let written = txn.commit().await.expect("nobody else writes").at;
    let ends = Ends::read(coordinator, published, LENGTH).await;
    assert!(ends.of(NODE) < written.plus(2 * LENGTH), "{ends:?}");
    let found = registrar.look().await.unwrap();
    assert!(found.former < written.plus(2 * LENGTH), "{found:?}");
    // Nor does the next registration of that gateway carry it on.
    registrar.anew(&found).await.expect("whatever happened");
    let carried = registrar.look().await.unwrap().former;
    let ends = Ends::read(coordinator, published, 100 * LENGTH).await;
    assert!(ends.of(NODE) < written.plus(3 * LENGTH), "{ends:?}, {carried:?}");
}

/// Where nobody can tell who is registered, all may be.
#[tokio::test(start_paused = true)]
async fn without_the_registrations_a_whole_lease_is_waited() {
    let cluster = NaiveCluster::new(3, &[], None);
    let registrar = registrar(&cluster);
    let published = publish(&registrar, 1).await;
    (1..=3).for_each(|node| cluster.crash(NodeId(node)));
    let ends = Ends::read(&registrar.coordinator, published, LENGTH).await;
    assert_eq!(
        (ends.of(NodeId(1)), ends.of(NODE)),
        (published.plus(LENGTH), published.plus(LENGTH))
    );
}
