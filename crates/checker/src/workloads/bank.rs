//! Bank: transfers between accounts, and reads of all of them.
//!
//! A transfer takes from one account what it gives to another, so every read of all accounts at once
//! has the same total, whatever happened to the transfers. A snapshot that mixes before and after does
//! not. Reads that do not show all accounts have no total to judge. Of every read an account below zero
//! is found, unless accounts may be overdrawn.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Action, History, Kind, MicroOp, Options, Order, Outcome, Overdraft, Stats, Value, Workload,
    report::{Found, Report},
};

/// A read of accounts. A balance that is no number is `None`.
struct Read<'h> {
    op: usize,
    balances: BTreeMap<&'h Value, Option<i64>>,
}

/// Judges the totals of all banks' reads.
pub(crate) fn judge<'h>(
    history: &'h History,
    report: &mut Report<'h>,
    stats: &mut Stats,
    options: Options,
) {
    let reads = reads(history);
    let accounts: BTreeSet<&Value> =
        reads.iter().flat_map(|read| read.balances.keys().copied()).collect();
    let whole = |read: &&Read<'_>| read.balances.len() == accounts.len();
    let totals: Vec<(&Read<'_>, Option<i64>)> =
        reads.iter().filter(whole).map(|read| (read, total(read))).collect();
    stats.totals = totals.len();
    note_partial(history, report, reads.iter().filter(|read| !whole(read)));
    judge_totals(history, report, &totals, options.bank_total);
    if options.overdraft == Overdraft::Forbidden {
        reads.iter().for_each(|read| judge_overdraft(read, report));
    }
}

/// Reads of all accounts, with what they add up to.
fn judge_totals<'h>(
    history: &History,
    report: &mut Report<'h>,
    totals: &[(&Read<'h>, Option<i64>)],
    given: Option<i64>,
) {
    let Some(expected) = given.or_else(|| first_total(history, totals)) else {
        if !totals.is_empty() {
            report.undecided("no read of the bank has a total that is a number".to_owned());
        }
        return;
    };
    for (read, total) in totals {
        if *total != Some(expected) {
            let total = total.map_or_else(|| "no number".to_owned(), |total| total.to_string());
            report.add(Kind::WrongTotal, Order::Data, || Found {
                ops: vec![read.op],
                explanation: format!(
                    "T1 read all accounts, and together they hold {total}; it should be {expected}."
                ),
                ..Found::default()
            });
        }
    }
}

/// An account below zero is wrong whatever the others hold.
fn judge_overdraft<'h>(read: &Read<'h>, report: &mut Report<'h>) {
    let overdrawn = read.balances.iter().find_map(|(account, balance)| {
        balance.filter(|balance| *balance < 0).map(|balance| (account, balance))
    });
    if let Some((account, balance)) = overdrawn {
        report.add(Kind::NegativeBalance, Order::Data, || Found {
            ops: vec![read.op],
            explanation: format!("T1 read {balance} in account {account}."),
            ..Found::default()
        });
    }
}

/// Reads of some of the accounts say nothing of the total. Where they are all that an operation says,
/// nothing else judges it.
fn note_partial<'r>(
    history: &History,
    report: &mut Report<'_>,
    partial: impl Iterator<Item = &'r Read<'r>>,
) {
    let (opaque, plain): (Vec<&Read<'_>>, Vec<&Read<'_>>) =
        partial.partition(|read| matches!(history.ops[read.op].action, Action::Balances(_)));
    report.skip("totals of reads that do not show all accounts", plain.len());
    if !opaque.is_empty() {
        report.undecided(format!(
            "{} reads of the bank do not show all accounts and were not judged",
            opaque.len()
        ));
    }
}

fn reads(history: &History) -> Vec<Read<'_>> {
    let mut reads = Vec::new();
    for (at, op) in history.ops.iter().enumerate() {
        if op.workload != Workload::Bank || op.outcome != Outcome::Ok {
            continue;
        }
        let balances: Option<BTreeMap<&Value, Option<i64>>> = match &op.action {
            Action::Balances(balances) => balances.as_ref().map(|balances| {
                balances.iter().map(|(account, balance)| (account, *balance)).collect()
            }),
            Action::Txn(steps) => steps.iter().map(balance).collect(),
            Action::Register { .. } | Action::Transfer { .. } => None,
        };
        reads.extend(balances.map(|balances| Read { op: at, balances }));
    }
    reads
}

/// An account's balance; `None` for steps that only transfers have.
fn balance(step: &MicroOp) -> Option<(&Value, Option<i64>)> {
    match step {
        MicroOp::ReadRegister { key, value } => Some((key, value.as_ref()?.as_int())),
        MicroOp::Append { .. }
        | MicroOp::ReadList { .. }
        | MicroOp::Write { .. }
        | MicroOp::Add { .. }
        | MicroOp::ReadSet { .. } => None,
    }
}

fn total(read: &Read<'_>) -> Option<i64> {
    let mut balances = read.balances.values();
    balances.try_fold(0_i64, |total, balance| total.checked_add((*balance)?))
}

/// What the read that ended first says: as long as nothing went wrong, they all say the same.
fn first_total(history: &History, totals: &[(&Read<'_>, Option<i64>)]) -> Option<i64> {
    let numbers = totals.iter().filter_map(|(read, total)| Some((read.op, (*total)?)));
    numbers.min_by_key(|(op, _)| history.ops[*op].completed).map(|(_, total)| total)
}
