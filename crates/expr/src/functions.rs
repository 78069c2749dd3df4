//! Functions: their names, what they take, and what they yield.
//!
//! [`resolve`] finds the function a call means, by PostgreSQL's rules of overloading. Names that
//! need more than a list of types (`coalesce`, `greatest`, `pg_typeof`) are forms of their own and
//! bound by [`crate::bind`]; functions over sets of rows are aggregates ([`crate::agg`]) or the
//! planner's matter (`generate_series`).

mod array;
mod math;
mod session;
mod signatures;
mod string;
mod time;
mod to_char;

use serde::{Deserialize, Serialize};

use crate::{
    context::EvalContext,
    datum::Datum,
    error::{Result, SqlError, SqlState},
    overload::{Choice, choose},
    types::Type,
};

/// How much a function's result may change between two calls with the same arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Volatility {
    /// Never.
    Immutable,
    /// Not within a statement.
    Stable,
    /// At any time; or the call has an effect.
    Volatile,
}

/// A function of this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is PostgreSQL's function of the same name")]
pub enum Func {
    Abs,
    Ceil,
    Floor,
    Round,
    Trunc,
    Mod,
    Div,
    Power,
    Sqrt,
    Cbrt,
    Exp,
    Ln,
    Log,
    Sign,
    Pi,
    Degrees,
    Radians,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Atan2,
    Random,
    Length,
    OctetLength,
    BitLength,
    Lower,
    Upper,
    Initcap,
    Substr,
    SubstringRegex,
    Left,
    Right,
    Btrim,
    Ltrim,
    Rtrim,
    Lpad,
    Rpad,
    Replace,
    Translate,
    Strpos,
    StartsWith,
    Concat,
    ConcatWs,
    Repeat,
    Reverse,
    Md5,
    SplitPart,
    Encode,
    Decode,
    Chr,
    Ascii,
    ToHex,
    ToHexWide,
    QuoteIdent,
    QuoteLiteral,
    RegexpReplace,
    /// `to_char` of dates, timestamps and intervals.
    ToChar,
    /// `to_char(integer)`.
    ToCharInteger,
    /// `to_char(bigint)`.
    ToCharBigint,
    /// `to_char(numeric)`.
    ToCharNumeric,
    /// `to_char(real)`.
    ToCharReal,
    /// `to_char(double precision)`.
    ToCharDouble,
    Now,
    StatementTimestamp,
    ClockTimestamp,
    CurrentDate,
    LocalTimestamp,
    DateTrunc,
    Extract,
    DatePart,
    Age,
    Timezone,
    ToTimestamp,
    MakeDate,
    IsFinite,
    JustifyHours,
    JustifyInterval,
    GenRandomUuid,
    Version,
    CurrentUser,
    SessionUser,
    CurrentDatabase,
    CurrentSchema,
    CurrentSchemas,
    CurrentSetting,
    SetConfig,
    PgBackendPid,
    FormatType,
    ArrayLength,
    Cardinality,
    ArrayToString,
    ArrayPosition,
    /// Two arrays put together; a NULL counts as an empty one.
    ArrayCat,
    ArrayAppend,
    ArrayPrepend,
    /// A pattern of SIMILAR TO as a regular expression.
    SimilarToEscape,
}

/// The function a call means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionResolved {
    /// Which one.
    pub func: Func,
    /// What its arguments are cast to, one for each given.
    pub args: Vec<Type>,
    /// What comes out.
    pub result: Type,
}

/// Whether there is a function of this name (in lower case), whatever its arguments.
#[must_use]
pub fn exists(name: &str) -> bool {
    matches!(name, "concat" | "concat_ws")
        || array_function(name).is_some()
        || signatures::SIGNATURES.iter().any(|signature| signature.name == name)
}

