//! Bound expressions: columns are positions in the row, types are resolved, casts are explicit.
//!
//! The tree holds everything evaluation needs, so it can be serialized and sent to a replica. The
//! binder builds it through [`crate::bind`], which inserts casts and finds result types; nothing in
//! here checks types again, and evaluation panics on values that the binder would not let through.

mod fold;

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    datum::Datum,
    functions::Func,
    stack,
    types::{Element, Type},
};

/// A bound expression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub enum Expr {
    /// A constant.
    Const(Datum),
    /// A column of the row, by position from 0.
    Column(u32),
    /// A parameter of a prepared statement; replaced by a constant before execution
    /// ([`Expr::substitute`]).
    Param {
        /// `$1` has index 0.
        index: u16,
        /// Its type, as far as known: the binder's helpers turn `Unknown` into what the
        /// surroundings ask for.
        ty: Type,
    },
    /// One operand.
    Unary {
        /// What to do with it.
        op: UnaryOp,
        /// The operand.
        arg: Box<Expr>,
        /// The result's type, whose bounds are checked.
        ty: Type,
    },
    /// Two operands; NULL if one is.
    Binary {
        /// What to do with them.
        op: BinaryOp,
        /// The left one.
        left: Box<Expr>,
        /// The right one.
        right: Box<Expr>,
        /// The result's type, whose bounds are checked.
        ty: Type,
    },
    /// All are true; with three-valued logic; true for none.
    And(Vec<Expr>),
    /// One is true; with three-valued logic; false for none.
    Or(Vec<Expr>),
    /// The opposite; NULL of NULL.
    Not(Box<Expr>),
    /// `IS [NOT] NULL | TRUE | FALSE | UNKNOWN`.
    Is {
        /// What is tested.
        arg: Box<Expr>,
        /// For what.
        test: IsTest,
        /// `IS NOT`.
        negated: bool,
    },
    /// `left IS [NOT] DISTINCT FROM right`: comparison for which NULL is a value.
    Distinct {
        /// The left side.
        left: Box<Expr>,
        /// The right side, of the same type.
        right: Box<Expr>,
        /// `IS NOT DISTINCT FROM`.
        negated: bool,
    },
    /// `arg [NOT] IN (list)`.
    InList {
        /// What is looked for.
        arg: Box<Expr>,
        /// Where: expressions of the same type.
        list: Vec<Expr>,
        /// `NOT IN`.
        negated: bool,
    },
    /// `arg [NOT] [I]LIKE pattern [ESCAPE escape]`.
    Like {
        /// The text.
        arg: Box<Expr>,
        /// `%` for any text, `_` for any character.
        pattern: Box<Expr>,
        /// One character or none; `None`: a backslash.
        escape: Option<Box<Expr>>,
        /// `ILIKE`.
        case_insensitive: bool,
        /// `NOT LIKE`.
        negated: bool,
    },
    /// `arg ~ pattern` and its relatives.
    Regex {
        /// The text.
        arg: Box<Expr>,
        /// A regular expression.
        pattern: Box<Expr>,
        /// `~*`.
        case_insensitive: bool,
        /// `!~`.
        negated: bool,
    },
    /// `CASE WHEN condition THEN value ... ELSE otherwise END`.
    Case {
        /// Conditions and values, tried in order.
        branches: Vec<(Expr, Expr)>,
        /// What else; `None`: NULL.
        otherwise: Option<Box<Expr>>,
    },
    /// A cast.
    Cast {
        /// What is cast.
        arg: Box<Expr>,
        /// Its type.
        from: Type,
        /// The type it becomes.
        to: Type,
        /// How: an explicit cast cuts texts that are too long.
        context: CastContext,
    },
    /// The first that is not NULL.
    Coalesce(Vec<Expr>),
    /// NULL if both are equal, else the left one.
    NullIf {
        /// The result.
        value: Box<Expr>,
        /// The comparison, `value = other`, already bound.
        equal: Box<Expr>,
    },
    /// The greatest or the least of those that are not NULL.
    Extreme {
        /// Which one.
        which: Extreme,
        /// Expressions of one type.
        args: Vec<Expr>,
    },
    /// A function of this crate.
    Call {
        /// Which one.
        func: Func,
        /// Its arguments, cast to what it takes.
        args: Vec<Expr>,
        /// The result's type.
        ty: Type,
    },
    /// A function that the SQL layer defines, called through
    /// [`Hooks::call`](crate::context::Hooks::call); volatile, never pushed down.
    External {
        /// Its name.
        name: Arc<str>,
        /// Its arguments.
        args: Vec<Expr>,
        /// The result's type.
        ty: Type,
    },
    /// `arg op ANY (array)`, `arg op ALL (array)`.
    Quantified {
        /// The left operand.
        arg: Box<Expr>,
        /// The comparison, over operands of one type.
        op: BinaryOp,
        /// The right operands.
        array: Box<Expr>,
        /// How many must match.
        quantifier: Quantifier,
    },
    /// `ARRAY[...]`.
    Array {
        /// What it holds.
        element: Element,
        /// The elements.
        items: Vec<Expr>,
    },
    /// `array[index]`, counted from 1; NULL outside.
    Subscript {
        /// The array.
        array: Box<Expr>,
        /// The index.
        index: Box<Expr>,
    },
}

