//! The key-value workload: upserts and reads of single rows, keys drawn uniformly.

use std::sync::Arc;

use anyhow::Context;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;
use tokio_postgres::{Client, Statement};

use super::{
    Options, Window,
    client::{Connection, Failure, MAX_ATTEMPTS, at_commit, connect},
    report::Report,
};

const UPSERT: &str = "INSERT INTO workload_kv (k, v) VALUES ($1, $2) \
                      ON CONFLICT (k) DO UPDATE SET v = excluded.v";
const SELECT: &str = "SELECT v FROM workload_kv WHERE k = $1";
/// Rows per INSERT while the table is filled.
const FILL: u32 = 200;

/// Creates and fills the table.
pub async fn init(options: &Options) -> anyhow::Result<()> {
    let client = connect(&options.url[0]).await?;
    client
        .batch_execute(
            "DROP TABLE IF EXISTS workload_kv; \
             CREATE TABLE workload_kv (k INT8 PRIMARY KEY, v TEXT NOT NULL)",
        )
        .await
        .context("create table workload_kv")?;
    let step = i64::from(options.rows) / i64::from(options.ranges);
    for part in 1..i64::from(options.ranges) {
        let split = format!("ALTER TABLE workload_kv SPLIT AT VALUES ({})", part * step);
        client.batch_execute(&split).await.context("split workload_kv")?;
    }
    let value = "x".repeat(options.value_bytes as usize);
    let mut from = 0;
    while from < options.rows {
        let to = options.rows.min(from + FILL);
        let rows: Vec<String> = (from..to).map(|k| format!("({k}, '{value}')")).collect();
        let insert = format!("INSERT INTO workload_kv (k, v) VALUES {}", rows.join(", "));
        client.batch_execute(&insert).await.context("fill workload_kv")?;
        from = to;
    }
    Ok(())
}

struct Statements {
    upsert: Statement,
    select: Statement,
}

async fn prepare(client: &Client) -> Result<Statements, tokio_postgres::Error> {
    Ok(Statements { upsert: client.prepare(UPSERT).await?, select: client.prepare(SELECT).await? })
}

/// One client's loop.
pub async fn client(options: Arc<Options>, number: u32, window: Window) -> anyhow::Result<Report> {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed.wrapping_mul(65_537) + u64::from(number));
    let mut connection = Connection::new(&options.url, number);
    let mut statements = None;
    let mut report = Report::new();
    while !window.over() {
        let Some((client, fresh)) = connection.get().await else { continue };
        if fresh || statements.is_none() {
            match prepare(client).await {
                Ok(prepared) => statements = Some(prepared),
                Err(error) => {
                    report.failed(error.code().map_or("08006", |code| code.code()));
                    connection.drop_it();
                    continue;
                }
            }
        }
        let prepared = statements.as_ref().expect("just prepared");
        if !operation(&options, &mut rng, client, prepared, &window, &mut report).await {
            statements = None;
            connection.drop_it();
        }
    }
    Ok(report)
}

/// One operation with its retries. `false`: the connection is gone.
async fn operation(
    options: &Options,
    rng: &mut ChaCha8Rng,
    client: &Client,
    statements: &Statements,
    window: &Window,
    report: &mut Report,
) -> bool {
    let key = rng.random_range(0..i64::from(options.rows));
    let read = rng.random_range(0..100) < options.read_percent;
    let value: String = {
        let letter = char::from(b'a' + rng.random_range(0..26u8));
        std::iter::repeat_n(letter, options.value_bytes as usize).collect()
    };
    let started = Instant::now();
    for attempt in 0..MAX_ATTEMPTS {
        let result = if read {
            client.query_opt(&statements.select, &[&key]).await.map(|_| ())
        } else {
            client.execute(&statements.upsert, &[&key, &value]).await.map(|_| ())
        };
        let Err(error) = result else {
            report.done(started, window);
            return true;
        };
        match at_commit(&error) {
            Failure::Retry => report.retries += u64::from(attempt + 1 < MAX_ATTEMPTS),
            Failure::Failed(state) => {
                report.failed(&state);
                return true;
            }
            Failure::Unknown | Failure::Disconnected => {
                report.unknown += 1;
                return !client.is_closed();
            }
        }
    }
    report.failed("40001");
    true
}
