//! Groups: at the replicas where a scan's rows are all that goes in, else here.

use std::pin::pin;

use expr::{Accumulator, AggCall, Datum, Expr, pushdown::Output, row};
use rustc_hash::FxHashMap;

use super::{Exec, pace, scan};
use crate::{
    catalog::layout,
    error::Outcome,
    plan::{Aggregate, Node, Scan, access},
    session::Row,
};

/// Groups in the order in which they came up.
struct Groups<'c> {
    calls: &'c [AggCall],
    places: FxHashMap<Vec<Datum>, usize>,
    groups: Vec<(Vec<Datum>, Vec<Accumulator>)>,
}

impl<'c> Groups<'c> {
    fn new(calls: &'c [AggCall]) -> Groups<'c> {
        Groups { calls, places: FxHashMap::default(), groups: Vec::new() }
    }

    /// The accumulators of a group.
    fn group(&mut self, exec: &mut Exec<'_>, key: Vec<Datum>) -> Outcome<&mut Vec<Accumulator>> {
        let place = match self.places.get(&key) {
            Some(place) => *place,
            None => {
                exec.budget.row(&key)?;
                exec.budget.bytes(self.calls.len() * size_of::<Accumulator>())?;
                let fresh = self.calls.iter().map(Accumulator::new).collect();
                self.places.insert(key.clone(), self.groups.len());
                self.groups.push((key, fresh));
                self.groups.len() - 1
            }
        };
        Ok(&mut self.groups[place].1)
    }

    async fn finish(self, exec: &mut Exec<'_>) -> Outcome<Vec<Row>> {
        let context = exec.env.context.clone();
        let mut rows = Vec::with_capacity(self.groups.len());
        for (mut row, accumulators) in self.groups {
            exec.next_row(1 + accumulators.len()).await;
            for accumulator in &accumulators {
                context.work(accumulator.work_to_finish())?;
                row.push(accumulator.finish()?);
            }
            rows.push(row);
        }
        Ok(rows)
    }
}

/// The groups of a node.
pub(super) async fn rows(exec: &mut Exec<'_>, aggregate: &Aggregate) -> Outcome<Vec<Row>> {
    let group = exec.all_ready(&aggregate.group).await;
    let mut calls = Vec::with_capacity(aggregate.calls.len());
    for call in &aggregate.calls {
        calls.push(ready(exec, call).await);
    }
    let mut groups = Groups::new(&calls);
    if group.is_empty() {
        groups.group(exec, Vec::new())?;
    }
    match &aggregate.input {
        Node::Scan(scan) if pushable(scan, &group, &calls) => {
            let merged = merge_partials(exec, scan, &group, &mut groups).await?;
            if merged {
                return groups.finish(exec).await;
            }
            take_rows(exec, &aggregate.input, &group, &mut groups).await?;
        }
        input => take_rows(exec, input, &group, &mut groups).await?,
    }
    groups.finish(exec).await
}

async fn ready(exec: &mut Exec<'_>, call: &AggCall) -> AggCall {
    AggCall {
        args: exec.all_ready(&call.args).await,
        filter: call.filter.as_ref().map(|filter| exec.ready(filter)),
        ..call.clone()
    }
}

/// Whether replicas can aggregate for themselves.
fn pushable(scan: &Scan, group: &[Expr], calls: &[AggCall]) -> bool {
    scan.limit.is_none()
        && group.iter().all(Expr::is_pushable)
        && calls.iter().all(|call| {
            call.has_partial()
                && !call.distinct
                && call.args.iter().chain(&call.filter).all(Expr::is_pushable)
        })
}

/// Has the replicas aggregate and merges what they send. `false`: not possible here.
async fn merge_partials(
    exec: &mut Exec<'_>,
    scan: &Scan,
    group: &[Expr],
    groups: &mut Groups<'_>,
) -> Outcome<bool> {
    let settled = scan::settle(exec, scan, &[]).await?;
    let covered = access::covers(settled.table, settled.index, &scan.needed);
    if !covered || !settled.conditions.iter().all(Expr::is_pushable) {
        return Ok(false);
    }
    if settled.spans.spans.is_empty() {
        return Ok(true);
    }
    let layout = layout(settled.table, settled.index, &scan.needed);
    let output = Output::Groups { group_by: group.to_vec(), aggregates: groups.calls.to_vec() };
    let program = settled.program(exec, layout, settled.conditions.clone(), output);
    let span = settled.operation(exec);
    let read = scan::run_program(exec, &settled, &program, None);
    let tuples = trace::within(&span, pin!(read)).await?;
    drop(span);
    for (_, tuple) in tuples {
        exec.tick(2 + groups.calls.len()).await;
        let mut values = row::decode_tuple(&tuple)?;
        exec.tick(pace::weight(&values)).await;
        let mut partials = values.split_off(group.len());
        let calls = groups.calls;
        let mut grown = 0;
        for (accumulator, call) in groups.group(exec, values)?.iter_mut().zip(calls) {
            let before = accumulator.memory();
            let rest = partials.split_off(call.partial_width());
            accumulator.merge(&partials)?;
            partials = rest;
            grown += accumulator.memory().saturating_sub(before);
        }
        exec.budget.bytes(grown)?;
    }
    Ok(true)
}

/// Aggregates rows here.
async fn take_rows(
    exec: &mut Exec<'_>,
    input: &Node,
    group: &[Expr],
    groups: &mut Groups<'_>,
) -> Outcome<()> {
    let mut flow = exec.open(input).await?;
    let context = exec.env.context.clone();
    let args = groups.calls.iter().flat_map(|call| call.args.iter().chain(&call.filter));
    let each = pace::steps(group) + args.map(Expr::size).sum::<usize>() + groups.calls.len();
    while let Some(batch) = exec.next(&mut flow).await? {
        for row in batch {
            exec.tick(each).await;
            let key = exec.evaluate(&row, group).await?;
            exec.tick(pace::weight(&key)).await;
            let calls = groups.calls;
            let mut grown = 0;
            for (accumulator, call) in groups.group(exec, key)?.iter_mut().zip(calls) {
                let before = accumulator.memory();
                accumulator.update_row(call, &row, &context)?;
                grown += accumulator.memory().saturating_sub(before);
            }
            exec.budget.bytes(grown)?;
        }
    }
    Ok(())
}
