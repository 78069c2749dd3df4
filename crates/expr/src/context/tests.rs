//! Work on long values is noted before it is done, whatever comes out of it.

use super::*;
use crate::{
    agg::{Accumulator, AggCall, AggFunc, Spread},
    decimal::Decimal,
    expr::{BinaryOp, CastContext, Expr, Extreme},
    functions::{Func, Volatility},
    types::{Element, Type},
};

/// Bytes of the long texts of these tests.
const LONG: usize = 100_000;

fn text(length: usize) -> Expr {
    Expr::constant("x".repeat(length))
}

/// A number of so many digits, half of them behind the point.
fn digits(count: usize) -> Expr {
    let half = "7".repeat(count / 2);
    Expr::Const(Datum::numeric(Decimal::parse(&format!("{half}.{half}")).expect("a number")))
}

fn call(func: Func, args: Vec<Expr>, ty: Type) -> Expr {
    Expr::Call { func, args, ty }
}

fn binary(op: BinaryOp, left: Expr, right: Expr, ty: Type) -> Expr {
    Expr::Binary { op, left: Box::new(left), right: Box::new(right), ty }
}

fn cast(arg: Expr, from: Type, to: Type) -> Expr {
    Expr::Cast { arg: Box::new(arg), from, to, context: CastContext::Explicit }
}

/// What evaluating comes to in work.
fn work_of(expr: &Expr) -> usize {
    let ctx = EvalContext::default();
    expr.eval(&[], &ctx).expect("it can be evaluated");
    ctx.take_work()
}

/// Expressions that look through 100 kB, or through a thousand words of digits squared, and yield
/// little.
fn long_ones() -> Vec<Expr> {
    let empty = || Expr::constant("");
    let other = || Expr::constant("x".repeat(LONG - 1) + "y");
    let array = |length: usize| {
        let items = (0..LONG / length).map(|_| Datum::text("x".repeat(length))).collect();
        Expr::Const(Datum::array(Element::Text, items))
    };
    let bytes = || Expr::Const(Datum::bytes(vec![7; LONG]));
    let fraction = Decimal::parse(&format!("0.{}", "7".repeat(10_000))).expect("a number");
    let fraction = Expr::constant(fraction);
    let zero = || Expr::constant(Decimal::zero());
    vec![
        call(Func::Md5, vec![text(LONG)], Type::Text),
        call(Func::Md5, vec![bytes()], Type::Text),
        call(Func::Length, vec![text(LONG)], Type::Int4),
        call(Func::Strpos, vec![text(LONG), Expr::constant("y")], Type::Int4),
        call(Func::StartsWith, vec![text(LONG), other()], Type::Bool),
        call(Func::Replace, vec![text(LONG), Expr::constant("x"), empty()], Type::Text),
        call(Func::Translate, vec![text(LONG), Expr::constant("x"), empty()], Type::Text),
        call(Func::Btrim, vec![text(LONG), Expr::constant("x")], Type::Text),
        call(
            Func::SplitPart,
            vec![text(LONG), Expr::constant("y"), Expr::constant(2_i64)],
            Type::Text,
        ),
        call(Func::Substr, vec![text(LONG), Expr::constant(99_999_i64)], Type::Text),
        call(Func::Right, vec![text(LONG), Expr::constant(1_i64)], Type::Text),
        call(Func::RegexpReplace, vec![text(LONG), Expr::constant("x*"), empty()], Type::Text),
        call(Func::ArrayPosition, vec![array(10), Expr::constant("y")], Type::Int4),
        call(Func::ArrayPosition, vec![array(10_000), text(9_999)], Type::Int4),
        call(Func::Sign, vec![digits(10_000)], Type::NUMERIC),
        call(Func::Round, vec![digits(10_000), Expr::constant(0_i64)], Type::NUMERIC),
        call(Func::Ln, vec![digits(10)], Type::NUMERIC),
        binary(BinaryOp::Eq, text(LONG), other(), Type::Bool),
        binary(BinaryOp::Lt, digits(10_000), digits(10_002), Type::Bool),
        binary(BinaryOp::Sub, digits(10_000), digits(10_000), Type::NUMERIC),
        binary(BinaryOp::Mod, digits(10_000), digits(10_000), Type::NUMERIC),
        binary(BinaryOp::Mul, digits(10_000), zero(), Type::NUMERIC),
        Expr::Distinct { left: Box::new(text(LONG)), right: Box::new(other()), negated: false },
        Expr::InList { arg: Box::new(text(LONG)), list: vec![other(), other()], negated: false },
        Expr::Extreme { which: Extreme::Least, args: vec![text(LONG), Expr::constant("a")] },
        cast(fraction, Type::NUMERIC, Type::Float4),
        cast(digits(10_000), Type::NUMERIC, Type::numeric(1_000, -4_990)),
        cast(text(LONG), Type::Text, Type::Varchar(Some(1))),
        cast(Expr::constant(" ".repeat(LONG) + "1"), Type::Text, Type::Int4),
    ]
}

