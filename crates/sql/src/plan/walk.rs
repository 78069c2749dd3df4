//! Every expression of a plan, shown one by one.
//!
//! Each struct and variant is taken apart by all of its fields, so that a part that is added is a
//! part that does not compile here until somebody has said whether it holds expressions.

use expr::{AggCall, Expr, stack};

use super::{
    Aggregate, Body, BoundCheck, ColumnValue, ConflictUpdate, Delete, Insert, Join, LockRows, Node,
    OnConflict, Plan, RowLimit, Scan, SortKey, Subquery, Update,
};

impl Plan {
    /// Shows every expression, those of subqueries first.
    pub fn each_expr(&self, see: &mut dyn FnMut(&Expr)) {
        let Plan {
            params: _,
            columns: _,
            body,
            subqueries,
            tables: _,
            asks: _,
            momentary: _,
            long: _,
            levels: _,
        } = self;
        for Subquery { node, kind: _ } in subqueries {
            node.each_expr(see);
        }
        match body {
            Body::Query(node) => node.each_expr(see),
            Body::Insert(insert) => insert.each_expr(see),
            Body::Update(update) => update.each_expr(see),
            Body::Delete(delete) => {
                let Delete { table: _, source, returning } = &**delete;
                source.each_expr(see);
                returning.iter().flatten().for_each(see);
            }
            Body::Truncate(_) => {}
        }
    }
}

impl Insert {
    fn each_expr(&self, see: &mut dyn FnMut(&Expr)) {
        let Insert { table: _, source, values, checks, conflict, returning } = self;
        source.each_expr(see);
        values.iter().for_each(|value| value.each_expr(see));
        each_check(checks, see);
        if let Some(OnConflict { targets: _, update: Some(update), replaces: _ }) = conflict {
            let ConflictUpdate { assignments, condition } = update;
            assignments.iter().for_each(|(_, value)| value.each_expr(see));
            condition.iter().for_each(&mut *see);
        }
        returning.iter().flatten().for_each(see);
    }
}

impl Update {
    fn each_expr(&self, see: &mut dyn FnMut(&Expr)) {
        let Update { table: _, source, assignments, checks, returning } = self;
        source.each_expr(see);
        assignments.iter().for_each(|(_, value)| value.each_expr(see));
        each_check(checks, see);
        returning.iter().flatten().for_each(see);
    }
}

impl ColumnValue {
    fn each_expr(&self, see: &mut dyn FnMut(&Expr)) {
        match self {
            ColumnValue::Source(expr) | ColumnValue::Default(expr) => see(expr),
            ColumnValue::SourceUnless { default: _, source, otherwise } => {
                see(source);
                otherwise.each_expr(see);
            }
            ColumnValue::RowId | ColumnValue::Serial => {}
        }
    }
}

fn each_check(checks: &[BoundCheck], see: &mut dyn FnMut(&Expr)) {
    checks.iter().for_each(|BoundCheck { name: _, condition }| see(condition));
}

impl Node {
    /// Shows every expression of a node and of its inputs.
    fn each_expr(&self, see: &mut dyn FnMut(&Expr)) {
        stack::guard(|| self.each_expr_below(see));
    }

    fn each_expr_below(&self, see: &mut dyn FnMut(&Expr)) {
        match self {
            Node::Rows(rows) => rows.iter().flatten().for_each(see),
            Node::Scan(scan) => {
                let Scan { table: _, alias: _, index: _, conditions, needed: _, order: _, limit } =
                    &**scan;
                conditions.iter().for_each(&mut *see);
                if let Some(RowLimit { limit, offset }) = limit {
                    std::iter::once(limit).chain(offset).for_each(see);
                }
            }
            Node::Series { start, stop, step } => {
                [start, stop].into_iter().chain(step).for_each(see);
            }
            Node::Unnest(array) => see(array),
            Node::Shared(_) => {}
            Node::Filter { input, conditions } => {
                input.each_expr(see);
                conditions.iter().for_each(see);
            }
            Node::Project { input, exprs } => {
                input.each_expr(see);
                exprs.iter().for_each(see);
            }
            Node::Join(join) => join.each_expr(see),
            Node::Aggregate(aggregate) => aggregate.each_expr(see),
            Node::Sort { input, keys } => {
                input.each_expr(see);
                keys.iter().for_each(|SortKey { expr, descending: _, nulls_first: _ }| see(expr));
            }
            Node::Distinct { input, on } => {
                input.each_expr(see);
                on.iter().flatten().for_each(see);
            }
            Node::Limit { input, limit, offset } => {
                input.each_expr(see);
                limit.iter().chain(offset).for_each(see);
            }
            Node::SetOperation { op: _, all: _, left, right } => {
                left.each_expr(see);
                right.each_expr(see);
            }
            Node::Lock(lock) => {
                let LockRows { input, table: _, offset: _, wait: _ } = &**lock;
                input.each_expr(see);
            }
        }
    }
}

impl Join {
    fn each_expr(&self, see: &mut dyn FnMut(&Expr)) {
        let Join { kind: _, left, left_width: _, right, right_width: _, equal, conditions } = self;
        left.each_expr(see);
        right.each_expr(see);
        for (left, right) in equal {
            see(left);
            see(right);
        }
        conditions.iter().for_each(see);
    }
}

impl Aggregate {
    fn each_expr(&self, see: &mut dyn FnMut(&Expr)) {
        let Aggregate { input, group, asked: _, calls } = self;
        input.each_expr(see);
        group.iter().for_each(&mut *see);
        for AggCall { func: _, args, distinct: _, filter, result: _ } in calls {
            args.iter().chain(filter).for_each(&mut *see);
        }
    }
}
