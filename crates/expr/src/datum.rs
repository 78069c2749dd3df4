//! Values of SQL: what rows hold and expressions yield.
//!
//! One variant serves all types that compute alike: [`Datum::Int`] is every integer type and oid,
//! [`Datum::Text`] every string type. The expression knows the exact type and checks its bounds.
//!
//! `Ord`, `Eq` and `Hash` agree with SQL's equality within a type, so that sorting, DISTINCT and
//! GROUP BY can use them: `-0.0 = 0.0`, NaN equals itself and is the greatest float, `1.50 = 1.5`,
//! `'1 mon' = '30 days'`, and NULL equals NULL and is greater than every value. A value of type
//! `char(n)` has a variant of its own, [`Datum::Char`]: it is held with the blanks that fill it up,
//! for patterns and output see them, and compared without.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    datetime::Interval,
    decimal::Decimal,
    stack,
    types::{Element, Type},
};

/// Work of an array's element, whatever it is.
const ELEMENT: usize = 16;

/// A value. Cheap to clone: at most 24 bytes, the rest shared.
#[derive(Clone, Serialize, Deserialize)]
pub enum Datum {
    /// No value.
    Null,
    /// A truth value.
    Bool(bool),
    /// Any integer type, oid.
    Int(i64),
    /// `real`, held exactly, and `double precision`.
    Float(f64),
    /// `numeric`.
    Numeric(Arc<Decimal>),
    /// Any string type but `char(n)`.
    Text(Arc<str>),
    /// `bytea`.
    Bytes(Arc<[u8]>),
    /// Days since 2000-01-01; the ends of the range are the infinities.
    Date(i32),
    /// Microseconds since 2000-01-01; the ends of the range are the infinities.
    Timestamp(i64),
    /// Microseconds since 2000-01-01 UTC; the ends of the range are the infinities.
    TimestampTz(i64),
    /// An interval.
    Interval(Interval),
    /// A UUID.
    Uuid([u8; 16]),
    /// A one-dimensional array.
    Array(Arc<Array>),
    /// `char(n)`, with its blanks at the end. They don't count when it is compared.
    Char(Arc<str>),
}

/// An array: its elements and their type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Array {
    /// The elements; the first has index 1.
    pub items: Vec<Datum>,
    /// What they are.
    pub element: Element,
}

impl Serialize for Array {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        stack::guard(|| Array::serialize(self, serializer))
    }
}

/// Bytes from a peer may nest as they like: each level is counted, and too many are refused.
impl<'de> Deserialize<'de> for Array {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Array, D::Error> {
        let _level = stack::Level::enter().map_err(serde::de::Error::custom)?;
        stack::guard(|| Array::deserialize(deserializer))
    }
}

impl Datum {
    /// A text.
    #[must_use]
    pub fn text(text: impl AsRef<str>) -> Datum {
        Datum::Text(Arc::from(text.as_ref()))
    }

    /// A value of type `char(n)`.
    #[must_use]
    pub fn char(text: impl AsRef<str>) -> Datum {
        Datum::Char(Arc::from(text.as_ref()))
    }

    /// A string of bytes.
    #[must_use]
    pub fn bytes(bytes: impl AsRef<[u8]>) -> Datum {
        Datum::Bytes(Arc::from(bytes.as_ref()))
    }

    /// A decimal.
    #[must_use]
    pub fn numeric(value: impl Into<Decimal>) -> Datum {
        Datum::Numeric(Arc::new(value.into()))
    }

    /// An array.
    #[must_use]
    pub fn array(element: Element, items: Vec<Datum>) -> Datum {
        Datum::Array(Arc::new(Array { items, element }))
    }