#[test]
fn long_work_with_a_small_result_is_noted() {
    for expr in long_ones() {
        let work = work_of(&expr);
        let shown = format!("{expr:?}");
        let shown: String = shown.chars().take(60).collect();
        assert!(work >= 3_000, "{shown}: {work}");
    }
}

#[test]
fn what_is_as_fast_with_long_values_is_not_noted() {
    for func in [Func::OctetLength, Func::BitLength, Func::Ascii] {
        assert_eq!(work_of(&call(func, vec![text(LONG)], Type::Int4)), 0, "{func:?}");
    }
    for (left, right) in [(text(LONG), text(3)), (text(3), text(LONG))] {
        assert_eq!(work_of(&binary(BinaryOp::Eq, left, right, Type::Bool)), 0);
    }
}

#[test]
fn aggregates_note_what_they_look_through() {
    for (func, result, value) in [
        (AggFunc::Min, Type::Text, text(LONG)),
        (AggFunc::StringAgg, Type::Text, text(LONG)),
        (AggFunc::Sum, Type::NUMERIC, digits(10_000)),
        (AggFunc::Spread(Spread::VarPop), Type::NUMERIC, digits(10_000)),
    ] {
        let call = AggCall { func, args: vec![value], distinct: false, filter: None, result };
        let (ctx, mut accumulator) = (EvalContext::default(), Accumulator::new(&call));
        for _ in 0..2 {
            accumulator.update_row(&call, &[], &ctx).expect("it is taken in");
            assert!(ctx.take_work() >= 100_000, "{func:?}");
        }
        assert!(accumulator.memory() >= 4_000, "{func:?} holds {}", accumulator.memory());
    }
}

/// A session that is told to end after so many looks.
#[derive(Debug)]
struct Impatient {
    looks: AtomicUsize,
    patience: usize,
}

impl Hooks for Impatient {
    fn clock_timestamp(&self) -> i64 {
        0
    }

    fn random(&self) -> u64 {
        0
    }

    fn setting(&self, _name: &str) -> Option<String> {
        None
    }

    fn set_setting(&self, name: &str, _value: &str, _local: SettingScope) -> Result<String> {
        Err(SqlError::unsupported(name))
    }

    fn go_on(&self) -> Result<()> {
        let looks = self.looks.fetch_add(1, Ordering::Relaxed);
        if looks < self.patience {
            return Ok(());
        }
        Err(SqlError::new(SqlState::QUERY_CANCELED, "enough"))
    }

    fn call(&self, name: &str, _args: &[Datum]) -> Result<Datum> {
        Err(SqlError::unsupported(name))
    }
}

fn impatient(patience: usize) -> (Arc<Impatient>, EvalContext) {
    let hooks = Arc::new(Impatient { looks: AtomicUsize::new(0), patience });
    let ctx = EvalContext { hooks: Some(hooks.clone()), ..EvalContext::default() };
    (hooks, ctx)
}

/// `1.001 ^ exponent`
fn power(exponent: i64) -> Expr {
    let base = Expr::constant(Decimal::parse("1.001").expect("a number"));
    binary(BinaryOp::Pow, base, Expr::constant(Decimal::from(exponent)), Type::NUMERIC)
}

#[test]
fn a_long_power_is_noted_while_it_is_made() {
    // 13,000 digits come of five.
    let (hooks, ctx) = impatient(usize::MAX);
    assert!(power(30_000_000).eval(&[], &ctx).is_ok());
    assert!(hooks.looks.load(Ordering::Relaxed) >= 1);
    let (hooks, ctx) = impatient(0);
    let error = power(30_000_000).eval(&[], &ctx).expect_err("told to end");
    assert_eq!(error.sqlstate, SqlState::QUERY_CANCELED);
    assert_eq!(hooks.looks.load(Ordering::Relaxed), 1);
}

#[test]
fn folding_ends_when_the_statement_shall_end() {
    let (hooks, ctx) = impatient(0);
    let many = Expr::Coalesce((0..50).map(|more| power(30_000_000 + more)).collect());
    let folded = many.clone().fold(Volatility::Stable, &ctx);
    assert_eq!(folded, many, "nothing was computed");
    assert_eq!(hooks.looks.load(Ordering::Relaxed), 1, "it is asked once");
    // Whatever is evaluated next hears of it at once.
    let error = call(Func::Md5, vec![text(LONG)], Type::Text).eval(&[], &ctx);
    assert_eq!(error.expect_err("told to end").sqlstate, SqlState::QUERY_CANCELED);
}
