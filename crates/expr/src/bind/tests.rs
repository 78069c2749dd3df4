//! What the binder's helpers make of parameters and columns; literals are compared with PostgreSQL
//! in `tests/postgres.rs`.

use super::{Typed, assign, binary, coerce, condition, in_list, param_types};
use crate::{
    context::EvalContext,
    datum::Datum,
    error::SqlState,
    expr::{BinaryOp, CastContext, Expr, Negation},
    functions::Volatility,
    types::Type,
};

fn ctx() -> EvalContext {
    EvalContext::default()
}

#[test]
fn parameters_get_the_type_their_use_asks_for() {
    let bound = binary(
        BinaryOp::Eq,
        Typed::column(0, Type::Varchar(Some(3))),
        Typed::param(1, Type::Unknown),
        &ctx(),
    )
    .expect("comparable");
    assert_eq!(param_types([&bound.expr]).expect("one use"), [Type::Unknown, Type::Text]);
    let value = Typed::param(0, Type::Unknown);
    let stored = assign(value, "x", Type::numeric(5, 2), &ctx()).expect("assignable");
    assert_eq!(param_types([&stored.expr]).expect("one use"), [Type::NUMERIC]);
    let value = stored.expr.substitute(&[Datum::numeric(crate::Decimal::from_parts(12345, 4))]);
    assert_eq!(format!("{:?}", value.eval(&[], &ctx()).expect("fits")), "1.23n");
}

#[test]
fn a_parameter_used_as_two_types_is_refused() {
    let int = coerce(Typed::param(0, Type::Unknown), Type::Int4, CastContext::Implicit, &ctx());
    let text = coerce(Typed::param(0, Type::Unknown), Type::Text, CastContext::Implicit, &ctx());
    let (int, text) = (int.expect("unknown").expr, text.expect("unknown").expr);
    let error = param_types([&int, &text]).expect_err("two types");
    assert_eq!(error.sqlstate, SqlState::AMBIGUOUS_PARAMETER);
}

#[test]
fn columns_stay_bare_where_no_value_changes() {
    // The planner finds spans by looking for bare columns.
    let cases = [
        (Type::Int4, Type::Int8, "5"),
        (Type::Int2, Type::Int4, "5"),
        (Type::Varchar(Some(9)), Type::Text, "x"),
        (Type::Char(Some(9)), Type::Unknown, "x"),
        (Type::NUMERIC, Type::Int4, "5"),
        (Type::numeric(9, 2), Type::Unknown, "5"),
        (Type::Timestamp, Type::Date, "2026-01-01"),
    ];
    for (column, other, text) in cases {
        let value = match other {
            Type::Unknown => Typed::quoted(text),
            ty => coerce(Typed::quoted(text), ty, CastContext::Explicit, &ctx()).expect("a value"),
        };
        let bound = binary(BinaryOp::Lt, Typed::column(0, column), value, &ctx());
        let Expr::Binary { left, right, .. } = bound.expect("comparable").expr else {
            panic!("a comparison is expected");
        };
        assert_eq!(*left, Expr::Column(0), "{column} < {other}");
        assert!(right.as_const().is_some(), "{column} < {other}: {right:?}");
    }
    let list = vec![Typed::quoted("1"), Typed::constant(2, Type::Int8)];
    let bound = in_list(Typed::column(0, Type::Int4), list, Negation::Plain, &ctx());
    let Expr::InList { arg, .. } = bound.expect("comparable").expr else {
        panic!("a list is expected");
    };
    assert_eq!(*arg, Expr::Column(0));
}

#[test]
fn stored_values_must_fit_their_column() {
    let error = assign(Typed::constant(1, Type::Int4), "when", Type::Date, &ctx());
    let error = error.expect_err("an integer is no date");
    assert_eq!(error.sqlstate, SqlState::DATATYPE_MISMATCH);
    assert_eq!(error.message, "column \"when\" is of type date but expression is of type integer");
    let long = Typed::constant("abcd", Type::Text);
    let error = assign(long.clone(), "x", Type::Varchar(Some(3)), &ctx()).expect_err("too long");
    assert_eq!(error.sqlstate, SqlState::STRING_DATA_RIGHT_TRUNCATION);
    let error = condition(long, "WHERE", &ctx()).expect_err("no condition");
    assert_eq!(error.message, "argument of WHERE must be type boolean, not type text");
}

#[test]
fn folding_keeps_errors_where_they_are_guarded() {
    let division = binary(
        BinaryOp::Div,
        Typed::constant(1, Type::Int4),
        Typed::constant(0, Type::Int4),
        &ctx(),
    );
    let guarded = Expr::Case {
        branches: vec![(
            Expr::Is {
                arg: Box::new(Expr::Column(0)),
                test: crate::expr::IsTest::Null,
                negated: false,
            },
            division.expect("integers").expr,
        )],
        otherwise: None,
    };
    let folded = guarded.fold(Volatility::Stable, &ctx());
    assert_eq!(folded.eval(&[Datum::Int(1)], &ctx()).expect("guarded"), Datum::Null);
    assert!(folded.eval(&[Datum::Null], &ctx()).is_err());
}