    /// Whether it is NULL.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Datum::Null)
    }

    /// The truth value; `None`: NULL.
    ///
    /// # Panics
    /// If it is neither: the binder lets no other value come where a condition stands.
    #[must_use]
    pub fn truth(&self) -> Option<bool> {
        match self {
            Datum::Bool(value) => Some(*value),
            Datum::Null => None,
            other => panic!("a condition yielded {other:?}"),
        }
    }

    /// The integer, if it is one.
    #[must_use]
    pub const fn as_int(&self) -> Option<i64> {
        if let Datum::Int(value) = self { Some(*value) } else { None }
    }

    /// The text, if it is one; of `char(n)`, with its blanks.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        if let Datum::Text(text) | Datum::Char(text) = self { Some(text) } else { None }
    }

    /// The truth value, if it is one.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        if let Datum::Bool(value) = self { Some(*value) } else { None }
    }

    /// Whether a column of this type may hold the value, as far as variants tell.
    #[must_use]
    pub const fn fits(&self, ty: Type) -> bool {
        match self {
            Datum::Null => true,
            Datum::Bool(_) => matches!(ty, Type::Bool),
            Datum::Int(_) => ty.is_int_datum(),
            Datum::Float(_) => matches!(ty, Type::Float4 | Type::Float8),
            Datum::Numeric(_) => matches!(ty, Type::Numeric(_)),
            Datum::Text(_) => matches!(
                ty,
                Type::Text | Type::Varchar(_) | Type::Name | Type::Unknown | Type::Void
            ),
            Datum::Char(_) => matches!(ty, Type::Char(_)),
            Datum::Bytes(_) => matches!(ty, Type::Bytea),
            Datum::Date(_) => matches!(ty, Type::Date),
            Datum::Timestamp(_) => matches!(ty, Type::Timestamp),
            Datum::TimestampTz(_) => matches!(ty, Type::TimestampTz),
            Datum::Interval(_) => matches!(ty, Type::Interval | Type::IntervalOf(_)),
            Datum::Uuid(_) => matches!(ty, Type::Uuid),
            Datum::Array(_) => matches!(ty, Type::Array(_)),
        }
    }

    /// Roughly how many bytes of memory the value takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        size_of::<Datum>()
            + match self {
                Datum::Numeric(value) => value.memory(),
                Datum::Text(text) | Datum::Char(text) => text.len() + 16,
                Datum::Bytes(bytes) => bytes.len() + 16,
                Datum::Array(array) => array.items.iter().map(Datum::memory).sum::<usize>() + 40,
                Datum::Null
                | Datum::Bool(_)
                | Datum::Int(_)
                | Datum::Float(_)
                | Datum::Date(_)
                | Datum::Timestamp(_)
                | Datum::TimestampTz(_)
                | Datum::Interval(_)
                | Datum::Uuid(_) => 0,
            }
    }

    /// About how many nanoseconds it takes to look through the value: to compare it with one as
    /// long, to hash it, to write or read it as text.
    #[must_use]
    pub fn work(&self) -> usize {
        match self {
            Datum::Numeric(value) => value.steps(),
            Datum::Text(text) | Datum::Char(text) => text.len(),
            Datum::Bytes(bytes) => bytes.len(),
            Datum::Array(array) => array.items.iter().map(|item| ELEMENT + item.work()).sum(),
            Datum::Null
            | Datum::Bool(_)
            | Datum::Int(_)
            | Datum::Float(_)
            | Datum::Date(_)
            | Datum::Timestamp(_)
            | Datum::TimestampTz(_)
            | Datum::Interval(_)
            | Datum::Uuid(_) => 1,
        }
    }

    /// The place of the variant among all: values of different variants meet in one column never,
    /// but the order is total all the same.
    const fn rank(&self) -> u8 {
        match self {
            Datum::Bool(_) => 0,
            Datum::Int(_) => 1,
            Datum::Float(_) => 2,
            Datum::Numeric(_) => 3,
            Datum::Text(_) => 4,
            Datum::Bytes(_) => 5,
            Datum::Date(_) => 6,
            Datum::Timestamp(_) => 7,
            Datum::TimestampTz(_) => 8,
            Datum::Interval(_) => 9,
            Datum::Uuid(_) => 10,
            Datum::Array(_) => 11,
            Datum::Char(_) => 12,
            Datum::Null => 13,
        }
    }
}

/// A value of `char(n)` as it is compared: without the blanks at its end.
#[must_use]
pub fn without_blanks(text: &str) -> &str {
    text.trim_end_matches(' ')
}

/// PostgreSQL's total order of floats: NaN equals NaN and is above infinity.
#[must_use]
pub fn compare_floats(left: f64, right: f64) -> Ordering {
    left.partial_cmp(&right).unwrap_or_else(|| left.is_nan().cmp(&right.is_nan()))
}