/// Operators with one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum UnaryOp {
    /// `-x`
    Neg,
    /// `+x`
    Plus,
    /// `~x`
    BitNot,
    /// `@x`
    Abs,
    /// `|/x`
    Sqrt,
}

/// Operators with two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BinaryOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `^`
    Pow,
    /// `||`
    Concat,
    /// `&`
    BitAnd,
    /// `|`
    BitOr,
    /// `#`
    BitXor,
    /// `<<`
    ShiftLeft,
    /// `>>`
    ShiftRight,
    /// `=`
    Eq,
    /// `<>`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
}

/// What `IS` tests for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum IsTest {
    /// `IS NULL`
    Null,
    /// `IS TRUE`
    True,
    /// `IS FALSE`
    False,
    /// `IS UNKNOWN`
    Unknown,
}

/// `GREATEST` or `LEAST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Extreme {
    /// `GREATEST`
    Greatest,
    /// `LEAST`
    Least,
}

/// `ANY` or `ALL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Quantifier {
    /// `ANY`, `SOME`
    Any,
    /// `ALL`
    All,
}

/// Whether a test is written with NOT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Negation {
    /// As it is.
    Plain,
    /// With NOT.
    Negated,
}

impl Negation {
    /// NOT, if `negated`.
    #[must_use]
    pub const fn of(negated: bool) -> Negation {
        if negated { Negation::Negated } else { Negation::Plain }
    }

    /// Whether it is written with NOT.
    #[must_use]
    pub const fn is_negated(self) -> bool {
        matches!(self, Negation::Negated)
    }
}

/// Who asked for a cast; later ones allow more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CastContext {
    /// An operator or a function that needs another type.
    Implicit,
    /// A value stored into a column.
    Assignment,
    /// `CAST(x AS type)`, `x::type`.
    Explicit,
}

impl Serialize for Expr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        stack::guard(|| Expr::serialize(self, serializer))
    }
}

/// Bytes from a peer may nest as they like: each level is counted, and too many are refused.
impl<'de> Deserialize<'de> for Expr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Expr, D::Error> {
        let _level = stack::Level::enter().map_err(serde::de::Error::custom)?;
        stack::guard(|| Expr::deserialize(deserializer))
    }
}

