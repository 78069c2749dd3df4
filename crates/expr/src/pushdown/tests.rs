//! Programs over rows as a replica has them.

use std::collections::BTreeMap;

use bytes::Bytes;
use keys::codec::Direction;
use proptest::prelude::*;

use super::{KeyColumn, Layout, MAX_GROUPS, Output, Program, Programs, Runner, Step, ValueColumn};
use crate::{
    agg::{Accumulator, AggCall, AggFunc},
    bind::{self, Typed},
    context::{ByteaOutput, EvalContext},
    datetime::TimeZone,
    datum::Datum,
    error::{SqlError, SqlState},
    expr::{BinaryOp, Expr},
    functions::Func,
    key,
    row::{self, ColumnId},
    types::Type,
};

/// A table `(id int primary key, name text, amount int default 7)`.
fn layout() -> Layout {
    Layout {
        prefix_length: 2,
        key: vec![KeyColumn { slot: Some(0), ty: Type::Int4, direction: Direction::Ascending }],
        values: vec![
            ValueColumn { id: ColumnId(2), slot: 1, default: Datum::Null },
            ValueColumn { id: ColumnId(5), slot: 2, default: Datum::Int(7) },
        ],
        width: 3,
    }
}

fn program(filter: Option<Expr>, output: Output, limit: Option<u64>) -> Program {
    Program {
        layout: layout(),
        filter,
        output,
        limit,
        timezone: TimeZone::Utc,
        bytea: ByteaOutput::Hex,
        transaction_time: 0,
        statement_time: 0,
    }
}

fn stored(id: i64, name: &str, amount: Option<i64>) -> (Vec<u8>, Bytes) {
    let mut key = vec![9, 9];
    key::encode_datum(&Datum::Int(id), Direction::Ascending, &mut key).expect("an integer");
    let (name, amount) = (Datum::text(name), amount.map(Datum::Int));
    let columns = [(ColumnId(2), &name)].into_iter();
    let columns: Vec<_> =
        columns.chain(amount.as_ref().map(|amount| (ColumnId(5), amount))).collect();
    (key, row::encode(&columns))
}

fn ctx() -> EvalContext {
    EvalContext::default()
}

/// `amount op value`
fn amount(op: BinaryOp, value: i64) -> Expr {
    let column = Typed::column(2, Type::Int4);
    bind::binary(op, column, Typed::constant(value, Type::Int4), &ctx()).expect("integers").expr
}

fn opened(program: &Program) -> Runner {
    Runner::open(&program.encode()).expect("a fine program")
}

#[test]
fn rows_are_filtered_projected_and_limited() {
    let output = Output::Rows(vec![Expr::Column(0), Expr::Column(1)]);
    let mut runner = opened(&program(Some(amount(BinaryOp::Ge, 5)), output, Some(2)));
    let mut seen = Vec::new();
    for (id, value) in [(1, Some(4)), (2, None), (3, Some(5)), (4, Some(9))] {
        let (key, value) = stored(id, "x", value);
        seen.push(runner.row(&key, &value).expect("a row"));
    }
    let tuple = |id: i64| row::encode_tuple([Datum::Int(id), Datum::text("x")].iter());
    assert_eq!(seen, [Step::Skip, Step::Emit(tuple(2)), Step::EmitAndStop(tuple(3)), Step::Stop]);
    assert!(runner.finish().is_empty());
}

fn grouped(by: Vec<Expr>) -> Program {
    let sum = AggCall {
        func: AggFunc::Sum,
        args: vec![Expr::Column(2)],
        distinct: false,
        filter: None,
        result: Type::Int8,
    };
    let aggregates = vec![AggCall::count_rows(), sum];
    program(None, Output::Groups { group_by: by, aggregates }, None)
}

