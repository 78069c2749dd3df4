//! SQL types: what a column, an expression or a parameter may be.
//!
//! A type is small and `Copy`. It carries PostgreSQL's *type modifier* where it has one: the length
//! of `varchar(n)` and `char(n)`, precision and scale of `numeric(p,s)`, fields and digits of an
//! interval. Types that differ only there have the same *base*.

mod modifier;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::datetime::IntervalFields;
pub use modifier::{IntervalModifier, NumericModifier};

/// A SQL type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Type {
    /// A literal in quotes or a parameter whose type its surroundings will tell.
    Unknown,
    /// `boolean`.
    Bool,
    /// `smallint`.
    Int2,
    /// `integer`.
    Int4,
    /// `bigint`.
    Int8,
    /// `real`.
    Float4,
    /// `double precision`.
    Float8,
    /// `numeric`; `None`: any precision and scale.
    Numeric(Option<NumericModifier>),
    /// `text`.
    Text,
    /// `character varying`; `None`: any length, in characters.
    Varchar(Option<u32>),
    /// `character`, padded with blanks; `None`: any length (`bpchar`).
    Char(Option<u32>),
    /// `name`: what the catalogs call things; cut at 63 bytes.
    Name,
    /// `bytea`.
    Bytea,
    /// `date`.
    Date,
    /// `timestamp without time zone`.
    Timestamp,
    /// `timestamp with time zone`.
    TimestampTz,
    /// `interval`.
    Interval,
    /// `uuid`.
    Uuid,
    /// `oid`: ids of catalog objects.
    Oid,
    /// `regclass`: an oid that is written as a table's name.
    Regclass,
    /// `regtype`: an oid that is written as a type's name.
    Regtype,
    /// `void`: what functions return that return nothing.
    Void,
    /// A one-dimensional array.
    Array(Element),
    /// `interval` of some fields, or of fewer digits.
    IntervalOf(IntervalModifier),
}

/// What an array may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is the type of the same name")]
pub enum Element {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    Text,
    Varchar,
    Char,
    Name,
    Bytea,
    Date,
    Timestamp,
    TimestampTz,
    Interval,
    Uuid,
    Oid,
}

impl Element {
    const ALL: [Element; 18] = [
        Element::Bool,
        Element::Int2,
        Element::Int4,
        Element::Int8,
        Element::Float4,
        Element::Float8,
        Element::Numeric,
        Element::Text,
        Element::Varchar,
        Element::Char,
        Element::Name,
        Element::Bytea,
        Element::Date,
        Element::Timestamp,
        Element::TimestampTz,
        Element::Interval,
        Element::Uuid,
        Element::Oid,
    ];

    /// The element's type.
    #[must_use]
    pub const fn ty(self) -> Type {
        match self {
            Element::Bool => Type::Bool,
            Element::Int2 => Type::Int2,
            Element::Int4 => Type::Int4,
            Element::Int8 => Type::Int8,
            Element::Float4 => Type::Float4,
            Element::Float8 => Type::Float8,
            Element::Numeric => Type::Numeric(None),
            Element::Text => Type::Text,
            Element::Varchar => Type::Varchar(None),
            Element::Char => Type::Char(None),
            Element::Name => Type::Name,
            Element::Bytea => Type::Bytea,
            Element::Date => Type::Date,
            Element::Timestamp => Type::Timestamp,
            Element::TimestampTz => Type::TimestampTz,
            Element::Interval => Type::Interval,
            Element::Uuid => Type::Uuid,
            Element::Oid => Type::Oid,
        }
    }

    const fn array_oid(self) -> u32 {
        match self {
            Element::Bool => 1000,
            Element::Int2 => 1005,
            Element::Int4 => 1007,
            Element::Int8 => 1016,
            Element::Float4 => 1021,
            Element::Float8 => 1022,
            Element::Numeric => 1231,
            Element::Text => 1009,
            Element::Varchar => 1015,
            Element::Char => 1014,
            Element::Name => 1003,
            Element::Bytea => 1001,
            Element::Date => 1182,
            Element::Timestamp => 1115,
            Element::TimestampTz => 1185,
            Element::Interval => 1187,
            Element::Uuid => 2951,
            Element::Oid => 1028,
        }
    }
}

