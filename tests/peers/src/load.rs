//! Single keys: clients in a loop, one operation at a time each, by etcd's protocol or PostgreSQL's.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use etcd_client::{KvClient, Txn, TxnOp};
use hdrhistogram::Histogram;
use tokio::{task::JoinSet, time::Instant};
use tokio_postgres::{Statement, error::SqlState};

use crate::{
    systems::{Kind, System, etcd_url},
    work::{Gateways, Outcome},
};

/// What is done to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A value is put, and is on the disks of a majority.
    Write,
    /// The newest value is read.
    Read,
}

/// Keys, drawn alike.
const KEYS: u64 = 10_000;
/// Bytes of a value.
const VALUE: usize = 100;
/// Keys put at a time while the store is filled: etcd takes no more than 128.
const FILL: u64 = 100;
/// What is not counted, at the beginning.
const WARM_UP: Duration = Duration::from_secs(1);
/// Clients of etcd that share a connection, as goroutines of one program do.
const SHARED: usize = 8;

const UPSERT: &str = "INSERT INTO peers_keys (k, v) VALUES ($1, $2) \
                      ON CONFLICT (k) DO UPDATE SET v = excluded.v";
const SELECT: &str = "SELECT v FROM peers_keys WHERE k = $1";

/// One client.
enum Client {
    Etcd(Box<KvClient>),
    Sql { client: tokio_postgres::Client, upsert: Statement, select: Statement },
}

/// Fills the store, unless it is filled.
pub async fn prepare(system: &System) -> Result<()> {
    let value = value(0);
    if system.kind == Kind::Etcd {
        let mut client = etcd_client::Client::connect([etcd_url(system.ports[0])], None).await?;
        for from in (0..KEYS).step_by(FILL as usize) {
            let puts = (from..from + FILL).map(|k| TxnOp::put(key(k), value.as_str(), None));
            client.txn(Txn::new().and_then(puts.collect::<Vec<_>>())).await?;
        }
        return Ok(());
    }
    let client = system.connect(system.ports[0]).await?;
    let table = "CREATE TABLE IF NOT EXISTS peers_keys (k INT8 PRIMARY KEY, v TEXT NOT NULL)";
    client.batch_execute(table).await?;
    for from in (0..KEYS).step_by(FILL as usize) {
        let rows: Vec<String> = (from..from + FILL).map(|k| format!("({k}, '{value}')")).collect();
        let fill = format!(
            "INSERT INTO peers_keys (k, v) VALUES {} ON CONFLICT (k) DO NOTHING",
            rows.join(", ")
        );
        client.batch_execute(&fill).await?;
    }
    Ok(())
}

/// So many clients at work for so long.
pub async fn run(
    system: &System,
    operation: Operation,
    clients: usize,
    gateways: Gateways,
    time: Duration,
) -> Result<Outcome> {
    let mut connected = Vec::new();
    let mut shared = Vec::new();
    for number in 0..clients {
        let port = match gateways {
            Gateways::All => system.ports[number % system.ports.len()],
            Gateways::One => system.ports[0],
        };
        connected.push(connect(system, port, &mut shared).await?);
    }
    let begin = Instant::now() + WARM_UP;
    let end = begin + time;
    let mut tasks = JoinSet::new();
    for (number, client) in connected.into_iter().enumerate() {
        tasks.spawn(client.work(number as u64, operation, begin, end));
    }
    let mut times = histogram();
    let mut conflicts = 0;
    while let Some(done) = tasks.join_next().await {
        let (part, met) = done??;
        times.add(part).context("one histogram is like another")?;
        conflicts += met;
    }
    ensure!(!times.is_empty(), "nothing was done in {time:?}");
    let done = times.len();
    Ok(Outcome {
        per_second: done as f64 / time.as_secs_f64(),
        failed: conflicts as f64 / (done + conflicts) as f64,
        mean: Duration::from_micros(times.mean() as u64),
        p99: Some(Duration::from_micros(times.value_at_quantile(0.99))),
    })
}

/// A client of the node at a port; those of etcd share connections.
async fn connect(
    system: &System,
    port: u16,
    shared: &mut Vec<(u16, usize, etcd_client::Client)>,
) -> Result<Client> {
    if system.kind == Kind::Etcd {
        let known = shared.iter_mut().find(|(at, users, _)| *at == port && *users < SHARED);
        if let Some((_, users, client)) = known {
            *users += 1;
            return Ok(Client::Etcd(Box::new(client.kv_client())));
        }
        let client = etcd_client::Client::connect([etcd_url(port)], None).await?;
        let kv = Box::new(client.kv_client());
        shared.push((port, 1, client));
        return Ok(Client::Etcd(kv));
    }
    let client = system.connect(port).await?;
    let upsert = client.prepare(UPSERT).await?;
    let select = client.prepare(SELECT).await?;
    Ok(Client::Sql { client, upsert, select })
}

impl Client {
    /// Works until the end; the times of what ended in the part that counts, and its conflicts.
    async fn work(
        mut self,
        number: u64,
        operation: Operation,
        begin: Instant,
        end: Instant,
    ) -> Result<(Histogram<u64>, u64)> {
        let (mut times, mut conflicts) = (histogram(), 0);
        // Weyl's sequence, mixed: keys drawn alike, others for each client.
        let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        loop {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let drawn = (state ^ (state >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33;
            let started = Instant::now();
            let done = self.one(operation, drawn % KEYS, drawn).await?;
            let ended = Instant::now();
            if ended > end {
                return Ok((times, conflicts));
            }
            if ended < begin {
                continue;
            }
            if done {
                times.saturating_record((ended - started).as_micros() as u64);
            } else {
                conflicts += 1;
            }
        }
    }

    /// One operation. `false`: it met a conflict and was not done.
    async fn one(&mut self, operation: Operation, k: u64, drawn: u64) -> Result<bool> {
        match self {
            Client::Etcd(kv) => match operation {
                Operation::Write => drop(kv.put(key(k), value(drawn), None).await?),
                Operation::Read => {
                    let read = kv.get(key(k), None).await?;
                    ensure!(read.kvs().len() == 1, "key {k} is missing");
                }
            },
            Client::Sql { client, upsert, select } => {
                let k = i64::try_from(k).expect("keys are few");
                let done = match operation {
                    Operation::Write => client.execute(&*upsert, &[&k, &value(drawn)]).await,
                    Operation::Read => {
                        client.query(&*select, &[&k]).await.map(|rows| rows.len() as u64)
                    }
                };
                match done {
                    Ok(rows) => ensure!(rows == 1, "row {k} is missing"),
                    Err(error) if error.code() == Some(&SqlState::T_R_SERIALIZATION_FAILURE) => {
                        return Ok(false);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(true)
    }
}

/// Microseconds, up to a minute.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are in order")
}

fn key(k: u64) -> String {
    format!("peers/{k:08}")
}

fn value(drawn: u64) -> String {
    format!("{drawn:0VALUE$}")
}