impl BinaryOp {
    /// The operator as SQL writes it.
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Mod => "%",
            BinaryOp::Pow => "^",
            BinaryOp::Concat => "||",
            BinaryOp::BitAnd => "&",
            BinaryOp::BitOr => "|",
            BinaryOp::BitXor => "#",
            BinaryOp::ShiftLeft => "<<",
            BinaryOp::ShiftRight => ">>",
            BinaryOp::Eq => "=",
            BinaryOp::Ne => "<>",
            BinaryOp::Lt => "<",
            BinaryOp::Le => "<=",
            BinaryOp::Gt => ">",
            BinaryOp::Ge => ">=",
        }
    }

    /// Whether it compares and yields a truth value.
    #[must_use]
    pub const fn is_comparison(self) -> bool {
        matches!(
            self,
            BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge
        )
    }

    /// The comparison that holds with exchanged operands: `<` for `>`. `None` if it compares
    /// nothing.
    #[must_use]
    pub const fn commuted(self) -> Option<BinaryOp> {
        Some(match self {
            BinaryOp::Eq => BinaryOp::Eq,
            BinaryOp::Ne => BinaryOp::Ne,
            BinaryOp::Lt => BinaryOp::Gt,
            BinaryOp::Le => BinaryOp::Ge,
            BinaryOp::Gt => BinaryOp::Lt,
            BinaryOp::Ge => BinaryOp::Le,
            _ => return None,
        })
    }
}

impl UnaryOp {
    /// The operator as SQL writes it.
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            UnaryOp::Neg => "-",
            UnaryOp::Plus => "+",
            UnaryOp::BitNot => "~",
            UnaryOp::Abs => "@",
            UnaryOp::Sqrt => "|/",
        }
    }
}

impl Expr {
    /// NULL.
    pub const NULL: Expr = Expr::Const(Datum::Null);

    /// A constant.
    #[must_use]
    pub fn constant(value: impl Into<Datum>) -> Expr {
        Expr::Const(value.into())
    }

    /// `self AND other`, flat.
    #[must_use]
    pub fn and(self, other: Expr) -> Expr {
        let mut parts = Vec::new();
        for side in [self, other] {
            match side {
                Expr::And(inner) => parts.extend(inner),
                side => parts.push(side),
            }
        }
        Expr::And(parts)
    }

    /// The parts of a conjunction; any other expression alone.
    #[must_use]
    pub fn into_conjuncts(self) -> Vec<Expr> {
        match self {
            Expr::And(parts) => parts.into_iter().flat_map(Expr::into_conjuncts).collect(),
            other => vec![other],
        }
    }

    /// The constant, if it is one.
    #[must_use]
    pub const fn as_const(&self) -> Option<&Datum> {
        if let Expr::Const(value) = self { Some(value) } else { None }
    }

    /// The direct parts of the expression, left to right.
    #[must_use]
    pub fn children(&self) -> Vec<&Expr> {
        match self {
            Expr::Const(_) | Expr::Column(_) | Expr::Param { .. } => Vec::new(),
            Expr::Unary { arg, .. }
            | Expr::Not(arg)
            | Expr::Is { arg, .. }
            | Expr::Cast { arg, .. } => vec![arg],
            Expr::Binary { left, right, .. } | Expr::Distinct { left, right, .. } => {
                vec![left, right]
            }
            Expr::And(parts) | Expr::Or(parts) | Expr::Coalesce(parts) => parts.iter().collect(),
            Expr::InList { arg, list, .. } => std::iter::once(&**arg).chain(list).collect(),
            Expr::Like { arg, pattern, escape, .. } => {
                [&**arg, &**pattern].into_iter().chain(escape.as_deref()).collect()
            }
            Expr::Regex { arg, pattern, .. } => vec![arg, pattern],
            Expr::Case { branches, otherwise } => branches
                .iter()
                .flat_map(|(condition, value)| [condition, value])
                .chain(otherwise.as_deref())
                .collect(),
            Expr::NullIf { value, equal } => vec![value, equal],
            Expr::Extreme { args, .. } | Expr::Call { args, .. } | Expr::External { args, .. } => {
                args.iter().collect()
            }
            Expr::Quantified { arg, array, .. } => vec![arg, array],
            Expr::Array { items, .. } => items.iter().collect(),
            Expr::Subscript { array, index } => vec![array, index],
        }
    }

