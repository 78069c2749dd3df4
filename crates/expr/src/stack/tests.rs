//! Trees of the greatest depth, in a thread with little stack.

use super::*;
use crate::{
    context::EvalContext,
    datum::Datum,
    expr::{BinaryOp, CastContext, Expr, UnaryOp},
    types::{Element, Type},
};

/// A thread has less than the smallest that anything of ours runs on.
const LITTLE_STACK: usize = 512 << 10;

fn in_little_stack(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(LITTLE_STACK).spawn(test);
    thread.expect("a thread").join().expect("the test holds");
}

/// Wraps an expression in one more level.
type Wrap = fn(Box<Expr>) -> Expr;

/// A way to nest an expression in another, for each kind that holds one.
fn wraps() -> Vec<(&'static str, Wrap)> {
    fn int(arg: Box<Expr>) -> Expr {
        Expr::Unary { op: UnaryOp::Neg, arg, ty: Type::Int8 }
    }
    vec![
        ("unary", int),
        ("binary", |left| Expr::Binary {
            op: BinaryOp::Sub,
            left,
            right: Box::new(Expr::constant(1_i64)),
            ty: Type::Int8,
        }),
        ("and", |arg| Expr::And(vec![*arg, Expr::constant(true)])),
        ("or", |arg| Expr::Or(vec![*arg, Expr::constant(false)])),
        ("not", Expr::Not),
        ("coalesce", |arg| Expr::Coalesce(vec![*arg])),
        ("case", |arg| Expr::Case {
            branches: vec![(Expr::constant(true), *arg)],
            otherwise: None,
        }),
        ("cast", |arg| Expr::Cast {
            arg,
            from: Type::Int8,
            to: Type::Int4,
            context: CastContext::Explicit,
        }),
        ("array", |arg| Expr::Array { element: Element::Int8, items: vec![*arg] }),
    ]
}

fn nested(wrap: Wrap, levels: usize) -> Expr {
    (1..levels).fold(Expr::Column(0), |inner, _| wrap(Box::new(inner)))
}

#[test]
fn derived_code_fits_in_the_room_for_the_deepest_tree() {
    in_little_stack(|| {
        for (name, wrap) in wraps() {
            let tree = nested(wrap, MAX_LEVELS);
            assert_eq!(tree.depth(), MAX_LEVELS, "{name}");
            room(MAX_LEVELS, || {
                let copy = tree.clone();
                assert_eq!(copy, tree, "{name}");
                assert!(format!("{copy:?}").len() > MAX_LEVELS, "{name}");
                drop(copy);
                drop(tree);
            });
        }
    });
}

#[test]
fn evaluation_looks_at_the_stack_by_itself() {
    in_little_stack(|| {
        let minus: Wrap = |arg| Expr::Unary { op: UnaryOp::Neg, arg, ty: Type::Int8 };
        let tree = nested(minus, 20_001);
        let context = EvalContext::default();
        assert_eq!(tree.eval(&[Datum::Int(7)], &context).expect("a number"), Datum::Int(7));
        let folded = tree.rewrite(&mut |part| match part {
            Expr::Column(_) => Expr::constant(8_i64),
            other => other,
        });
        assert!(!folded.is_pushable(), "too deep to be sent");
        let folded = folded.fold(crate::Volatility::Immutable, &context);
        assert_eq!(folded.as_const(), Some(&Datum::Int(8)));
    });
}

#[test]
fn what_a_peer_sends_is_decoded_to_a_depth_and_no_deeper() {
    in_little_stack(|| {
        for (name, wrap) in wraps() {
            let fine = nested(wrap, MAX_PUSHED);
            let bytes = postcard::to_stdvec(&fine).expect("it serializes");
            assert_eq!(postcard::from_bytes::<Expr>(&bytes).expect("not too deep"), fine, "{name}");
            let bytes = room(10_000, || {
                let deep = nested(wrap, 10_000);
                postcard::to_stdvec(&deep).expect("it serializes")
            });
            assert!(postcard::from_bytes::<Expr>(&bytes).is_err(), "{name}");
        }
        // A value in a value in a value, which no statement can make.
        let mut value = Datum::Int(1);
        for _ in 0..5_000 {
            value = Datum::array(Element::Int8, vec![value]);
        }
        let bytes = room(5_000, || postcard::to_stdvec(&Expr::Const(value)).expect("it does"));
        assert!(postcard::from_bytes::<Expr>(&bytes).is_err());
    });
}
