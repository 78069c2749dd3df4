//! The bank: transfers between accounts, each with a receipt in a table of its own, and snapshot
//! reads of the total.
//!
//! What must hold, and is checked: every snapshot shows the same total; every acknowledged transfer
//! has its receipt at the end; no transfer that failed has one.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;

use super::{
    Options, Window,
    client::{Connection, Failure, MAX_ATTEMPTS, at_commit, before_commit, connect},
    drive,
    report::Report,
};

/// What each account starts with.
const START: i64 = 1000;
/// One of that many operations reads the total.
const AUDIT_EVERY: u32 = 10;
/// How long the last audit tries to reach the database.
const FINAL_AUDIT: Duration = Duration::from_secs(30);
/// Accounts per INSERT while the table is filled.
const FILL: u32 = 200;

/// Creates the accounts and the receipts.
pub async fn init(options: &Options) -> anyhow::Result<()> {
    let client = connect(&options.url[0]).await?;
    client
        .batch_execute(
            "DROP TABLE IF EXISTS workload_accounts; DROP TABLE IF EXISTS workload_receipts; \
             CREATE TABLE workload_accounts (id INT8 PRIMARY KEY, balance INT8 NOT NULL); \
             CREATE TABLE workload_receipts (id INT8 PRIMARY KEY, amount INT8 NOT NULL)",
        )
        .await
        .context("create the bank's tables")?;
    let step = i64::from(options.rows) / i64::from(options.ranges);
    for part in 1..i64::from(options.ranges) {
        let split = format!("ALTER TABLE workload_accounts SPLIT AT VALUES ({})", part * step);
        client.batch_execute(&split).await.context("split workload_accounts")?;
    }
    let mut from = 0;
    while from < options.rows {
        let to = options.rows.min(from + FILL);
        let rows: Vec<String> = (from..to).map(|id| format!("({id}, {START})")).collect();
        let insert = format!("INSERT INTO workload_accounts VALUES {}", rows.join(", "));
        client.batch_execute(&insert).await.context("fill workload_accounts")?;
        from = to;
    }
    Ok(())
}

/// What all clients know of the transfers they made.
#[derive(Debug, Default)]
struct Ledger {
    acknowledged: BTreeSet<i64>,
    failed: BTreeSet<i64>,
}

/// Runs the workload, then audits.
pub async fn run(options: &Options) -> anyhow::Result<Report> {
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    // Receipts of this run get numbers of their own, whatever runs came before.
    let run = first_receipt(options).await?;
    let mut report = drive(options, |options, number, window| {
        client(options, number, window, Arc::clone(&ledger), run)
    })
    .await?;
    final_audit(options, &ledger, run, &mut report).await?;
    Ok(report)
}

async fn first_receipt(options: &Options) -> anyhow::Result<i64> {
    let client = connect(&options.url[0]).await?;
    let row = client
        .query_one("SELECT max(id) FROM workload_receipts", &[])
        .await
        .context("look for the receipts of earlier runs")?;
    Ok(row.get::<_, Option<i64>>(0).map_or(0, |last| last + 1))
}

async fn client(
    options: Arc<Options>,
    number: u32,
    window: Window,
    ledger: Arc<Mutex<Ledger>>,
    run: i64,
) -> anyhow::Result<Report> {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed.wrapping_mul(65_537) + u64::from(number));
    let mut connection = Connection::new(&options.url, number);
    let mut report = Report::new();
    let mut serial = 0;
    while !window.over() {
        let Some((client, _)) = connection.get().await else { continue };
        let connected = if rng.random_range(0..AUDIT_EVERY) == 0 {
            audit(&options, client, &mut report).await
        } else {
            // Numbers never collide: the client's number in the low digits.
            let receipt = run + serial * 4096 + i64::from(number);
            serial += 1;
            let transfer = Transfer::draw(&options, &mut rng, receipt);
            transfer.make(client, &window, &ledger, &mut report).await
        };
        if !connected {
            connection.drop_it();
        }
    }
    Ok(report)
}

struct Transfer {
    from: i64,
    to: i64,
    amount: i64,
    receipt: i64,
}

impl Transfer {
    fn draw(options: &Options, rng: &mut ChaCha8Rng, receipt: i64) -> Transfer {
        let rows = i64::from(options.rows);
        let from = rng.random_range(0..rows);
        let to = (from + rng.random_range(1..rows)) % rows;
        Transfer { from, to, amount: rng.random_range(1..=10), receipt }
    }