impl Ord for Datum {
    fn cmp(&self, other: &Datum) -> Ordering {
        match (self, other) {
            (Datum::Bool(left), Datum::Bool(right)) => left.cmp(right),
            (Datum::Int(left), Datum::Int(right))
            | (Datum::Timestamp(left), Datum::Timestamp(right))
            | (Datum::TimestampTz(left), Datum::TimestampTz(right)) => left.cmp(right),
            (Datum::Float(left), Datum::Float(right)) => compare_floats(*left, *right),
            (Datum::Numeric(left), Datum::Numeric(right)) => left.cmp(right),
            (Datum::Text(left), Datum::Text(right)) => left.cmp(right),
            (Datum::Char(left), Datum::Char(right)) => {
                without_blanks(left).cmp(without_blanks(right))
            }
            (Datum::Bytes(left), Datum::Bytes(right)) => left.cmp(right),
            (Datum::Date(left), Datum::Date(right)) => left.cmp(right),
            (Datum::Interval(left), Datum::Interval(right)) => left.cmp(right),
            (Datum::Uuid(left), Datum::Uuid(right)) => left.cmp(right),
            (Datum::Array(left), Datum::Array(right)) => left.cmp(right),
            (left, right) => left.rank().cmp(&right.rank()),
        }
    }
}

impl PartialOrd for Datum {
    fn partial_cmp(&self, other: &Datum) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Datum {
    fn eq(&self, other: &Datum) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Datum {}

impl Hash for Datum {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.rank().hash(state);
        match self {
            Datum::Null => {}
            Datum::Bool(value) => value.hash(state),
            Datum::Int(value) | Datum::Timestamp(value) | Datum::TimestampTz(value) => {
                value.hash(state);
            }
            Datum::Float(value) if value.is_nan() => f64::NAN.to_bits().hash(state),
            Datum::Float(value) => (value + 0.0).to_bits().hash(state),
            Datum::Numeric(value) => value.hash(state),
            Datum::Text(text) => text.hash(state),
            Datum::Char(text) => without_blanks(text).hash(state),
            Datum::Bytes(bytes) => bytes.hash(state),
            Datum::Date(days) => days.hash(state),
            Datum::Interval(interval) => interval.hash(state),
            Datum::Uuid(bytes) => bytes.hash(state),
            Datum::Array(array) => array.hash(state),
        }
    }
}

/// Enough for messages of assertions and for tests; output to clients is [`crate::text::output`].
impl fmt::Debug for Datum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Datum::Null => f.write_str("NULL"),
            Datum::Bool(value) => write!(f, "{value}"),
            Datum::Int(value) => write!(f, "{value}"),
            Datum::Float(value) => write!(f, "{value:?}"),
            Datum::Numeric(value) => write!(f, "{value}n"),
            Datum::Text(text) | Datum::Char(text) => write!(f, "{text:?}"),
            Datum::Bytes(bytes) => write!(f, "x'{}'", crate::text::hex(bytes)),
            Datum::Date(days) => write!(f, "date {}", crate::datetime::format_date(*days)),
            Datum::Timestamp(micros) | Datum::TimestampTz(micros) => {
                write!(f, "timestamp {}", crate::datetime::format_timestamp(*micros))
            }
            Datum::Interval(interval) => write!(f, "interval {interval}"),
            Datum::Uuid(bytes) => write!(f, "{}", uuid::Uuid::from_bytes(*bytes)),
            Datum::Array(array) => write!(f, "{:?}", array.items),
        }
    }
}

impl From<bool> for Datum {
    fn from(value: bool) -> Datum {
        Datum::Bool(value)
    }
}

impl From<i64> for Datum {
    fn from(value: i64) -> Datum {
        Datum::Int(value)
    }
}

impl From<i32> for Datum {
    fn from(value: i32) -> Datum {
        Datum::Int(value.into())
    }
}

impl From<f64> for Datum {
    fn from(value: f64) -> Datum {
        Datum::Float(value)
    }
}

impl From<&str> for Datum {
    fn from(value: &str) -> Datum {
        Datum::text(value)
    }
}

impl From<String> for Datum {
    fn from(value: String) -> Datum {
        Datum::text(value)
    }
}

impl From<Decimal> for Datum {
    fn from(value: Decimal) -> Datum {
        Datum::numeric(value)
    }
}

impl<T: Into<Datum>> From<Option<T>> for Datum {
    fn from(value: Option<T>) -> Datum {
        value.map_or(Datum::Null, Into::into)
    }
}
