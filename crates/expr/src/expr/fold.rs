//! What of an expression can be computed ahead, and what a replica may compute.

use super::{BinaryOp, Expr};
use crate::{
    cast,
    context::EvalContext,
    datum::Datum,
    functions::{Func, Volatility},
    stack,
    types::Type,
};

/// The most nodes of an expression that replicas evaluate.
const MAX_PUSHED_NODES: usize = 1_200;
/// The longest pattern of LIKE that replicas may try at every place of a text.
const MAX_TRIED_PATTERN: usize = 64;

impl Expr {
    /// How much the result may change between evaluations: the most changing of all its parts.
    #[must_use]
    pub fn volatility(&self) -> Volatility {
        let own = match self {
            Expr::Call { func, args, .. } => call_volatility(*func, args),
            Expr::External { .. } => Volatility::Volatile,
            Expr::Cast { from, to, .. } => cast::volatility(*from, *to),
            _ => Volatility::Immutable,
        };
        let below = |child: &Expr| stack::guard(|| child.volatility());
        self.children().into_iter().map(below).fold(own, Volatility::max)
    }

    /// Whether a replica may evaluate it: nothing of it is volatile, no parameter is left, and it is
    /// neither deep nor long: a replica serves others, and looks at many rows without a pause.
    #[must_use]
    pub fn is_pushable(&self) -> bool {
        self.depth() <= stack::MAX_PUSHED
            && self.size() <= MAX_PUSHED_NODES
            && self.volatility() != Volatility::Volatile
            && !self.any(&mut |part| match part {
                Expr::Param { .. } | Expr::External { .. } => true,
                Expr::Call { func, .. } => func.needs_session(),
                // Numbers have up to a hundred thousand digits.
                Expr::Binary {
                    op: BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod,
                    ty: Type::Numeric(_),
                    ..
                } => true,
                _ => false,
            })
            && !self.has_long_steps()
    }

    /// Whether a step of its evaluation may take long, or make much of little: nothing that others
    /// wait for a thread with. (Products and quotients of long numbers take some milliseconds.)
    #[must_use]
    pub fn has_long_steps(&self) -> bool {
        self.any(&mut |part| match part {
            Expr::Call { func, .. } => func.may_be_long(),
            Expr::Regex { .. } | Expr::Binary { op: BinaryOp::Pow, .. } => true,
            Expr::Like { pattern, .. } => !pattern.is_quick_pattern(),
            _ => false,
        })
    }

    /// The expression with its constant parts computed, as far as they change no more than
    /// `limit` allows: `Immutable` for a plan that is kept, `Stable` for one about to run. A part
    /// whose evaluation fails stays, so that the error comes when and only when it is reached. So does
    /// everything else once the statement shall end.
    ///
    /// What never changes is computed first, as PostgreSQL does when it plans: `x + NULL` is NULL,
    /// and x is not reached any more, unless x fails by itself then. So an x that is only known when
    /// the statement runs, `'2024-01-01'::date::text::int`, is never asked.
    #[must_use]
    pub fn fold(self, limit: Volatility, ctx: &EvalContext) -> Expr {
        let planned = if limit > Volatility::Immutable && self.volatility() > Volatility::Immutable
        {
            self.rewrite(&mut |part| part.fold_top(Volatility::Immutable, ctx))
        } else {
            self
        };
        planned.rewrite(&mut |part| part.fold_top(limit, ctx))
    }

    fn fold_top(self, limit: Volatility, ctx: &EvalContext) -> Expr {
        // Whoever evaluates next is told so as well: nothing more is computed ahead for it.
        if ctx.has_ended() {
            return self;
        }
        let own = match &self {
            Expr::Const(_) | Expr::Column(_) | Expr::Param { .. } | Expr::External { .. } => {
                return self;
            }
            Expr::Call { func, args, .. } => call_volatility(*func, args),
            Expr::Cast { from, to, .. } => cast::volatility(*from, *to),
            _ => Volatility::Immutable,
        };
        if own <= limit && self.children().iter().all(|child| child.as_const().is_some()) {
            return self.eval(&[], ctx).map_or(self, Expr::Const);
        }
        // However much the function may change: it is not called.
        if self.is_strict() && self.children().contains(&&Expr::NULL) && !self.fails() {
            return Expr::NULL;
        }
        if own > limit {
            return self;
        }
        match self {
            Expr::And(parts) => fold_logic(parts, false, Expr::And),
            Expr::Or(parts) => fold_logic(parts, true, Expr::Or),
            other => other,
        }
    }
}

impl Expr {
    /// Whether a LIKE with this pattern takes a time that grows with the text alone: it is known, and
    /// short where an `_` may be tried at every place.
    fn is_quick_pattern(&self) -> bool {
        let pattern = self.as_const().map(|value| value.as_text().unwrap_or_default());
        pattern.is_some_and(|pattern| pattern.len() <= MAX_TRIED_PATTERN || !pattern.contains('_'))
    }

    /// Whether NULL in any part makes it NULL.
    const fn is_strict(&self) -> bool {
        match self {
            Expr::Unary { .. }
            | Expr::Binary { .. }
            | Expr::Not(_)
            | Expr::Cast { .. }
            | Expr::Like { .. }
            | Expr::Regex { .. } => true,
            Expr::Call { func, .. } => func.is_strict(),
            _ => false,
        }
    }

    /// Whether a part failed to be computed ahead: its error is to be told, if the part is reached.
    fn fails(&self) -> bool {
        self.any(&mut |part| {
            let children = part.children();
            let constant =
                !children.is_empty() && children.iter().all(|child| child.as_const().is_some());
            constant && part.volatility() == Volatility::Immutable
        })
    }
}

/// How much a call may change: what takes a date or time apart asks for the session's zone only
/// where a timestamp has one.
fn call_volatility(func: Func, args: &[Expr]) -> Volatility {
    let local = matches!(func, Func::Extract | Func::DatePart | Func::DateTrunc);
    let zoned = |arg: &Expr| arg.as_const().is_none_or(|v| matches!(v, Datum::TimestampTz(_)));
    if local && !args.iter().any(zoned) { Volatility::Immutable } else { func.volatility() }
}

/// Drops the neutral constants of AND (true) or OR (false); the deciding constant decides, unless a
/// part in front of it fails.
fn fold_logic(parts: Vec<Expr>, deciding: bool, build: fn(Vec<Expr>) -> Expr) -> Expr {
    let decided = Expr::constant(deciding);
    let neutral = Expr::constant(!deciding);
    if let Some(at) = parts.iter().position(|part| *part == decided) {
        // What stands before it and fails is reached first.
        if !parts[..at].iter().any(Expr::fails) {
            return decided;
        }
        return build(parts.into_iter().take(at + 1).collect());
    }
    let mut parts: Vec<Expr> = parts.into_iter().filter(|part| *part != neutral).collect();
    match parts.len() {
        0 => neutral,
        1 => parts.pop().expect("there is one"),
        _ => build(parts),
    }
}
