//! Joins: a hash table over the right rows where something must be equal, else every pair.
//!
//! Where the right input is a table and the left rows are few, the right scan is narrowed to the
//! values that the left rows have: their keys become spans, read in one round per range, instead of
//! the whole table. The right rows are held; the left ones, and the pairs, come and go in batches.

use std::collections::hash_map::Entry;

use expr::{Datum, Expr};
use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    Exec,
    flow::{BATCH, BATCH_BYTES, Flow},
    pace::{steps, weight},
    row_memory, scan,
};
use crate::{
    error::Outcome,
    plan::{Join, JoinKind, Node},
    session::Row,
};

/// Beyond so many different values the right table is scanned whole.
const MAX_LOOKUPS: usize = 1_000;

/// A join at work.
pub(crate) struct Pairs<'p> {
    join: &'p Join,
    left: Flow<'p>,
    /// What the left row must have in common with a right one.
    left_equal: Vec<Expr>,
    conditions: Vec<Expr>,
    /// Pairs that go on their way together: of wide ones fewer.
    batch: usize,
    /// Steps that trying one pair takes.
    steps: usize,
    right: Vec<Row>,
    /// The right rows with these values in common.
    places: FxHashMap<Vec<Datum>, Vec<usize>>,
    /// Which right rows found a match.
    matched: Vec<bool>,
    /// Left rows that were not looked at yet.
    rows: std::vec::IntoIter<Row>,
    /// The left row that is looked at.
    row: Option<LeftRow>,
    /// The next right row to yield without a match, once the left rows have ended.
    unmatched: Option<usize>,
}

/// A left row, and how far its candidates were tried.
struct LeftRow {
    key: Option<Vec<Datum>>,
    width: usize,
    tried: usize,
    matched: bool,
    /// Its columns, with room for those of a right row behind them.
    both: Row,
}

/// Begins a join: the right rows are read.
pub(super) async fn open<'p>(exec: &mut Exec<'_>, join: &'p Join) -> Outcome<Pairs<'p>> {
    let (left_equal, right_equal): (Vec<Expr>, Vec<Expr>) = join.equal.iter().cloned().unzip();
    let left_equal = exec.all_ready(&left_equal).await;
    let right_equal = exec.all_ready(&right_equal).await;
    let narrows = matches!(join.kind, JoinKind::Inner | JoinKind::Left);
    let (left, right) = match &join.right {
        Node::Scan(scan) if narrows && !join.equal.is_empty() => {
            let left = exec.rows(&join.left).await?;
            let narrowing = narrowing(exec, join, &left, &left_equal).await?;
            let right = scan::rows(exec, scan, &narrowing).await?;
            (Flow::Ready(left.into_iter()), right)
        }
        node => {
            let right = exec.rows(node).await?;
            (exec.open(&join.left).await?, right)
        }
    };
    let mut places = FxHashMap::<Vec<Datum>, Vec<usize>>::default();
    let each = steps(&right_equal);
    for (place, row) in right.iter().enumerate() {
        exec.tick(each).await;
        if let Some(key) = key(exec, row, &right_equal).await? {
            exec.budget.bytes(size_of::<usize>())?;
            let entry = places.entry(key);
            if let Entry::Vacant(new) = &entry {
                exec.budget.bytes(row_memory(new.key()) + size_of::<Vec<usize>>())?;
            }
            entry.or_default().push(place);
        }
    }
    let conditions = exec.all_ready(&join.conditions).await;
    exec.budget.bytes(right.len() * size_of::<bool>())?;
    let pair = (join.left_width + join.right_width) * size_of::<Datum>();
    Ok(Pairs {
        batch: (BATCH_BYTES / pair.max(1)).clamp(1, BATCH),
        join,
        left,
        left_equal,
        steps: steps(&conditions),
        conditions,
        matched: vec![false; right.len()],
        right,
        places,
        rows: Vec::new().into_iter(),
        row: None,
        unmatched: None,
    })
}

/// The values that must be equal; `None`: one of them is NULL, so nothing matches.
async fn key(exec: &mut Exec<'_>, row: &Row, equal: &[Expr]) -> Outcome<Option<Vec<Datum>>> {
    let key = exec.evaluate(row, equal).await?;
    exec.tick(weight(&key)).await;
    Ok(if key.iter().any(Datum::is_null) { None } else { Some(key) })
}

