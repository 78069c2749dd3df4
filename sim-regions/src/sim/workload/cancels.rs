//! Clients that give up what they run: they cancel, go away, or let the time run out.
//!
//! Nothing of a statement that was given up may show, unless it was a COMMIT; and nothing it left at
//! a range may trip that. The latter takes a certain mix: a transaction that holds a lock in a range,
//! reads there what another one's two-phase commit has an intent on, cancels that read, goes back to
//! a savepoint, and commits in the same range while the read is still on its way out. READ COMMITTED
//! lets it, since what it did not read in the end is not validated. Such transactions may see what no
//! serial order allows, so they keep to keys of their own, which no history tells of.

use std::time::Duration;

use checker::{Call, Value, Workload as Judged};
use rand::RngExt as _;

use super::{Shop, TABLES, Workload};
use crate::sim::client::{Client, Failure, Whim};

/// After how long a statement is given up, in milliseconds: within a lock's wait, a round trip, a
/// two-phase commit around the world.
const PATIENCE_MILLIS: std::ops::Range<u64> = 1..250;

/// Keys that all of them fight for, per table.
const SHARED: u32 = 2;

/// One step.
pub(super) async fn step(shop: &Shop, client: &mut Client) {
    match client.rng.random_range(0..8) {
        0..=2 => spread(shop, client).await,
        3..=5 => give_up_and_commit(shop, client).await,
        6 => lists(shop, client).await,
        _ => single(shop, client).await,
    }
}

fn patience(client: &mut Client) -> Duration {
    Duration::from_millis(client.rng.random_range(PATIENCE_MILLIS))
}

fn whim(client: &mut Client) -> Whim {
    let after = patience(client);
    if client.rng.random_range(0..4) == 0 { Whim::HangUp(after) } else { Whim::Cancel(after) }
}

fn write(table: u32, key: &str, value: i64) -> String {
    format!(
        "INSERT INTO register{table} VALUES ('{key}', {value}) \
         ON CONFLICT (k) DO UPDATE SET v = excluded.v"
    )
}

/// Writes a key of every table: intents in three ranges, for as long as a two-phase commit takes.
async fn spread(shop: &Shop, client: &mut Client) {
    let nth = client.rng.random_range(0..SHARED);
    let writes: Vec<String> =
        (0..TABLES).map(|table| write(table, &format!("shared/{nth}"), shop.fresh())).collect();
    let all = format!("BEGIN ISOLATION LEVEL READ COMMITTED; {}; COMMIT", writes.join("; "));
    if client.rng.random_range(0..4) == 0 {
        let whim = whim(client);
        client.take_whim(whim);
    }
    if client.execute_all(&all).await.is_err() {
        client.hang_up().await;
    }
}

/// Locks a key of its own, gives up reading a shared one beside it, and commits all the same.
async fn give_up_and_commit(shop: &Shop, client: &mut Client) {
    let table = client.rng.random_range(0..TABLES);
    if own_transaction(shop, client, table).await.is_err() {
        client.hang_up().await;
    }
}

async fn own_transaction(shop: &Shop, client: &mut Client, table: u32) -> Result<(), Failure> {
    let own = format!("own/{}", client.process);
    client.execute_all("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    client.go_on(&write(table, &own, shop.fresh())).await?;
    client
        .go_on(&format!("SELECT v FROM register{table} WHERE k = '{own}' FOR UPDATE; SAVEPOINT s"))
        .await?;
    let nth = client.rng.random_range(0..SHARED);
    let read = format!("SELECT v FROM register{table} WHERE k = 'shared/{nth}'");
    let given_up = match client.rng.random_range(0..3) {
        0 => {
            let millis = patience(client).as_millis();
            client.go_on(&format!("SET LOCAL statement_timeout = '{millis}ms'; {read}")).await
        }
        _ => {
            let whim = whim(client);
            client.take_whim(whim);
            client.go_on(&read).await
        }
    };
    match given_up {
        Ok(()) | Err(Failure::Sql(_)) => {}
        Err(gone) => return Err(gone),
    }
    client.go_on("ROLLBACK TO s").await?;
    client.go_on("COMMIT").await
}

/// Lists, as `append` has them, in a transaction that gives up one of its statements now and then:
/// with that it fails as a whole.
async fn lists(shop: &Shop, client: &mut Client) {
    let base = shop.base(Workload::Cancels, 6);
    let whim = whim(client);
    let at = client.rng.random_range(0..3);
    let lists = client.transact(Judged::Txn, shop.begin(), async |txn| {
        for nth in 0..3 {
            let key = format!("cancels/{}", base + txn.rng().random_range(0..6));
            if nth == at {
                txn.take_whim(whim);
            }
            if txn.rng().random() {
                txn.append(&key, shop.fresh()).await?;
            } else {
                txn.read_list(&key).await?;
            }
        }
        Ok(())
    });
    lists.await;
}

/// A single statement that commits by itself, if it is not given up before.
async fn single(shop: &Shop, client: &mut Client) {
    let base = shop.base(Workload::Cancels, 3);
    let key = format!("single/{}", base + client.rng.random_range(0..3));
    let call = match client.rng.random() {
        true => Call::Read(None),
        false => Call::Write(Value::Int(shop.fresh())),
    };
    let after = patience(client);
    client.take_whim(Whim::Cancel(after));
    client.call(&key, call).await;
}
