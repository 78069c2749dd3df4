//! Aggregates over all rows at once, and over parts that are merged.

use proptest::prelude::*;

use super::{Accumulator, AggCall, AggFunc, resolve};
use crate::{
    context::EvalContext,
    datum::Datum,
    decimal::Decimal,
    error::SqlState,
    expr::Expr,
    types::{Element, Type},
};

fn call(func: AggFunc, result: Type) -> AggCall {
    AggCall { func, args: vec![Expr::Column(0)], distinct: false, filter: None, result }
}

fn over(call: &AggCall, values: &[Datum]) -> Accumulator {
    let mut accumulator = Accumulator::new(call);
    for value in values {
        let row = std::slice::from_ref(value);
        accumulator.update_row(call, row, &EvalContext::default()).expect("small numbers");
    }
    accumulator
}

fn result(call: &AggCall, values: &[Datum]) -> Datum {
    over(call, values).finish().expect("small numbers")
}

fn ints(values: &[i64]) -> Vec<Datum> {
    values.iter().map(|value| Datum::Int(*value)).collect()
}

#[test]
fn types_follow_postgresql() {
    let cases = [
        ("sum", Type::Int2, Type::Int8),
        ("sum", Type::Int4, Type::Int8),
        ("sum", Type::Int8, Type::NUMERIC),
        ("sum", Type::Float4, Type::Float4),
        ("avg", Type::Int4, Type::NUMERIC),
        ("avg", Type::Float4, Type::Float8),
        ("min", Type::Varchar(Some(3)), Type::Text),
        ("max", Type::Date, Type::Date),
        ("count", Type::Uuid, Type::Int8),
        ("array_agg", Type::Int4, Type::Array(Element::Int4)),
    ];
    for (name, arg, expected) in cases {
        assert_eq!(resolve(name, &[arg]).expect("it exists").result, expected, "{name}({arg})");
    }
    for (name, arg) in [("sum", Type::Text), ("max", Type::Bool), ("bool_and", Type::Int4)] {
        let error = resolve(name, &[arg]).expect_err("no such aggregate");
        assert_eq!(error.sqlstate, SqlState::UNDEFINED_FUNCTION, "{name}({arg})");
    }
}

#[test]
fn nothing_comes_of_nothing_but_a_count() {
    for func in [AggFunc::Sum, AggFunc::Avg, AggFunc::Min, AggFunc::Max, AggFunc::BoolOr] {
        assert_eq!(result(&call(func, Type::Int8), &[Datum::Null]), Datum::Null, "{func:?}");
    }
    assert_eq!(result(&call(AggFunc::Count, Type::Int8), &[Datum::Null]), Datum::Int(0));
    assert_eq!(result(&AggCall::count_rows(), &[Datum::Null]), Datum::Int(1));
    let nulls = result(&call(AggFunc::ArrayAgg, Type::Array(Element::Int4)), &[Datum::Null]);
    assert_eq!(nulls, Datum::array(Element::Int4, vec![Datum::Null]));
}

#[test]
fn sums_and_averages_are_exact() {
    let values = ints(&[i64::MAX, i64::MAX, 1]);
    let sum = result(&call(AggFunc::Sum, Type::NUMERIC), &values);
    assert_eq!(format!("{sum:?}"), "18446744073709551615n");
    let error = over(&call(AggFunc::Sum, Type::Int8), &values).finish().expect_err("too large");
    assert_eq!(error.sqlstate, SqlState::NUMERIC_VALUE_OUT_OF_RANGE);
    let average = result(&call(AggFunc::Avg, Type::NUMERIC), &ints(&[1, 2]));
    assert_eq!(format!("{average:?}"), "1.5000000000000000n");
}

#[test]
fn filters_and_distinct_leave_rows_out() {
    let mut distinct = call(AggFunc::Sum, Type::Int8);
    distinct.distinct = true;
    assert_eq!(result(&distinct, &ints(&[1, 1, 2])), Datum::Int(3));
    assert!(!distinct.has_partial());
    let mut filtered = call(AggFunc::Count, Type::Int8);
    filtered.filter = Some(Expr::constant(false));
    assert_eq!(result(&filtered, &ints(&[1, 2])), Datum::Int(0));
}

#[test]
fn texts_are_joined() {
    let mut joined = call(AggFunc::StringAgg, Type::Text);
    joined.args.push(Expr::constant(", "));
    let values = ["a", "", "b"].map(Datum::from);
    assert_eq!(result(&joined, &values), Datum::text("a, , b"));
}

fn columns() -> impl Strategy<Value = (Type, Vec<Datum>)> {
    let ints = prop::collection::vec(any::<Option<i32>>(), 0..20);
    let decimals = prop::collection::vec((any::<i32>(), 0_u32..4), 0..20);
    prop_oneof![
        ints.prop_map(|ints| (Type::Int4, ints.into_iter().map(Datum::from).collect())),
        decimals.prop_map(|parts| {
            let numbers = parts.into_iter().map(|(n, scale)| Decimal::from_parts(n.into(), scale));
            (Type::NUMERIC, numbers.map(Datum::numeric).collect())
        }),
    ]
}

proptest! {
    #[test]
    fn parts_merge_to_the_whole((ty, values) in columns(), cut in 0_usize..20) {
        let (left, right) = values.split_at(cut.min(values.len()));
        for name in ["sum", "avg", "min", "max", "count", "variance", "var_pop", "stddev"] {
            let resolved = resolve(name, &[ty]).expect("it exists");
            let call = call(resolved.func, resolved.result);
            let mut merged = Accumulator::new(&call);
            for part in [left, right] {
                let partial = over(&call, part).partial();
                prop_assert_eq!(partial.len(), call.partial_width());
                merged.merge(&partial).expect("a partial state");
            }
            let whole = result(&call, &values);
            prop_assert_eq!(format!("{:?}", merged.finish().expect("small")), format!("{whole:?}"));
        }
    }
}

/// A number, or what stands for none.
fn float(value: &Datum) -> f64 {
    if let Datum::Float(value) = value { *value } else { f64::NAN }
}

proptest! {
    /// Floats merge to the whole but for their last digits, however far from zero they lie.
    #[test]
    fn parts_of_floats_merge_to_about_the_whole(
        values in prop::collection::vec(-1000_i32..1000, 2..20), far in 0_i32..3, cut in 1_usize..19,
    ) {
        let offset = f64::from(far) * 1e9;
        let values: Vec<Datum> =
            values.iter().map(|value| Datum::Float(f64::from(*value) + offset)).collect();
        let (left, right) = values.split_at(cut.min(values.len()));
        let func = AggFunc::Spread(super::Spread::VarPop);
        for call in [call(func, Type::Float8), call(AggFunc::Avg, Type::Float8)] {
            let mut merged = Accumulator::new(&call);
            for part in [left, right] {
                let partial = over(&call, part).partial();
                prop_assert_eq!(partial.len(), call.partial_width());
                merged.merge(&partial).expect("a partial state");
            }
            let (merged, whole) = (merged.finish().expect("small"), result(&call, &values));
            let (merged, whole) = (float(&merged), float(&whole));
            prop_assert!((merged - whole).abs() <= 1e-6 * (1.0 + whole.abs()), "{merged} {whole}");
        }
    }
}

#[test]
fn a_foreign_state_is_refused() {
    let mut sum = Accumulator::new(&call(AggFunc::Sum, Type::Int8));
    let error = sum.merge(&[Datum::Int(1)]).expect_err("one value is missing");
    assert_eq!(error.sqlstate, SqlState::DATA_CORRUPTED);
}