/// PostgreSQL's families of types: within one, implicit casts are tried first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// Truth values.
    Boolean,
    /// Numbers and oids.
    Numeric,
    /// Texts.
    String,
    /// Dates and timestamps.
    DateTime,
    /// Intervals.
    Timespan,
    /// Arrays.
    Array,
    /// Anything else: bytea, uuid.
    User,
    /// Not told yet.
    Unknown,
    /// Types no column has.
    Pseudo,
}

impl Type {
    /// All types without modifiers, arrays excepted.
    pub const SCALARS: [Type; 21] = [
        Type::Bool,
        Type::Int2,
        Type::Int4,
        Type::Int8,
        Type::Float4,
        Type::Float8,
        Type::NUMERIC,
        Type::Text,
        Type::VARCHAR,
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
        Type::Void,
    ];
    /// `numeric` without precision.
    pub const NUMERIC: Type = Type::Numeric(None);
    /// `varchar` without length.
    pub const VARCHAR: Type = Type::Varchar(None);
    /// `bpchar`: `char` without length.
    pub const BPCHAR: Type = Type::Char(None);

    /// `numeric(precision, scale)`.
    #[must_use]
    pub const fn numeric(precision: u16, scale: i16) -> Type {
        Type::Numeric(Some(NumericModifier { precision, scale }))
    }

    /// The array of this type; `None` if there is none.
    #[must_use]
    pub fn array_of(self) -> Option<Type> {
        let base = self.base();
        Element::ALL.into_iter().find(|element| element.ty() == base).map(Type::Array)
    }

    /// The type of an array's elements; `None` if it is no array.
    #[must_use]
    pub fn element(self) -> Option<Type> {
        if let Type::Array(element) = self { Some(element.ty()) } else { None }
    }

    /// The type without its modifier.
    #[must_use]
    pub const fn base(self) -> Type {
        match self {
            Type::Numeric(_) => Type::NUMERIC,
            Type::Varchar(_) => Type::VARCHAR,
            Type::Char(_) => Type::BPCHAR,
            Type::IntervalOf(_) => Type::Interval,
            other => other,
        }
    }

    /// Whether both are the same but for their modifiers.
    #[must_use]
    pub fn same_base(self, other: Type) -> bool {
        self.base() == other.base()
    }

    /// PostgreSQL's id of the type.
    #[must_use]
    pub const fn oid(self) -> u32 {
        match self {
            Type::Unknown => 705,
            Type::Bool => 16,
            Type::Bytea => 17,
            Type::Name => 19,
            Type::Int8 => 20,
            Type::Int2 => 21,
            Type::Int4 => 23,
            Type::Text => 25,
            Type::Oid => 26,
            Type::Float4 => 700,
            Type::Float8 => 701,
            Type::Char(_) => 1042,
            Type::Varchar(_) => 1043,
            Type::Date => 1082,
            Type::Timestamp => 1114,
            Type::TimestampTz => 1184,
            Type::Interval | Type::IntervalOf(_) => 1186,
            Type::Numeric(_) => 1700,
            Type::Regclass => 2205,
            Type::Regtype => 2206,
            Type::Void => 2278,
            Type::Uuid => 2950,
            Type::Array(element) => element.array_oid(),
        }
    }

    /// PostgreSQL's `atttypmod`; -1: none.
    #[must_use]
    pub fn typmod(self) -> i32 {
        match self {
            Type::Varchar(Some(length)) | Type::Char(Some(length)) => {
                i32::try_from(length).map_or(-1, |length| length + 4)
            }
            Type::Numeric(Some(NumericModifier { precision, scale })) => {
                ((i32::from(precision) << 16) | (i32::from(scale) & 0x7ff)) + 4
            }
            Type::IntervalOf(modifier) => modifier.typmod(),
            _ => -1,
        }
    }

    /// The type with this id and modifier (-1: none); `None` if Meridian has no such type.
    #[must_use]
    pub fn from_oid(oid: u32, typmod: i32) -> Option<Type> {
        if oid == Type::Unknown.oid() || oid == 0 {
            return Some(Type::Unknown);
        }
        let base = Type::SCALARS
            .into_iter()
            .chain(Element::ALL.map(Type::Array))
            .find(|candidate| candidate.oid() == oid)?;
        if typmod < 4 {
            return Some(base);
        }
        let modifier = (typmod - 4).cast_unsigned();
        Some(match base {
            Type::Varchar(_) => Type::Varchar(Some(modifier)),
            Type::Char(_) => Type::Char(Some(modifier)),
            Type::Interval => IntervalModifier::from_typmod(typmod)?.ty(),
            Type::Numeric(_) => {
                let scale = i16::try_from(modifier & 0x7ff).expect("eleven bits");
                Type::numeric(
                    (modifier >> 16) as u16,
                    if scale > 1023 { scale - 2048 } else { scale },
                )
            }
            other => other,
        })
    }

