//! pgbench and sysbench: their tables, their runs, and what they print.

use std::{process::Command, time::Duration};

use anyhow::{Context, Result, bail};

use crate::{
    servers::output_of,
    systems::{Kind, System},
    work::Outcome,
};

/// pgbench's scale: branches, and ten tellers and a hundred thousand accounts each.
pub const SCALE: u32 = 2;
const CLIENTS: u32 = 16;
/// sysbench's tables, and their rows.
const TABLES: u32 = 4;
const TABLE_ROWS: u32 = 25_000;
/// Rows that one INSERT makes.
const FILL: u32 = 10_000;

/// pgbench's own tables: `pgbench -i` fills them with COPY, which not everybody has.
const PGBENCH: [&str; 4] = [
    "CREATE TABLE pgbench_branches (bid int PRIMARY KEY, bbalance int, filler char(88))",
    "CREATE TABLE pgbench_tellers (tid int PRIMARY KEY, bid int, tbalance int, filler char(84))",
    "CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84))",
    "CREATE TABLE pgbench_history \
     (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22))",
];

/// Makes and fills pgbench's tables, unless they are there.
pub async fn prepare_pgbench(system: &System) -> Result<()> {
    let client = system.connect(system.ports[0]).await?;
    if client.batch_execute("SELECT 1 FROM pgbench_history LIMIT 1").await.is_ok() {
        return Ok(());
    }
    for table in PGBENCH {
        client.batch_execute(table).await?;
    }
    let fill = |into: &str, row: &str, from: u32, to: u32| {
        format!("INSERT INTO {into} SELECT {row} FROM generate_series({from}, {to}) AS i")
    };
    client.batch_execute(&fill("pgbench_branches", "i, 0, ''", 1, SCALE)).await?;
    let tellers = fill("pgbench_tellers", "i, (i - 1) / 10 + 1, 0, ''", 1, SCALE * 10);
    client.batch_execute(&tellers).await?;
    for from in (1..=SCALE * 100_000).step_by(FILL as usize) {
        let to = from + FILL - 1;
        let accounts = fill("pgbench_accounts", "i, (i - 1) / 100000 + 1, 0, ''", from, to);
        client.batch_execute(&accounts).await?;
    }
    if system.kind == Kind::Postgres {
        client.batch_execute("VACUUM ANALYZE").await?;
    }
    Ok(())
}

/// One of pgbench's scripts, each transaction tried once.
pub async fn pgbench(
    system: &System,
    script: &str,
    serializable: bool,
    time: Duration,
) -> Result<Outcome> {
    let mut command = Command::new("pgbench");
    command.args(["-n", "-M", "prepared", "-j", "2", "--max-tries=1", "-b", script]);
    command.arg("-c").arg(CLIENTS.to_string()).arg("-T").arg(time.as_secs().to_string());
    command.args(["-h", "127.0.0.1", "-U", "root", "-p", &system.ports[0].to_string()]);
    command.arg(system.database());
    if serializable {
        command.env("PGOPTIONS", "-c default_transaction_isolation=serializable");
    }
    let told = output_of(command).await?;
    let failed = number_after(&told, "number of failed transactions: ").unwrap_or(0.0);
    let done = number_after(&told, "number of transactions actually processed: ")?;
    let per_second = number_after(&told, "tps = ")?;
    Ok(Outcome {
        per_second,
        failed: failed / (failed + done).max(1.0),
        mean: Duration::from_secs_f64(number_after(&told, "latency average = ")? / 1e3),
        p99: None,
    })
}

/// Makes and fills sysbench's tables, unless they are there.
pub async fn prepare_sysbench(system: &System) -> Result<()> {
    if sysbench_of(system, "oltp_point_select", Duration::from_secs(1)).await.is_ok() {
        return Ok(());
    }
    let mut command = sysbench_command(system, "oltp_common");
    command.arg("prepare");
    output_of(command).await.map(drop)
}

/// One of sysbench's scripts.
pub async fn sysbench(system: &System, script: &str, time: Duration) -> Result<Outcome> {
    sysbench_of(system, script, time).await
}

async fn sysbench_of(system: &System, script: &str, time: Duration) -> Result<Outcome> {
    let mut command = sysbench_command(system, script);
    command.arg("--percentile=99").arg(format!("--time={}", time.as_secs())).arg("run");
    let told = output_of(command).await?;
    let done = number_after(&told, "transactions:")?;
    let failed = number_after(&told, "ignored errors:")?;
    Ok(Outcome {
        per_second: done / number_after(&told, "total time:")?,
        failed: failed / (failed + done).max(1.0),
        mean: Duration::from_secs_f64(number_after(&told, "avg:")? / 1e3),
        p99: Some(Duration::from_secs_f64(number_after(&told, "99th percentile:")? / 1e3)),
    })
}

fn sysbench_command(system: &System, script: &str) -> Command {
    let mut command = Command::new("sysbench");
    command.arg(script).args(["--rand-type=uniform", "--auto_inc=off"]);
    command.arg(format!("--tables={TABLES}")).arg(format!("--table-size={TABLE_ROWS}"));
    command.arg(format!("--threads={CLIENTS}"));
    let driver = match system.kind {
        Kind::Galera => "mysql",
        Kind::Meridian | Kind::Postgres | Kind::Etcd => "pgsql",
    };
    command.arg(format!("--db-driver={driver}")).arg(format!("--{driver}-host=127.0.0.1"));
    command.arg(format!("--{driver}-port={}", system.ports[0]));
    command.arg(format!("--{driver}-user=root")).arg(format!("--{driver}-password="));
    command.arg(format!("--{driver}-db={}", system.database()));
    command.env("PGOPTIONS", "-c default_transaction_isolation=serializable");
    command
}

/// The number that follows a word.
fn number_after(told: &str, word: &str) -> Result<f64> {
    let Some((_, rest)) = told.split_once(word) else { bail!("no `{word}` in: {told}") };
    let rest = rest.trim_start();
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    rest[..end].parse().with_context(|| format!("no number behind `{word}` in: {told}"))
}

#[cfg(test)]
mod tests {
    use super::number_after;

    #[test]
    fn numbers_are_found_behind_words() {
        let told = "tps = 98.5 (without)\n  transactions:   120 (12.0 per sec.)\n";
        assert_eq!(number_after(told, "tps = ").expect("it is there"), 98.5);
        assert_eq!(number_after(told, "transactions:").expect("it is there"), 120.0);
        assert!(number_after(told, "avg:").is_err());
        assert!(number_after(told, "per sec").is_err());
    }
}
