//! Functions that ask the session or the cluster: run before the statement's nodes, their results
//! put in their places. Their arguments must be constants.

use std::time::Duration;

use clock::Timestamp;
use expr::{Datum, Element, Expr, SqlError, Type};
use keys::{Span, TxnId, layout};
use kv::{LockInfo, Reply, Request};

use super::Exec;
use crate::{database::Database, error::Outcome, plan::Plan, session::Shared};

/// A function of this kind.
#[derive(Debug)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub args: &'static [Type],
    /// What comes out.
    pub result: Type,
}

/// All of them.
pub const FUNCTIONS: &[Function] = &[
    Function { name: "meridian_commit_timestamp", args: &[], result: Type::Text },
    Function { name: "meridian_read_timestamp", args: &[], result: Type::Text },
    Function { name: "meridian_node_id", args: &[], result: Type::Int8 },
    Function { name: "meridian_region", args: &[], result: Type::Text },
    Function {
        name: "pg_isolation_test_session_is_blocked",
        args: &[Type::Int4, Type::Array(Element::Int4)],
        result: Type::Bool,
    },
    Function { name: "pg_sleep", args: &[Type::Float8], result: Type::Void },
    Function { name: "pg_cancel_backend", args: &[Type::Int4], result: Type::Bool },
    Function { name: "pg_advisory_unlock_all", args: &[], result: Type::Void },
];

/// Runs all such calls of a plan.
pub(super) async fn ask(exec: &mut Exec<'_>, plan: &Plan) -> Outcome<()> {
    let mut calls = Vec::new();
    let mut see = |expr: &Expr| {
        expr.any(&mut |part| {
            if matches!(part, Expr::External { .. }) {
                calls.push(part.clone());
            }
            false
        });
    };
    plan.each_expr(&mut see);
    for call in calls {
        let call = exec.ready(&call);
        if exec.answers.iter().any(|(known, _)| *known == call) {
            continue;
        }
        let Expr::External { name, args, .. } = &call else { continue };
        let values: Option<Vec<Datum>> = args.iter().map(|arg| arg.as_const().cloned()).collect();
        let values = values.ok_or_else(|| {
            SqlError::unsupported(format!("function {name} with anything but constants"))
        })?;
        let answer = answer(exec, name, &values).await?;
        exec.answers.push((call, answer));
    }
    Ok(())
}

async fn answer(exec: &mut Exec<'_>, name: &str, args: &[Datum]) -> Outcome<Datum> {
    let database = exec.env.database;
    Ok(match (name, args) {
        ("meridian_commit_timestamp", []) => timestamp(exec.env.last_commit),
        ("meridian_read_timestamp", []) => {
            let current = match exec.env.txn.read_timestamp() {
                Some(read) => Some(read),
                None => Some(exec.env.txn.begin_statement().await?),
            };
            timestamp(current.or(exec.env.last_read))
        }
        ("meridian_node_id", []) => Datum::Int(database.0.cluster.node_id().0.into()),
        ("meridian_region", []) => Datum::text(database.0.cluster.region()),
        ("pg_isolation_test_session_is_blocked", [Datum::Int(pid), Datum::Array(others)]) => {
            let others = others.items.iter().filter_map(Datum::as_int).collect::<Vec<i64>>();
            Datum::Bool(is_blocked(exec, *pid, &others).await?)
        }
        ("pg_sleep", [Datum::Float(seconds)]) => {
            // NaN clamps to itself, and is no time at all.
            let seconds = if seconds.is_nan() { 0.0 } else { seconds.clamp(0.0, 86_400.0) };
            timer::sleep(Duration::from_secs_f64(seconds)).await;
            Datum::text("")
        }
        ("pg_cancel_backend", [Datum::Int(pid)]) => {
            let pid = i32::try_from(*pid).unwrap_or(0);
            Datum::Bool(database.cancel(pid))
        }
        ("pg_advisory_unlock_all", []) => Datum::text(""),
        _ => Datum::Null,
    })
}

fn timestamp(at: Option<Timestamp>) -> Datum {
    at.map_or(Datum::Null, |at| Datum::text(at.to_string()))
}

/// Whether the session waits for a lock that one of the other sessions' transactions holds. Asks the
/// leaders of all ranges of the tables that the session uses.
async fn is_blocked(exec: &Exec<'_>, pid: i64, others: &[i64]) -> Outcome<bool> {
    let database = exec.env.database;
    let session = |pid: i64| i32::try_from(pid).ok().and_then(|pid| database.session_by_pid(pid));
    let Some(waiter) = session(pid) else { return Ok(false) };
    let Some(waiting) = waiter.txn() else { return Ok(false) };
    let holders: Vec<TxnId> =
        others.iter().filter_map(|pid| session(*pid)?.txn()).filter(|id| *id != waiting).collect();
    if holders.is_empty() {
        return Ok(false);
    }
    let locks = locks_of(database, &waiter, exec.env.deadline).await?;
    Ok(locks.iter().any(|lock| {
        lock.txn.id == waiting && lock.waits_for.iter().any(|holder| holders.contains(holder))
    }))
}

/// Locks held and waited for in the ranges of the tables that a session uses.
async fn locks_of(
    database: &Database,
    session: &Shared,
    deadline: timer::Instant,
) -> Outcome<Vec<LockInfo>> {
    let mut all = Vec::new();
    for (table, _) in session.used() {
        for answer in locks_in(database, &layout::table_span(table), deadline).await? {
            all.extend(answer?);
        }
    }
    Ok(all)
}

/// Locks held and waited for in each range of a span, as far as their leaders answer. All are asked
/// at once.
///
/// # Errors
/// If the ranges of the span cannot be had.
pub(crate) async fn locks_in(
    database: &Database,
    span: &Span,
    deadline: timer::Instant,
) -> Outcome<Vec<Outcome<Vec<LockInfo>>>> {
    let router = &database.0.router;
    let ranges = router.ranges_of(span, deadline).await?;
    let asked = ranges.iter().map(async |range| {
        let reply = router.send_to_leader(range, Request::Locks, deadline).await;
        match reply.map_err(txn::TxnError::from)? {
            Reply::Locks(locks) => Ok(locks),
            other => Err(SqlError::internal(format!("{other:?} to a request for locks")).into()),
        }
    });
    Ok(futures::future::join_all(asked).await)
}