    /// The direct parts of the expression, left to right, to be changed.
    pub fn children_mut(&mut self) -> Vec<&mut Expr> {
        match self {
            Expr::Const(_) | Expr::Column(_) | Expr::Param { .. } => Vec::new(),
            Expr::Unary { arg, .. }
            | Expr::Not(arg)
            | Expr::Is { arg, .. }
            | Expr::Cast { arg, .. } => vec![arg],
            Expr::Binary { left, right, .. } | Expr::Distinct { left, right, .. } => {
                vec![left, right]
            }
            Expr::And(parts) | Expr::Or(parts) | Expr::Coalesce(parts) => {
                parts.iter_mut().collect()
            }
            Expr::InList { arg, list, .. } => std::iter::once(&mut **arg).chain(list).collect(),
            Expr::Like { arg, pattern, escape, .. } => {
                [&mut **arg, &mut **pattern].into_iter().chain(escape.as_deref_mut()).collect()
            }
            Expr::Regex { arg, pattern, .. } => vec![arg, pattern],
            Expr::Case { branches, otherwise } => branches
                .iter_mut()
                .flat_map(|(condition, value)| [condition, value])
                .chain(otherwise.as_deref_mut())
                .collect(),
            Expr::NullIf { value, equal } => vec![value, equal],
            Expr::Extreme { args, .. } | Expr::Call { args, .. } | Expr::External { args, .. } => {
                args.iter_mut().collect()
            }
            Expr::Quantified { arg, array, .. } => vec![arg, array],
            Expr::Array { items, .. } => items.iter_mut().collect(),
            Expr::Subscript { array, index } => vec![array, index],
        }
    }

    /// Whether `test` holds for the expression or any part of it.
    pub fn any(&self, test: &mut dyn FnMut(&Expr) -> bool) -> bool {
        test(self)
            || self.children().into_iter().any(|child| stack::guard(|| child.any(&mut *test)))
    }

    /// How many levels the tree has: 1 for a constant or a column.
    #[must_use]
    pub fn depth(&self) -> usize {
        let below = |child: &Expr| stack::guard(|| child.depth());
        1 + self.children().into_iter().map(below).max().unwrap_or(0)
    }

    /// How many nodes the tree has.
    #[must_use]
    pub fn size(&self) -> usize {
        let mut count = 0;
        self.any(&mut |_| {
            count += 1;
            false
        });
        count
    }

    /// The expression with every part replaced by what `change` makes of it, leaves first.
    #[must_use]
    pub fn rewrite(mut self, change: &mut dyn FnMut(Expr) -> Expr) -> Expr {
        for child in self.children_mut() {
            let taken = std::mem::replace(child, Expr::NULL);
            *child = stack::guard(|| taken.rewrite(&mut *change));
        }
        change(self)
    }

    /// Calls `see` with the position of every column used.
    pub fn columns(&self, see: &mut dyn FnMut(u32)) {
        self.any(&mut |part| {
            if let Expr::Column(position) = part {
                see(*position);
            }
            false
        });
    }

    /// The expression over a row whose columns moved: position `p` becomes `to(p)`.
    #[must_use]
    pub fn move_columns(self, to: &mut dyn FnMut(u32) -> u32) -> Expr {
        self.rewrite(&mut |part| match part {
            Expr::Column(position) => Expr::Column(to(position)),
            other => other,
        })
    }

    /// The expression with its parameters replaced by their values, which were cast to the
    /// parameters' types.
    ///
    /// # Panics
    /// If there are fewer values than parameters: the protocol layer counts them.
    #[must_use]
    pub fn substitute(self, values: &[Datum]) -> Expr {
        self.rewrite(&mut |part| match part {
            Expr::Param { index, .. } => {
                let value = values.get(usize::from(index));
                Expr::Const(value.expect("as many values as parameters").clone())
            }
            other => other,
        })
    }
}
