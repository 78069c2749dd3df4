//! What clients do: transactions in which a database that is not as consistent as it says gives
//! itself away.
//!
//! | workload | a client | gives away |
//! |---|---|---|
//! | `bank` | moves money between accounts, or reads all of them, now or in the past | totals that change |
//! | `append` | appends to lists and reads them, several per transaction | any cycle, with exact version orders |
//! | `register` | writes and reads several registers per transaction | lost updates, dirty reads, cycles |
//! | `skew` | reads two registers and writes one of them | write skew (G2-item) |
//! | `predicate` | reads two sets and adds to one if both are empty | G2 over predicates |
//! | `fork` | writes one of three registers blindly, or reads all three | long fork |
//! | `monotonic` | increments counters | counters that go back |
//! | `sequential` | writes three keys one after the other; others read them backwards | a later one without an earlier |
//! | `comments` | inserts into tables of three regions; others read all three | an insert seen without an acknowledged earlier one |
//! | `linear` | reads, writes, compares and sets single registers | anything not linearizable |
//! | `stale` | reads lists and registers as of some seconds ago | reads older than asked for |
//! | `cancels` | cancels what it runs, goes away, runs out of time, and goes on behind a savepoint | what is left behind or half done; a range that trips over it |
//! | `held` | locks a register for seconds; others read one and write the locked one | what was validated and not kept until the commit |
//! | `unique` | changes rows under two unique keys, several per statement | an index that disagrees with its table at the end |
//!
//! Keys end in a number, which says in which region's table they are; so most transactions span
//! groups led in several regions. Keys are left behind for new ones from time to time: histories stay
//! small per key, and first writes are tried again and again.

mod cancels;

use std::{
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use checker::{Call, Value, Workload as Judged};
use rand::RngExt as _;
use timer::sleep;

use super::{
    TABLES,
    client::{Begin, Client, Failure},
};

/// Money on each account at the start.
const BALANCE: i64 = 100;

/// What all accounts hold together.
pub const BANK_TOTAL: i64 = BALANCE * ACCOUNTS;

/// Accounts.
const ACCOUNTS: i64 = 9;

/// Operations of a workload on one set of keys before the next set is used.
const PER_KEYS: i64 = 150;

/// How far back stale reads look, at most, unless a run says otherwise.
pub const STALENESS: Duration = Duration::from_secs(6);

/// What a stale read may miss beyond what it asked for: the clock of its node may be behind by ε.
const CLOCK_SLACK: Duration = Duration::from_millis(600);

/// How long a lock is held, in milliseconds.
const HELD_MILLIS: std::ops::Range<u64> = 200..3_000;

/// A kind of client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Workload {
    /// Transfers and totals.
    Bank,
    /// Lists.
    Append,
    /// Registers.
    Register,
    /// Write skew.
    Skew,
    /// Predicates.
    Predicate,
    /// Long fork.
    Fork,
    /// Counters.
    Monotonic,
    /// Keys in order.
    Sequential,
    /// Inserts in real-time order.
    Comments,
    /// Single registers.
    Linear,
    /// Reads of the past.
    Stale,
    /// Locks held for long.
    Held,
    /// Unique keys.
    Unique,
    /// Statements that are given up.
    Cancels,
}