/// Conditions that narrow the right scan to what the left rows have.
async fn narrowing(
    exec: &mut Exec<'_>,
    join: &Join,
    left: &[Row],
    left_equal: &[Expr],
) -> Outcome<Vec<Expr>> {
    let mut values: Vec<FxHashSet<Datum>> = vec![FxHashSet::default(); left_equal.len()];
    let each = steps(left_equal);
    for row in left {
        exec.tick(each).await;
        if let Some(key) = key(exec, row, left_equal).await? {
            for (values, value) in values.iter_mut().zip(key) {
                let taken = value.memory();
                if values.len() <= MAX_LOOKUPS && values.insert(value) {
                    exec.budget.bytes(taken)?;
                }
            }
        }
    }
    let mut conditions = Vec::new();
    for (values, (_, expr)) in values.into_iter().zip(&join.equal) {
        if values.len() <= MAX_LOOKUPS {
            let mut values: Vec<Datum> = values.into_iter().collect();
            values.sort();
            conditions.push(Expr::InList {
                arg: Box::new(expr.clone()),
                list: values.into_iter().map(Expr::Const).collect(),
                negated: false,
            });
        }
    }
    Ok(conditions)
}

/// The next pairs.
pub(super) async fn next(exec: &mut Exec<'_>, pairs: &mut Pairs<'_>) -> Outcome<Option<Vec<Row>>> {
    let mut out = Vec::new();
    while out.len() < pairs.batch {
        if let Some(next) = pairs.unmatched {
            pairs.without_left(next, &mut out);
            break;
        }
        if pairs.row.is_none() && !pairs.next_left(exec).await? {
            let kept = matches!(pairs.join.kind, JoinKind::Right | JoinKind::Full);
            pairs.unmatched = Some(if kept { 0 } else { pairs.right.len() });
            continue;
        }
        pairs.try_candidates(exec, &mut out).await?;
    }
    let ended = out.is_empty() && pairs.unmatched == Some(pairs.right.len());
    Ok(if ended { None } else { Some(out) })
}

impl Pairs<'_> {
    /// Takes the next left row up; `false`: there is none.
    async fn next_left(&mut self, exec: &mut Exec<'_>) -> Outcome<bool> {
        loop {
            if let Some(row) = self.rows.next() {
                let key = key(exec, &row, &self.left_equal).await?;
                let width = row.len();
                self.row = Some(LeftRow { key, width, tried: 0, matched: false, both: row });
                return Ok(true);
            }
            match exec.next(&mut self.left).await? {
                Some(batch) => self.rows = batch.into_iter(),
                None => return Ok(false),
            }
        }
    }

    /// Tries right rows with the left one that is looked at, until a batch is full.
    async fn try_candidates(&mut self, exec: &mut Exec<'_>, out: &mut Vec<Row>) -> Outcome<()> {
        let Some(mut left) = self.row.take() else { return Ok(()) };
        let candidates = left.key.as_ref().and_then(|key| self.places.get(key));
        let candidates = candidates.map_or(&[][..], Vec::as_slice);
        while let Some(&candidate) = candidates.get(left.tried) {
            if out.len() >= self.batch {
                self.row = Some(left);
                return Ok(());
            }
            left.tried += 1;
            if exec.is_due(self.steps) {
                exec.pause().await;
            }
            left.both.truncate(left.width);
            left.both.extend_from_slice(&self.right[candidate]);
            if exec.passes(&left.both, &self.conditions)? {
                (left.matched, self.matched[candidate]) = (true, true);
                out.push(left.both.clone());
            }
        }
        exec.tick(1).await;
        if !left.matched && matches!(self.join.kind, JoinKind::Left | JoinKind::Full) {
            left.both.truncate(left.width);
            left.both.resize(self.join.left_width + self.join.right_width, Datum::Null);
            out.push(left.both);
        }
        Ok(())
    }

    /// Right rows without a match, from this one on.
    fn without_left(&mut self, next: usize, out: &mut Vec<Row>) {
        let mut place = next;
        while place < self.right.len() && out.len() < self.batch {
            if !self.matched[place] {
                let mut both = vec![Datum::Null; self.join.left_width];
                both.extend_from_slice(&self.right[place]);
                out.push(both);
            }
            place += 1;
        }
        self.unmatched = Some(place);
    }
}
