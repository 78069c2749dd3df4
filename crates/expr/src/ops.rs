//! Operators: which types they take, and what comes out.

use crate::{
    cast::can_cast,
    error::{Result, SqlError, SqlState},
    expr::{BinaryOp, CastContext, UnaryOp},
    overload::{Choice, choose},
    types::Type,
};

/// An operator with its operand types settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BinaryResolved {
    /// The operator.
    pub op: BinaryOp,
    /// What the left operand is cast to. An implicit cast but for `||`, which takes anything as
    /// text.
    pub left: Type,
    /// What the right operand is cast to, likewise.
    pub right: Type,
    /// What comes out.
    pub result: Type,
}

/// An operator with its operand type settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnaryResolved {
    /// The operator.
    pub op: UnaryOp,
    /// What the operand is cast to, implicitly.
    pub arg: Type,
    /// What comes out.
    pub result: Type,
}

const INTEGERS: [Type; 3] = [Type::Int2, Type::Int4, Type::Int8];

/// Types whose values are compared with values of the same type.
const COMPARABLE: [Type; 19] = [
    Type::Bool,
    Type::Int2,
    Type::Int4,
    Type::Int8,
    Type::Float4,
    Type::Float8,
    Type::NUMERIC,
    Type::Text,
    Type::BPCHAR,
    Type::Name,
    Type::Bytea,
    Type::Date,
    Type::Timestamp,
    Type::TimestampTz,
    Type::Interval,
    Type::Uuid,
    Type::Oid,
    Type::Regclass,
    Type::Regtype,
];

/// Operand types and result.
type Rule = ([Type; 2], Type);

/// Finds the operator for operands of these types.
///
/// # Errors
/// There is none: `42883`; several, and none is best: `42725`.
pub fn resolve_binary(op: BinaryOp, left: Type, right: Type) -> Result<BinaryResolved> {
    if let (Type::Array(_), _) | (_, Type::Array(_)) = (left, right) {
        return resolve_array(op, left, right);
    }
    let rules = rules(op);
    let find = |left: Type, right: Type| {
        rules.iter().find(|(types, _)| types[0].same_base(left) && types[1].same_base(right))
    };
    // A literal of unknown type is first taken to be what the other operand is.
    let same = match (left, right) {
        (Type::Unknown, Type::Unknown) => None,
        (Type::Unknown, known) | (known, Type::Unknown) => find(known, known),
        (left, right) => find(left, right),
    };
    let rule = match same {
        Some(rule) => *rule,
        None => {
            let candidates: Vec<&[Type]> = rules.iter().map(|(types, _)| &types[..]).collect();
            match choose(&candidates, &[left, right]) {
                Choice::One(at) => rules[at],
                Choice::None => {
                    return Err(no_operator(op, left, right));
                }
                Choice::Ambiguous => {
                    let call = format!("{} {} {}", left.base(), op.symbol(), right.base());
                    return Err(ambiguous_operator(&call));
                }
            }
        }
    };
    let ([left, right], result) = rule;
    if op == BinaryOp::Concat && result == Type::Text {
        // What stands beside a text is written as text.
        return Ok(BinaryResolved { op, left: Type::Text, right: Type::Text, result });
    }
    Ok(BinaryResolved { op, left, right, result })
}

/// Finds the operator for an operand of this type.
///
/// # Errors
/// There is none: `42883`; several, and none is best: `42725`.
pub fn resolve_unary(op: UnaryOp, arg: Type) -> Result<UnaryResolved> {
    let types: &[Type] = match op {
        UnaryOp::Neg => &[
            Type::Int2,
            Type::Int4,
            Type::Int8,
            Type::Float4,
            Type::Float8,
            Type::NUMERIC,
            Type::Interval,
        ],
        UnaryOp::Plus | UnaryOp::Abs => {
            &[Type::Int2, Type::Int4, Type::Int8, Type::Float4, Type::Float8, Type::NUMERIC]
        }
        UnaryOp::BitNot => &INTEGERS,
        UnaryOp::Sqrt => &[Type::Float8],
    };
    let candidates: Vec<&[Type]> = types.iter().map(std::slice::from_ref).collect();
    match choose(&candidates, &[arg]) {
        Choice::One(at) => Ok(UnaryResolved { op, arg: types[at], result: types[at] }),
        Choice::None => Err(undefined(&format!("{} {}", op.symbol(), arg.base()))),
        Choice::Ambiguous => Err(ambiguous_operator(&format!("{} {arg}", op.symbol()))),
    }
}

fn no_operator(op: BinaryOp, left: Type, right: Type) -> SqlError {
    undefined(&format!("{} {} {}", left.base(), op.symbol(), right.base()))
}

/// `42883`: there is no operator that makes sense of the call, as in `integer + boolean`.
pub(crate) fn undefined(call: &str) -> SqlError {
    SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("operator does not exist: {call}"))
        .with_hint(
            "No operator matches the given name and argument types. You might need to add \
             explicit type casts.",
        )
}

fn ambiguous_operator(call: &str) -> SqlError {
    SqlError::new(SqlState::AMBIGUOUS_FUNCTION, format!("operator is not unique: {call}"))
        .with_hint(
            "Could not choose a best candidate operator. You might need to add explicit type \
             casts.",
        )
}