impl Workload {
    /// All of them, with their names.
    pub const ALL: [(Workload, &'static str); 14] = [
        (Workload::Bank, "bank"),
        (Workload::Append, "append"),
        (Workload::Register, "register"),
        (Workload::Skew, "skew"),
        (Workload::Predicate, "predicate"),
        (Workload::Fork, "fork"),
        (Workload::Monotonic, "monotonic"),
        (Workload::Sequential, "sequential"),
        (Workload::Comments, "comments"),
        (Workload::Linear, "linear"),
        (Workload::Stale, "stale"),
        (Workload::Held, "held"),
        (Workload::Unique, "unique"),
        (Workload::Cancels, "cancels"),
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        let mut all = Workload::ALL.iter();
        all.find(|(workload, _)| *workload == self).expect("all are named").1
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Workload, String> {
        let found = Workload::ALL.iter().find(|(_, name)| *name == text);
        found.map(|(workload, _)| *workload).ok_or_else(|| {
            let known: Vec<&str> = Workload::ALL.iter().map(|(_, name)| *name).collect();
            format!("there is no workload \"{text}\"; there are all, {}", known.join(", "))
        })
    }
}

/// What all clients of a run share.
#[derive(Clone, Debug)]
pub struct Shop {
    /// The isolation level of transactions that write, as `BEGIN` takes it.
    isolation: &'static str,
    /// How far back stale reads look, at most.
    staleness: Duration,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    /// The last value handed out: no value is written twice.
    value: AtomicI64,
    /// Steps done, per workload.
    steps: [AtomicI64; Workload::ALL.len()],
    /// Triples of keys that `sequential` has begun to write.
    sequences: AtomicI64,
    /// When the accounts were open, in nanoseconds of the run.
    opened: AtomicU64,
}

impl Shop {
    /// Clients that use this isolation level, and look back so far.
    #[must_use]
    pub fn new(isolation: &'static str, staleness: Duration) -> Shop {
        Shop { isolation, staleness, counters: Arc::default() }
    }

    fn begin(&self) -> Begin {
        Begin { mode: format!("ISOLATION LEVEL {}", self.isolation), staleness: None }
    }

    fn read_only() -> Begin {
        Begin { mode: "READ ONLY".to_owned(), staleness: None }
    }

    /// A value that was never written before.
    fn fresh(&self) -> i64 {
        self.counters.value.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The first key number of the present set of `width` keys.
    fn base(&self, workload: Workload, width: i64) -> i64 {
        self.counters.steps[workload as usize].load(Ordering::Relaxed) / PER_KEYS * width
    }

    fn step(&self, workload: Workload) {
        self.counters.steps[workload as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// The statements that make the tables which clients of the `home`-th region lead.
#[must_use]
pub fn schema(home: u32) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS register{home} (k TEXT PRIMARY KEY, v INT8 NOT NULL);
         CREATE TABLE IF NOT EXISTS list{home} (k TEXT PRIMARY KEY, v TEXT NOT NULL);
         CREATE TABLE IF NOT EXISTS set{home} (k TEXT, v INT8, PRIMARY KEY (k, v));"
    )
}

/// The same for the tables that [`Workload::Unique`] alone uses.
#[must_use]
pub fn unique_schema(home: u32) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS pair{home} (k INT8 PRIMARY KEY, u INT8 UNIQUE, v INT8 NOT NULL);
         CREATE INDEX IF NOT EXISTS pair{home}_v ON pair{home} (v DESC) INCLUDE (u)"
    )
}

/// Before the first step: opens the accounts.
pub async fn prepare(shop: &Shop, client: &mut Client) {
    loop {
        let opened = client
            .transact(Judged::Bank, shop.begin(), async |txn| {
                for account in accounts() {
                    txn.write(&account, BALANCE).await?;
                }
                Ok(())
            })
            .await;
        if opened == checker::Outcome::Ok {
            shop.counters.opened.store(client.now().0, Ordering::Relaxed);
            return;
        }
    }
}

fn accounts() -> Vec<String> {
    (0..ACCOUNTS).map(|account| format!("bank/{account}")).collect()
}

/// One step of a client.
pub async fn step(workload: Workload, shop: &Shop, client: &mut Client) {
    shop.step(workload);
    match workload {
        Workload::Bank => bank(shop, client).await,
        Workload::Append => append(shop, client).await,
        Workload::Register => register(shop, client).await,
        Workload::Skew => skew(shop, client).await,
        Workload::Predicate => predicate(shop, client).await,
        Workload::Fork => fork(shop, client).await,
        Workload::Monotonic => monotonic(shop, client).await,
        Workload::Sequential => sequential(shop, client).await,
        Workload::Comments => comments(shop, client).await,
        Workload::Linear => linear(shop, client).await,
        Workload::Stale => stale(shop, client).await,
        Workload::Held => held(shop, client).await,
        Workload::Unique => unique(client).await,
        Workload::Cancels => cancels::step(shop, client).await,
    }
}

/// After the last step, when all is well again: reads whatever was written last, so that what was
/// acknowledged and lost is missed.
pub async fn read_back(workloads: &[Workload], shop: &Shop, client: &mut Client) -> bool {
    let mut all = true;
    for workload in workloads {
        let steps = shop.counters.steps[*workload as usize].load(Ordering::Relaxed);
        let sets = steps / PER_KEYS + 1;
        let (judged, width, kind) = match workload {
            Workload::Bank => (Judged::Bank, ACCOUNTS, Kind::Register),
            Workload::Append => (Judged::Txn, 6, Kind::List),
            Workload::Register => (Judged::Txn, 6, Kind::Register),
            Workload::Skew => (Judged::Txn, 8, Kind::Register),
            Workload::Held => (Judged::Txn, 6, Kind::Register),
            Workload::Cancels => (Judged::Txn, 6, Kind::List),
            Workload::Monotonic => (Judged::Monotonic, 3, Kind::Register),
            Workload::Comments => (Judged::Comments, 3, Kind::Set),
            _ => continue,
        };
        let sets = if matches!(workload, Workload::Bank | Workload::Monotonic) { 1 } else { sets };
        let keys: Vec<String> =
            (0..sets * width).map(|key| format!("{}/{key}", workload.name())).collect();
        let read = client.transact(judged, Shop::read_only(), async |txn| {
            for key in &keys {
                match kind {
                    Kind::Register => drop(txn.read(key).await?),
                    Kind::List => txn.read_list(key).await?,
                    Kind::Set => drop(txn.read_set(key).await?),
                }
            }
            Ok(())
        });
        all &= read.await == checker::Outcome::Ok;
    }
    all
}

#[derive(Clone, Copy)]
enum Kind {
    Register,
    List,
    Set,
}

async fn bank(shop: &Shop, client: &mut Client) {
    if client.rng.random_range(0..3) == 0 {
        let begin = if client.rng.random() { Shop::read_only() } else { past(shop, client) };
        let total =
            client.transact(Judged::Bank, begin, async |txn| txn.read_all(&accounts()).await);
        total.await;
        return;
    }
    let from = client.rng.random_range(0..ACCOUNTS);
    let to = (from + client.rng.random_range(1..ACCOUNTS)) % ACCOUNTS;
    let (amount, lock) = (client.rng.random_range(1..5), client.rng.random_range(0..4) == 0);
    let (from, to) = (format!("bank/{from}"), format!("bank/{to}"));
    let transfer = client.transact(Judged::Bank, shop.begin(), async |txn| {
        let paying = if lock { txn.read_for_update(&from).await? } else { txn.read(&from).await? };
        let paid = txn.read(&to).await?;
        let (paying, paid) = (paying.unwrap_or(0), paid.unwrap_or(0));
        txn.write(&from, paying - amount).await?;
        txn.write(&to, paid + amount).await
    });
    transfer.await;
}

/// Few keys, so that rows meet, leave and take each other's. What comes of a statement is not recorded:
/// whatever it was, every index agrees with its table when all is over.
async fn unique(client: &mut Client) {
    let rng = &mut client.rng;
    let table = format!("pair{}", rng.random_range(0..TABLES));
    let row = |rng: &mut rand_chacha::ChaCha8Rng| {
        let (k, u, v) = (rng.random_range(0..12), rng.random_range(0..12), rng.random_range(0..3));
        format!("({k}, {u}, {v})")
    };
    let rows = format!("{}, {}, {}", row(rng), row(rng), row(rng));
    let (k, u, v) = (rng.random_range(0..12), rng.random_range(0..12), rng.random_range(0..3));
    let text = match rng.random_range(0..8) {
        0 => format!("INSERT INTO {table} VALUES {rows}"),
        1 => format!("INSERT INTO {table} VALUES {rows} ON CONFLICT DO NOTHING"),
        2 => format!(
            "INSERT INTO {table} VALUES {rows}
                 ON CONFLICT (k) DO UPDATE SET u = excluded.u, v = excluded.v"
        ),
        3 => format!(
            "INSERT INTO {table} VALUES {rows} ON CONFLICT (u) DO UPDATE SET k = excluded.k"
        ),
        4 => format!("UPDATE {table} SET k = (k + 1) % 12, u = 11 - u WHERE v = {v}"),
        5 => format!("UPDATE {table} SET u = {u}, v = {v} WHERE k = {k}"),
        6 => format!(
            "BEGIN; DELETE FROM {table} WHERE k = {k}; INSERT INTO {table} VALUES ({k}, {u}, {v});
             UPDATE {table} SET v = v + 1 WHERE u > {u}; COMMIT"
        ),
        _ => format!("DELETE FROM {table} WHERE v > {v}"),
    };
    if client.execute_all(&text).await.is_err() {
        // The block of a failed statement, if the session is still there.
        drop(client.execute_all("ROLLBACK").await);
    }
}

async fn append(shop: &Shop, client: &mut Client) {
    let base = shop.base(Workload::Append, 6);
    let count = client.rng.random_range(1..=4);
    let append = client.transact(Judged::Txn, shop.begin(), async |txn| {
        for _ in 0..count {
            let key = format!("append/{}", base + txn.rng().random_range(0..6));
            if txn.rng().random() {
                txn.append(&key, shop.fresh()).await?;
            } else {
                txn.read_list(&key).await?;
            }
        }
        Ok(())
    });
    append.await;
}

async fn register(shop: &Shop, client: &mut Client) {
    let base = shop.base(Workload::Register, 6);
    let count = client.rng.random_range(1..=4);
    let registers = client.transact(Judged::Txn, shop.begin(), async |txn| {
        for _ in 0..count {
            let key = format!("register/{}", base + txn.rng().random_range(0..6));
            match txn.rng().random_range(0..5) {
                0 | 1 => txn.write(&key, shop.fresh()).await?,
                2 => drop(txn.read_for_update(&key).await?),
                _ => drop(txn.read(&key).await?),
            }
        }
        Ok(())
    });
    registers.await;
}

async fn skew(shop: &Shop, client: &mut Client) {
    let pair = shop.base(Workload::Skew, 8) + 2 * client.rng.random_range(0..4);
    let mine = pair + client.rng.random_range(0..2);
    let skew = client.transact(Judged::Txn, shop.begin(), async |txn| {
        txn.read(&format!("skew/{pair}")).await?;
        txn.read(&format!("skew/{}", pair + 1)).await?;
        txn.write(&format!("skew/{mine}"), shop.fresh()).await
    });
    skew.await;
}

async fn predicate(shop: &Shop, client: &mut Client) {
    // Two rows can meet in a pair only before it has one: pairs are many and used briefly.
    let steps = shop.counters.steps[Workload::Predicate as usize].load(Ordering::Relaxed);
    let pair = steps / 4 * 2;
    let mine = pair + client.rng.random_range(0..2);
    let add = client.transact(Judged::Txn, shop.begin(), async |txn| {
        let here = txn.read_set(&format!("predicate/{pair}")).await?;
        let there = txn.read_set(&format!("predicate/{}", pair + 1)).await?;
        if here + there == 0 {
            txn.add(&format!("predicate/{mine}"), shop.fresh()).await?;
        }
        Ok(())
    });
    add.await;
}

async fn fork(shop: &Shop, client: &mut Client) {
    let steps = shop.counters.steps[Workload::Fork as usize].load(Ordering::Relaxed);
    let base = steps / 8 * 3;
    if client.rng.random() {
        let key = format!("fork/{}", base + client.rng.random_range(0..3));
        let value = shop.fresh();
        client.transact(Judged::Txn, shop.begin(), async |txn| txn.write(&key, value).await).await;
    } else {
        let keys: Vec<String> = (base..base + 3).map(|key| format!("fork/{key}")).collect();
        client
            .transact(Judged::Txn, Shop::read_only(), async |txn| txn.read_all(&keys).await)
            .await;
    }
}

async fn monotonic(shop: &Shop, client: &mut Client) {
    let key = format!("monotonic/{}", client.rng.random_range(0..3));
    let grows = client.rng.random();
    let begin = if grows { shop.begin() } else { Shop::read_only() };
    let step = client.transact(Judged::Monotonic, begin, async |txn| {
        let now = txn.read(&key).await?;
        if grows {
            txn.write(&key, now.unwrap_or(0) + 1).await?;
        }
        Ok(())
    });
    step.await;
}

async fn sequential(shop: &Shop, client: &mut Client) {
    if client.rng.random_range(0..3) == 0 {
        let base = 3 * shop.counters.sequences.fetch_add(1, Ordering::Relaxed);
        for key in base..base + 3 {
            let (key, value) = (format!("sequential/{key}"), shop.fresh());
            let write = client.transact(Judged::Sequential, shop.begin(), async |txn| {
                txn.write(&key, value).await
            });
            write.await;
        }
        return;
    }
    let begun = shop.counters.sequences.load(Ordering::Relaxed);
    let base = 3 * (begun - 1 - client.rng.random_range(0..3)).max(0);
    let keys: Vec<String> = (base..base + 3).rev().map(|key| format!("sequential/{key}")).collect();
    let read = client
        .transact(Judged::Sequential, Shop::read_only(), async |txn| txn.read_all(&keys).await);
    read.await;
}

async fn comments(shop: &Shop, client: &mut Client) {
    let base = shop.base(Workload::Comments, 3);
    if client.rng.random() {
        let key = format!("comments/{}", base + client.rng.random_range(0..3));
        let value = shop.fresh();
        let insert =
            client.transact(Judged::Comments, shop.begin(), async |txn| txn.add(&key, value).await);
        insert.await;
        return;
    }
    let read = client.transact(Judged::Comments, Shop::read_only(), async |txn| {
        for key in base..base + 3 {
            txn.read_set(&format!("comments/{key}")).await?;
        }
        Ok(())
    });
    read.await;
}

async fn linear(shop: &Shop, client: &mut Client) {
    let base = shop.base(Workload::Linear, 3);
    let key = format!("linear/{}", base + client.rng.random_range(0..3));
    let mut small = || Value::Int(client.rng.random_range(0..5));
    let (from, to) = (small(), small());
    let call = match client.rng.random_range(0..4) {
        0 | 1 => Call::Read(None),
        2 => Call::Write(to),
        _ => Call::CompareAndSet { from, to },
    };
    client.call(&key, call).await;
}

async fn stale(shop: &Shop, client: &mut Client) {
    let begin = past(shop, client);
    let (lists, registers) = (shop.base(Workload::Append, 6), shop.base(Workload::Register, 6));
    let look = client.rng.random_range(0..4);
    let count = client.rng.random_range(1..=3);
    let read = client.transact(Judged::Txn, begin, async |txn| -> Result<(), Failure> {
        for key in look..look + count {
            txn.read_list(&format!("append/{}", lists + key)).await?;
            txn.read(&format!("register/{}", registers + key)).await?;
        }
        Ok(())
    });
    read.await;
}

/// Who writes what another has locked waits for the lock with what it read elsewhere validated and
/// kept by nothing but another leader's memory (X3).
async fn held(shop: &Shop, client: &mut Client) {
    let here = client.rng.random_range(0..6);
    let there = (here + client.rng.random_range(1..3)) % 6;
    let base = shop.base(Workload::Held, 6);
    let [here, there] = [here, there].map(|key| format!("held/{}", base + key));
    let (does, value) = (client.rng.random_range(0..4), shop.fresh());
    let held = client.transact(Judged::Txn, shop.begin(), async |txn| match does {
        0 => {
            txn.read_for_update(&there).await?;
            let lasting = txn.rng().random_range(HELD_MILLIS);
            sleep(Duration::from_millis(lasting)).await;
            Ok(())
        }
        1 => txn.write(&here, value).await,
        _ => {
            txn.read(&here).await?;
            txn.write(&there, value).await
        }
    });
    held.await;
}

/// A read-only transaction as of some time ago, but not from before the accounts were open.
fn past(shop: &Shop, client: &mut Client) -> Begin {
    let since = client.now().0 - shop.counters.opened.load(Ordering::Relaxed);
    let since = Duration::from_nanos(since).saturating_sub(CLOCK_SLACK).as_millis() as u64;
    let millis = client.rng.random_range(1..shop.staleness.as_millis() as u64);
    if millis >= since {
        return Shop::read_only();
    }
    Begin {
        mode: format!("READ ONLY AS OF SYSTEM TIME '-{millis}ms'"),
        staleness: Some(Duration::from_millis(millis) + CLOCK_SLACK),
    }
}

const _: () = assert!(TABLES == 3, "workloads spread their keys over three tables");