    /// Tries until it is done, failed or unknown. `false`: the connection is gone.
    async fn make(
        &self,
        client: &Client,
        window: &Window,
        ledger: &Mutex<Ledger>,
        report: &mut Report,
    ) -> bool {
        let started = Instant::now();
        let fail = |report: &mut Report, state: &str| {
            report.failed(state);
            ledger.lock().unwrap_or_else(PoisonError::into_inner).failed.insert(self.receipt);
        };
        for _ in 0..MAX_ATTEMPTS {
            match self.attempt(client).await {
                Ok(()) => {
                    let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
                    ledger.acknowledged.insert(self.receipt);
                    report.done(started, window);
                    return true;
                }
                Err(Failure::Retry) => report.retries += 1,
                Err(Failure::Unknown) => {
                    report.unknown += 1;
                    return !client.is_closed();
                }
                Err(Failure::Failed(state)) => {
                    fail(report, &state);
                    return client.batch_execute("ROLLBACK").await.is_ok();
                }
                Err(Failure::Disconnected) => {
                    fail(report, "08006");
                    return false;
                }
            }
            // Attempts of clients that collide should not go on colliding in step.
            let pause = self.receipt.unsigned_abs() % 7;
            sleep(Duration::from_millis(pause)).await;
            if client.batch_execute("ROLLBACK").await.is_err() {
                fail(report, "08006");
                return false;
            }
        }
        fail(report, "40001");
        true
    }

    async fn attempt(&self, client: &Client) -> Result<(), Failure> {
        let Transfer { from, to, amount, receipt } = self;
        let body = format!(
            "BEGIN; \
             UPDATE workload_accounts SET balance = balance - {amount} WHERE id = {from}; \
             UPDATE workload_accounts SET balance = balance + {amount} WHERE id = {to}; \
             INSERT INTO workload_receipts VALUES ({receipt}, {amount})"
        );
        client.batch_execute(&body).await.map_err(|error| before_commit(&error))?;
        client.batch_execute("COMMIT").await.map_err(|error| at_commit(&error))
    }
}

/// Reads the total in one snapshot. `false`: the connection is gone.
async fn audit(options: &Options, client: &Client, report: &mut Report) -> bool {
    match total(client).await {
        Ok(total) => {
            *report.extra.entry("snapshot_reads".into()).or_default() += 1;
            expect_total(options, total, report);
            true
        }
        Err(error) => match before_commit(&error) {
            Failure::Disconnected => {
                report.failed("08006");
                false
            }
            Failure::Failed(state) => {
                report.failed(&state);
                true
            }
            Failure::Retry | Failure::Unknown => true,
        },
    }
}

async fn total(client: &Client) -> Result<i64, tokio_postgres::Error> {
    let query = "SELECT sum(balance)::INT8 FROM workload_accounts";
    Ok(client.query_one(query, &[]).await?.get(0))
}

fn expect_total(options: &Options, total: i64, report: &mut Report) {
    let expected = i64::from(options.rows) * START;
    if total != expected {
        report.violations.push(format!("a snapshot shows a total of {total}, not {expected}"));
    }
}

async fn final_audit(
    options: &Options,
    ledger: &Mutex<Ledger>,
    run: i64,
    report: &mut Report,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + FINAL_AUDIT;
    let mut connection = Connection::new(&options.url, 0);
    loop {
        if let Some((client, _)) = connection.get().await {
            match final_reads(client, run).await {
                Ok((total, receipts)) => {
                    expect_total(options, total, report);
                    let ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
                    compare(&ledger, &receipts, report);
                    return Ok(());
                }
                Err(error) if Instant::now() >= deadline => {
                    return Err(error).context("the last audit did not reach the database");
                }
                Err(_) => connection.drop_it(),
            }
        }
        anyhow::ensure!(Instant::now() < deadline, "the last audit did not reach the database");
        sleep(Duration::from_millis(200)).await;
    }
}

async fn final_reads(
    client: &Client,
    run: i64,
) -> Result<(i64, BTreeSet<i64>), tokio_postgres::Error> {
    let total = total(client).await?;
    let query = "SELECT id FROM workload_receipts WHERE id >= $1";
    let receipts = client.query(query, &[&run]).await?;
    Ok((total, receipts.iter().map(|row| row.get(0)).collect()))
}

fn compare(ledger: &Ledger, receipts: &BTreeSet<i64>, report: &mut Report) {
    let lost: Vec<_> = ledger.acknowledged.difference(receipts).collect();
    if !lost.is_empty() {
        let (count, first) = (lost.len(), lost[0]);
        report.violations.push(format!("{count} acknowledged transfers are lost, {first} first"));
    }
    let risen: Vec<_> = ledger.failed.intersection(receipts).collect();
    if !risen.is_empty() {
        let (count, first) = (risen.len(), risen[0]);
        report.violations.push(format!("{count} failed transfers happened, {first} first"));
    }
    report.extra.insert("acknowledged".into(), ledger.acknowledged.len() as u64);
    report.extra.insert("receipts".into(), receipts.len() as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_and_a_risen_transfer_are_told() {
        let ledger = Ledger { acknowledged: [1, 2].into(), failed: [3].into() };
        let mut clean = Report::new();
        compare(&ledger, &[1, 2, 9].into(), &mut clean);
        assert!(clean.violations.is_empty());
        let mut broken = Report::new();
        compare(&ledger, &[1, 3].into(), &mut broken);
        assert_eq!(broken.violations.len(), 2, "{:?}", broken.violations);
    }
}