/// Whether there is a function of this name (in lower case) that takes so many arguments.
#[must_use]
pub fn takes(name: &str, arguments: usize) -> bool {
    let fits = |signature: &&signatures::Signature| signature.args.len() == arguments;
    matches!(name, "concat" | "concat_ws")
        || array_function(name).is_some()
        || signatures::SIGNATURES.iter().filter(fits).any(|signature| signature.name == name)
}

/// Finds the function of this name (in lower case) for arguments of these types.
///
/// # Errors
/// There is none: `42883`; several, and none is best: `42725`.
pub fn resolve(name: &str, args: &[Type]) -> Result<FunctionResolved> {
    if let Some(resolved) = resolve_special(name, args) {
        return Ok(resolved);
    }
    let found: Vec<&signatures::Signature> = signatures::SIGNATURES
        .iter()
        .filter(|signature| signature.name == name && signature.args.len() == args.len())
        .collect();
    let candidates: Vec<&[Type]> = found.iter().map(|signature| signature.args).collect();
    match choose(&candidates, args) {
        Choice::One(at) => Ok(FunctionResolved {
            func: found[at].func,
            args: found[at].args.to_vec(),
            result: found[at].result,
        }),
        Choice::None => Err(undefined(name, args)),
        Choice::Ambiguous => Err(SqlError::new(
            SqlState::AMBIGUOUS_FUNCTION,
            format!("function {} is not unique", call_text(name, args)),
        )
        .with_hint(
            "Could not choose a best candidate function. You might need to add explicit type \
             casts.",
        )),
    }
}

/// `42883`: there is no function of this name for these types.
#[must_use]
pub fn undefined(name: &str, args: &[Type]) -> SqlError {
    SqlError::new(
        SqlState::UNDEFINED_FUNCTION,
        format!("function {} does not exist", call_text(name, args)),
    )
    .with_hint(
        "No function matches the given name and argument types. You might need to add explicit \
         type casts.",
    )
}

fn call_text(name: &str, args: &[Type]) -> String {
    let types: Vec<String> = args.iter().map(|ty| ty.base().to_string()).collect();
    format!("{name}({})", types.join(", "))
}

/// Functions over any number or any type of arguments.
fn resolve_special(name: &str, args: &[Type]) -> Option<FunctionResolved> {
    let text = |count: usize| vec![Type::Text; count];
    match (name, args) {
        ("concat", [_, ..]) => Some(FunctionResolved {
            func: Func::Concat,
            args: text(args.len()),
            result: Type::Text,
        }),
        ("concat_ws", [_, _, ..]) => Some(FunctionResolved {
            func: Func::ConcatWs,
            args: text(args.len()),
            result: Type::Text,
        }),
        (name, [array @ Type::Array(element), rest @ ..]) => {
            let (func, result) = array_function(name)?;
            let wanted: &[Type] = match func {
                Func::Cardinality => &[],
                Func::ArrayLength => &[Type::Int4],
                Func::ArrayToString if rest.len() == 2 => &[Type::Text, Type::Text],
                Func::ArrayToString => &[Type::Text],
                _ => &[element.ty()],
            };
            let castable = rest.len() == wanted.len()
                && rest.iter().zip(wanted).all(|(given, wanted)| {
                    crate::cast::can_cast(*given, *wanted, crate::expr::CastContext::Implicit)
                });
            let args = std::iter::once(array).chain(wanted).copied().collect();
            castable.then_some(FunctionResolved { func, args, result })
        }
        _ => None,
    }
}

fn array_function(name: &str) -> Option<(Func, Type)> {
    match name {
        "array_length" | "array_upper" => Some((Func::ArrayLength, Type::Int4)),
        "cardinality" => Some((Func::Cardinality, Type::Int4)),
        "array_to_string" => Some((Func::ArrayToString, Type::Text)),
        "array_position" => Some((Func::ArrayPosition, Type::Int4)),
        _ => None,
    }
}