/// Arrays are compared with, and appended to, arrays of the same type, and elements to arrays.
/// Where the element is of a wider type than the array's, the array is cast.
fn resolve_array(op: BinaryOp, left: Type, right: Type) -> Result<BinaryResolved> {
    let fits = |ty: Type, wanted: Type| can_cast(ty, wanted, CastContext::Implicit);
    let resolved = |left, right, result| Ok(BinaryResolved { op, left, right, result });
    let array = if left.element().is_some() { left } else { right };
    let both = fits(left, array) && fits(right, array);
    match (left.element(), right.element()) {
        _ if both && op.is_comparison() => resolved(array, array, Type::Bool),
        _ if both && op == BinaryOp::Concat => resolved(array, array, array),
        (Some(element), None) if op == BinaryOp::Concat => {
            let (array, element) =
                widened(element, right).ok_or_else(|| no_operator(op, left, right))?;
            resolved(array, element, array)
        }
        (None, Some(element)) if op == BinaryOp::Concat => {
            let (array, element) =
                widened(element, left).ok_or_else(|| no_operator(op, left, right))?;
            resolved(element, array, array)
        }
        _ => Err(no_operator(op, left, right)),
    }
}

/// The array, and its element, that hold both elements of an array and another value.
fn widened(element: Type, value: Type) -> Option<(Type, Type)> {
    let common = if can_cast(value, element, CastContext::Implicit) {
        element
    } else if can_cast(element, value, CastContext::Implicit) {
        value.base()
    } else {
        return None;
    };
    Some((common.array_of()?, common))
}

/// All operand types an operator takes.
fn rules(op: BinaryOp) -> Vec<Rule> {
    match op {
        BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge => {
            comparison_rules()
        }
        BinaryOp::Add => [arithmetic_rules(), datetime_sums(), interval_rules(false)].concat(),
        BinaryOp::Sub => {
            [arithmetic_rules(), datetime_differences(), interval_rules(false)].concat()
        }
        BinaryOp::Mul => [arithmetic_rules(), interval_rules(true)].concat(),
        BinaryOp::Div => {
            let mut rules = arithmetic_rules();
            rules.push(([Type::Interval, Type::Float8], Type::Interval));
            rules
        }
        BinaryOp::Mod => {
            let mut rules = integer_rules();
            rules.push(([Type::NUMERIC; 2], Type::NUMERIC));
            rules
        }
        BinaryOp::Pow => {
            vec![([Type::Float8; 2], Type::Float8), ([Type::NUMERIC; 2], Type::NUMERIC)]
        }
        BinaryOp::Concat => concat_rules(),
        BinaryOp::BitAnd | BinaryOp::BitOr | BinaryOp::BitXor => {
            INTEGERS.map(|ty| ([ty; 2], ty)).to_vec()
        }
        BinaryOp::ShiftLeft | BinaryOp::ShiftRight => {
            INTEGERS.map(|ty| ([ty, Type::Int4], ty)).to_vec()
        }
    }
}

fn comparison_rules() -> Vec<Rule> {
    let same = COMPARABLE.map(|ty| ([ty; 2], Type::Bool));
    // Values of these types compare as they are, without a cast that might round.
    let integers = pairs(&INTEGERS, |_, _| Type::Bool);
    let floats = pairs(&[Type::Float4, Type::Float8], |_, _| Type::Bool);
    [same.to_vec(), integers, floats].concat()
}

/// Every two different types of a list.
fn pairs(types: &[Type], result: impl Fn(Type, Type) -> Type) -> Vec<Rule> {
    let mut rules = Vec::new();
    for left in types {
        for right in types {
            if left != right {
                rules.push(([*left, *right], result(*left, *right)));
            }
        }
    }
    rules
}

fn integer_rules() -> Vec<Rule> {
    let same = INTEGERS.map(|ty| ([ty; 2], ty)).to_vec();
    [same, pairs(&INTEGERS, Type::max)].concat()
}

fn arithmetic_rules() -> Vec<Rule> {
    let floats = [Type::Float4, Type::Float8];
    let mut rules = integer_rules();
    rules.extend(floats.map(|ty| ([ty; 2], ty)));
    rules.extend(pairs(&floats, |_, _| Type::Float8));
    rules.push(([Type::NUMERIC; 2], Type::NUMERIC));
    rules
}

fn datetime_sums() -> Vec<Rule> {
    let mut rules =
        vec![([Type::Date, Type::Int4], Type::Date), ([Type::Int4, Type::Date], Type::Date)];
    for (ty, result) in [
        (Type::Date, Type::Timestamp),
        (Type::Timestamp, Type::Timestamp),
        (Type::TimestampTz, Type::TimestampTz),
    ] {
        rules.push(([ty, Type::Interval], result));
        rules.push(([Type::Interval, ty], result));
    }
    rules
}

fn datetime_differences() -> Vec<Rule> {
    vec![
        ([Type::Date, Type::Int4], Type::Date),
        ([Type::Date, Type::Date], Type::Int4),
        ([Type::Timestamp, Type::Timestamp], Type::Interval),
        ([Type::TimestampTz, Type::TimestampTz], Type::Interval),
        ([Type::Date, Type::Interval], Type::Timestamp),
        ([Type::Timestamp, Type::Interval], Type::Timestamp),
        ([Type::TimestampTz, Type::Interval], Type::TimestampTz),
    ]
}

fn interval_rules(product: bool) -> Vec<Rule> {
    if product {
        vec![
            ([Type::Interval, Type::Float8], Type::Interval),
            ([Type::Float8, Type::Interval], Type::Interval),
        ]
    } else {
        vec![([Type::Interval; 2], Type::Interval)]
    }
}

/// Text, or bytea; anything else beside a text becomes text.
fn concat_rules() -> Vec<Rule> {
    let mut rules = vec![([Type::Text; 2], Type::Text), ([Type::Bytea; 2], Type::Bytea)];
    for ty in Type::SCALARS {
        if !ty.is_string() && ty != Type::Void {
            rules.push(([Type::Text, ty], Type::Text));
            rules.push(([ty, Type::Text], Type::Text));
        }
    }
    rules
}