proptest! {
    #[test]
    fn groups_merge_to_the_whole(
        rows in prop::collection::vec((0_i64..40, 0_u8..5, any::<Option<i16>>()), 0..60),
        cut in 0_usize..60,
    ) {
        let program = grouped(vec![Expr::Column(1)]);
        let Output::Groups { aggregates, .. } = &program.output else { unreachable!() };
        let mut merged: BTreeMap<Datum, Vec<Accumulator>> = BTreeMap::new();
        let mut expected: BTreeMap<Datum, (i64, i64)> = BTreeMap::new();
        let (left, right) = rows.split_at(cut.min(rows.len()));
        for part in [left, right] {
            let mut runner = opened(&program);
            for (id, name, amount) in part {
                let name = format!("n{name}");
                let (key, value) = stored(*id, &name, amount.map(i64::from));
                prop_assert_eq!(runner.row(&key, &value).expect("a row"), Step::Skip);
                let entry = expected.entry(Datum::text(name)).or_default();
                entry.0 += 1;
                entry.1 += amount.map_or(7, i64::from);
            }
            for tuple in runner.finish() {
                let values = row::decode_tuple(&tuple).expect("a group");
                let fresh = || aggregates.iter().map(Accumulator::new).collect();
                let group = merged.entry(values[0].clone()).or_insert_with(fresh);
                group[0].merge(&values[1..2]).expect("a count");
                group[1].merge(&values[2..4]).expect("a sum");
            }
        }
        let found: BTreeMap<Datum, (i64, i64)> = merged
            .into_iter()
            .map(|(key, group)| {
                let int = |at: usize| group[at].finish().expect("small").as_int().expect("an int");
                (key, (int(0), int(1)))
            })
            .collect();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn too_many_groups_leave_early_and_none_is_lost() {
    let mut runner = opened(&grouped(vec![Expr::Column(0)]));
    let count = i64::try_from(MAX_GROUPS).expect("a small limit") + 10;
    let mut tuples = Vec::new();
    for id in 0..count {
        let (key, value) = stored(id, "x", None);
        if let Step::Emit(tuple) = runner.row(&key, &value).expect("a row") {
            tuples.push(tuple);
        }
    }
    assert_eq!(tuples.len(), 10);
    tuples.extend(runner.finish());
    let ids: Vec<Datum> = tuples
        .iter()
        .map(|tuple| row::decode_tuple(tuple).expect("a group").swap_remove(0))
        .collect();
    assert_eq!(ids, (0..count).map(Datum::Int).collect::<Vec<_>>());
}

#[test]
fn errors_travel_with_their_sqlstate() {
    let zero = Expr::Binary {
        op: BinaryOp::Div,
        left: Box::new(Expr::constant(1_i64)),
        right: Box::new(Expr::Column(0)),
        ty: Type::Int4,
    };
    let bytes = program(None, Output::Rows(vec![zero]), None).encode();
    let mut running = kv::PushdownFactory::open(&Programs, &bytes).expect("a fine program");
    let (key, value) = stored(0, "x", None);
    let failure = running.row(&key, &value).expect_err("division by zero");
    assert_eq!(SqlError::from(&failure).sqlstate, SqlState::DIVISION_BY_ZERO);
    let (key, _) = stored(1, "x", None);
    let failure = running.row(&key, b"\x63").expect_err("no row");
    assert_eq!(SqlError::from(&failure).sqlstate, SqlState::DATA_CORRUPTED);
}

#[test]
fn programs_that_replicas_cannot_run_are_refused() {
    let rows = |expr| program(None, Output::Rows(vec![expr]), None);
    let random = Expr::Call { func: Func::Random, args: Vec::new(), ty: Type::Float8 };
    let user = Expr::Call { func: Func::CurrentUser, args: Vec::new(), ty: Type::Name };
    let mut groups = grouped(Vec::new());
    groups.limit = Some(1);
    let mut slot = rows(Expr::NULL);
    slot.layout.values[0].slot = 3;
    let refused = [
        rows(Expr::Column(3)),
        rows(Expr::Param { index: 0, ty: Type::Int4 }),
        rows(random),
        rows(user),
        groups,
        slot,
    ];
    for program in refused {
        let error = Runner::open(&program.encode()).expect_err("not runnable");
        assert_eq!(error.sqlstate, SqlState::DATA_CORRUPTED, "{program:?}");
    }
    assert!(Runner::open(b"garbage").is_err());
}

/// Replicas cannot be asked whether to go on: what may take long stays at the gateway.
#[test]
fn what_may_take_long_is_not_pushed() {
    let column = || Box::new(Expr::Column(1));
    let like = |pattern: &str| Expr::Like {
        arg: column(),
        pattern: Box::new(Expr::Const(Datum::text(pattern))),
        escape: None,
        case_insensitive: false,
        negated: false,
    };
    assert!(like("%a_b%").is_pushable());
    assert!(like(&format!("%{}%", "a".repeat(10_000))).is_pushable());
    assert!(!like(&format!("%{}_%", "a".repeat(10_000))).is_pushable());
    let binary = |op, ty| Expr::Binary { op, left: column(), right: column(), ty };
    for op in [BinaryOp::Mul, BinaryOp::Div, BinaryOp::Mod] {
        assert!(!binary(op, Type::NUMERIC).is_pushable());
        assert!(binary(op, Type::Int8).is_pushable());
    }
    assert!(binary(BinaryOp::Add, Type::NUMERIC).is_pushable());
}