    /// PostgreSQL's `typlen`: bytes of a value, -1 if they vary.
    #[must_use]
    pub const fn length(self) -> i16 {
        match self {
            Type::Bool => 1,
            Type::Int2 => 2,
            Type::Int4
            | Type::Float4
            | Type::Oid
            | Type::Date
            | Type::Regclass
            | Type::Regtype
            | Type::Void => 4,
            Type::Int8 | Type::Float8 | Type::Timestamp | Type::TimestampTz => 8,
            Type::Uuid | Type::Interval | Type::IntervalOf(_) => 16,
            Type::Name => 64,
            Type::Unknown => -2,
            Type::Numeric(_)
            | Type::Text
            | Type::Varchar(_)
            | Type::Char(_)
            | Type::Bytea
            | Type::Array(_) => -1,
        }
    }

    /// PostgreSQL's internal name: `int4`, `bpchar`, `_text`.
    #[must_use]
    pub fn internal_name(self) -> String {
        let name = match self {
            Type::Unknown => "unknown",
            Type::Bool => "bool",
            Type::Int2 => "int2",
            Type::Int4 => "int4",
            Type::Int8 => "int8",
            Type::Float4 => "float4",
            Type::Float8 => "float8",
            Type::Numeric(_) => "numeric",
            Type::Text => "text",
            Type::Varchar(_) => "varchar",
            Type::Char(_) => "bpchar",
            Type::Name => "name",
            Type::Bytea => "bytea",
            Type::Date => "date",
            Type::Timestamp => "timestamp",
            Type::TimestampTz => "timestamptz",
            Type::Interval | Type::IntervalOf(_) => "interval",
            Type::Uuid => "uuid",
            Type::Oid => "oid",
            Type::Regclass => "regclass",
            Type::Regtype => "regtype",
            Type::Void => "void",
            Type::Array(element) => return format!("_{}", element.ty().internal_name()),
        };
        name.to_owned()
    }