impl Func {
    /// How much the result may change.
    #[must_use]
    pub const fn volatility(self) -> Volatility {
        match self {
            Func::Random | Func::ClockTimestamp | Func::GenRandomUuid | Func::SetConfig => {
                Volatility::Volatile
            }
            Func::Now
            | Func::StatementTimestamp
            | Func::CurrentDate
            | Func::LocalTimestamp
            | Func::Version
            | Func::CurrentUser
            | Func::SessionUser
            | Func::CurrentDatabase
            | Func::CurrentSchema
            | Func::CurrentSchemas
            | Func::CurrentSetting
            | Func::PgBackendPid
            | Func::Age
            | Func::Concat
            | Func::ConcatWs
            | Func::ArrayToString
            | Func::DateTrunc
            | Func::Extract
            | Func::DatePart
            | Func::ToChar
            | Func::ToCharInteger
            | Func::ToCharBigint
            | Func::ToCharNumeric
            | Func::ToCharReal
            | Func::ToCharDouble => Volatility::Stable,
            _ => Volatility::Immutable,
        }
    }

    /// Whether it asks for the session, which a replica does not know.
    #[must_use]
    pub const fn needs_session(self) -> bool {
        matches!(
            self,
            Func::Version
                | Func::CurrentUser
                | Func::SessionUser
                | Func::CurrentDatabase
                | Func::CurrentSchema
                | Func::CurrentSchemas
                | Func::CurrentSetting
                | Func::PgBackendPid
        )
    }

    /// Whether a call may take long, or make much of little.
    #[must_use]
    pub const fn may_be_long(self) -> bool {
        matches!(
            self,
            Func::Power
                | Func::Sqrt
                | Func::Exp
                | Func::Ln
                | Func::Log
                | Func::Repeat
                | Func::Lpad
                | Func::Rpad
                | Func::Replace
                | Func::Translate
                | Func::RegexpReplace
                | Func::SubstringRegex
        )
    }

    /// Whether a call may look at all bytes, digits or elements of its arguments. The others are as
    /// fast with long ones.
    const fn looks_through(self) -> bool {
        !matches!(
            self,
            Func::OctetLength
                | Func::BitLength
                | Func::Ascii
                | Func::ArrayLength
                | Func::Cardinality
        )
    }

    /// Whether NULL as any argument gives NULL without a call.
    #[must_use]
    pub const fn is_strict(self) -> bool {
        !matches!(
            self,
            Func::Concat
                | Func::ConcatWs
                | Func::FormatType
                | Func::ArrayToString
                | Func::ArrayPosition
                | Func::ArrayCat
                | Func::ArrayAppend
                | Func::ArrayPrepend
                | Func::SetConfig
        )
    }

    /// Calls the function.
    ///
    /// # Errors
    /// Those of the function.
    pub fn call(self, args: &[Datum], ty: Type, ctx: &EvalContext) -> Result<Datum> {
        if self.is_strict() && args.iter().any(Datum::is_null) {
            return Ok(Datum::Null);
        }
        if self.looks_through() {
            ctx.look(args.iter().map(Datum::work).sum())?;
        }
        let called = match self {
            func if func <= Func::Random => math::call(func, args, ty, ctx)?,
            func if func <= Func::RegexpReplace => string::call(func, args, ctx)?,
            Func::SimilarToEscape => string::call(self, args, ctx)?,
            Func::ToChar => to_char::of_time(args, ctx)?,
            Func::ToCharInteger => to_char::of_number(to_char::Source::Integer, args)?,
            Func::ToCharBigint => to_char::of_number(to_char::Source::Bigint, args)?,
            Func::ToCharNumeric => to_char::of_number(to_char::Source::Numeric, args)?,
            Func::ToCharReal => to_char::of_number(to_char::Source::Real, args)?,
            Func::ToCharDouble => to_char::of_number(to_char::Source::Double, args)?,
            func if func <= Func::JustifyInterval => time::call(func, args, ctx)?,
            func if func <= Func::FormatType => session::call(func, args, ctx)?,
            func => array::call(func, args, ty, ctx)?,
        };
        called.ok_or_else(|| SqlError::internal(format!("{self:?} called with {args:?}")))
    }
}