    /// The type with this name, in PostgreSQL's spelling or internal: `integer`, `int4`, `text[]`,
    /// `varchar(3)`, `numeric(10,2)`. `None` if there is none.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Type> {
        let name = name.trim().to_ascii_lowercase();
        let name = name.strip_prefix("pg_catalog.").unwrap_or(&name);
        if let Some(element) = name.strip_suffix("[]").or_else(|| name.strip_prefix('_')) {
            return Type::from_name(element)?.array_of();
        }
        let (word, arguments) = match name.split_once('(') {
            Some((word, rest)) => {
                let (arguments, tail) = rest.split_once(')')?;
                let arguments: Option<Vec<i32>> =
                    arguments.split(',').map(|argument| argument.trim().parse().ok()).collect();
                (format!("{}{}", word.trim_end(), tail), arguments?)
            }
            None => (name.to_owned(), Vec::new()),
        };
        let base = match word.as_str() {
            "bool" | "boolean" => Type::Bool,
            "int2" | "smallint" => Type::Int2,
            "int4" | "int" | "integer" => Type::Int4,
            "int8" | "bigint" => Type::Int8,
            "float4" | "real" => Type::Float4,
            "float8" | "double precision" | "float" => Type::Float8,
            "numeric" | "decimal" | "dec" => Type::NUMERIC,
            "text" => Type::Text,
            "varchar" | "character varying" | "char varying" => Type::VARCHAR,
            "bpchar" => Type::BPCHAR,
            "char" | "character" => Type::Char(Some(1)),
            "name" => Type::Name,
            "bytea" => Type::Bytea,
            "date" => Type::Date,
            "timestamp" | "timestamp without time zone" => Type::Timestamp,
            "timestamptz" | "timestamp with time zone" => Type::TimestampTz,
            "interval" => Type::Interval,
            "uuid" => Type::Uuid,
            "oid" => Type::Oid,
            "regclass" => Type::Regclass,
            "regtype" => Type::Regtype,
            "void" => Type::Void,
            "unknown" => Type::Unknown,
            other => {
                let fields = IntervalFields::read(other.strip_prefix("interval ")?)?;
                IntervalModifier::new(fields, None)?.ty()
            }
        };
        base.with_arguments(&arguments)
    }

    /// The type with the arguments in brackets behind its name; `None` if it takes none such.
    fn with_arguments(self, arguments: &[i32]) -> Option<Type> {
        match (self, arguments) {
            (_, []) => Some(self),
            (Type::Varchar(_), [length @ 1..=10_485_760]) => {
                Some(Type::Varchar(Some(length.cast_unsigned())))
            }
            (Type::Char(_), [length @ 1..=10_485_760]) => {
                Some(Type::Char(Some(length.cast_unsigned())))
            }
            (Type::Interval, [digits @ 0..=i32::MAX]) => {
                let digits = u64::try_from(*digits).ok();
                IntervalModifier::new(IntervalFields::ALL, digits).map(IntervalModifier::ty)
            }
            (Type::IntervalOf(modifier), [digits @ 0..=i32::MAX]) => {
                let digits = u64::try_from(*digits).ok();
                IntervalModifier::new(modifier.fields, digits).map(IntervalModifier::ty)
            }
            (Type::Numeric(_), [precision @ 1..=1000]) => {
                Some(Type::numeric(u16::try_from(*precision).ok()?, 0))
            }
            (Type::Numeric(_), [precision @ 1..=1000, scale @ -1000..=1000]) => {
                Some(Type::numeric(u16::try_from(*precision).ok()?, i16::try_from(*scale).ok()?))
            }
            _ => None,
        }
    }

    /// The family the type belongs to.
    #[must_use]
    pub const fn category(self) -> Category {
        match self {
            Type::Unknown => Category::Unknown,
            Type::Bool => Category::Boolean,
            Type::Int2
            | Type::Int4
            | Type::Int8
            | Type::Float4
            | Type::Float8
            | Type::Numeric(_)
            | Type::Oid
            | Type::Regclass
            | Type::Regtype => Category::Numeric,
            Type::Text | Type::Varchar(_) | Type::Char(_) | Type::Name => Category::String,
            Type::Date | Type::Timestamp | Type::TimestampTz => Category::DateTime,
            Type::Interval | Type::IntervalOf(_) => Category::Timespan,
            Type::Bytea | Type::Uuid => Category::User,
            Type::Array(_) => Category::Array,
            Type::Void => Category::Pseudo,
        }
    }

    /// Whether its family prefers it, so that it wins where several would do.
    #[must_use]
    pub const fn is_preferred(self) -> bool {
        matches!(
            self,
            Type::Bool
                | Type::Float8
                | Type::Oid
                | Type::Text
                | Type::TimestampTz
                | Type::Interval
                | Type::IntervalOf(_)
        )
    }

    /// Whether it is one of the three integer types.
    #[must_use]
    pub const fn is_integer(self) -> bool {
        matches!(self, Type::Int2 | Type::Int4 | Type::Int8)
    }

    /// Whether values are [`Datum::Text`](crate::Datum::Text).
    #[must_use]
    pub const fn is_string(self) -> bool {
        matches!(self.category(), Category::String)
    }

    /// Whether values are [`Datum::Int`](crate::Datum::Int).
    #[must_use]
    pub const fn is_int_datum(self) -> bool {
        matches!(
            self,
            Type::Int2 | Type::Int4 | Type::Int8 | Type::Oid | Type::Regclass | Type::Regtype
        )
    }
}

/// PostgreSQL's `format_type`: `character varying(3)`, `numeric(10,2)`, `integer[]`.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Type::Bool => "boolean",
            Type::Int2 => "smallint",
            Type::Int4 => "integer",
            Type::Int8 => "bigint",
            Type::Float4 => "real",
            Type::Float8 => "double precision",
            Type::Numeric(Some(NumericModifier { precision, scale })) => {
                return write!(f, "numeric({precision},{scale})");
            }
            Type::Varchar(Some(length)) => return write!(f, "character varying({length})"),
            Type::Varchar(None) => "character varying",
            Type::Char(Some(length)) => return write!(f, "character({length})"),
            Type::Char(None) => "character",
            Type::Timestamp => "timestamp without time zone",
            Type::TimestampTz => "timestamp with time zone",
            Type::Array(element) => return write!(f, "{}[]", element.ty()),
            Type::IntervalOf(modifier) => return write!(f, "{modifier}"),
            other => return f.write_str(&other.internal_name()),
        };
        f.write_str(name)
    }
}
