//! Type names of SQL texts to types.

use expr::{IntervalModifier, SqlError, SqlState, Type, datetime::IntervalFields};
use sqlparser::ast::{
    self, ArrayElemTypeDef, CharacterLength, DataType, ExactNumberInfo, Ident, ObjectName,
    TimezoneInfo,
};

use crate::postgres;

/// The type that a text names.
///
/// # Errors
/// `42704` for an unknown one, `0A000` for one of PostgreSQL's that is not built, `22023` for a
/// modifier that cannot be.
pub(crate) fn from_ast(ty: &DataType) -> Result<Type, SqlError> {
    Ok(match ty {
        DataType::Bool | DataType::Boolean => Type::Bool,
        DataType::SmallInt(None) | DataType::Int2(None) => Type::Int2,
        DataType::Int(None) | DataType::Integer(None) | DataType::Int4(None) => Type::Int4,
        DataType::BigInt(None) | DataType::Int8(None) => Type::Int8,
        DataType::Real | DataType::Float4 => Type::Float4,
        DataType::Float8 | DataType::DoublePrecision | DataType::Double(ExactNumberInfo::None) => {
            Type::Float8
        }
        DataType::Float(ExactNumberInfo::None) => Type::Float8,
        DataType::Float(ExactNumberInfo::Precision(bits)) => float(*bits)?,
        DataType::Numeric(info) | DataType::Decimal(info) | DataType::Dec(info) => numeric(*info)?,
        DataType::Text => Type::Text,
        DataType::Varchar(length)
        | DataType::CharVarying(length)
        | DataType::CharacterVarying(length) => {
            length.as_ref().map_or(Ok(Type::VARCHAR), |length| {
                characters("varchar", length).map(|length| Type::Varchar(Some(length)))
            })?
        }
        DataType::Char(length) | DataType::Character(length) => {
            length.as_ref().map_or(Ok(Type::Char(Some(1))), |length| {
                characters("char", length).map(|length| Type::Char(Some(length)))
            })?
        }
        DataType::Bytea => Type::Bytea,
        DataType::Date => Type::Date,
        DataType::Timestamp(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            Type::Timestamp
        }
        DataType::Timestamp(None, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => {
            Type::TimestampTz
        }
        DataType::Timestamp(Some(6), zone) => {
            return from_ast(&DataType::Timestamp(None, *zone));
        }
        DataType::Timestamp(Some(_), _) => {
            return Err(SqlError::unsupported("a timestamp precision other than 6"));
        }
        DataType::Uuid => Type::Uuid,
        DataType::Interval { fields, precision } => interval(ty, *fields, *precision)?,
        DataType::Regclass => Type::Regclass,
        DataType::Array(
            ArrayElemTypeDef::SquareBracket(element, None)
            | ArrayElemTypeDef::AngleBracket(element),
        ) => array(element)?,
        DataType::Custom(name, modifiers) => {
            let mut text = plain_name(name).ok_or_else(|| unknown(ty))?;
            if !modifiers.is_empty() {
                text = format!("{text}({})", modifiers.join(","));
            }
            Type::from_name(&text).ok_or_else(|| unknown(ty))?
        }
        DataType::Time(..)
        | DataType::JSON
        | DataType::JSONB
        | DataType::Bit(_)
        | DataType::BitVarying(_)
        | DataType::VarBit(_)
        | DataType::TsVector
        | DataType::TsQuery
        | DataType::GeometricType(_)
        | DataType::Array(_) => {
            return Err(SqlError::unsupported(format!("type {ty}").to_lowercase()));
        }
        _ => return Err(unknown(ty)),
    })
}

/// The type that a client names by its OID.
///
/// # Errors
/// As for a type that a text names.
pub fn from_oid(oid: u32) -> Result<Type, SqlError> {
    Type::from_oid(oid, -1).ok_or_else(|| match postgres::type_of(oid) {
        Some(name) => SqlError::unsupported(format!("type {name}")),
        None => {
            SqlError::new(SqlState::UNDEFINED_OBJECT, format!("type with OID {oid} is not known"))
        }
    })
}

fn float(bits: u64) -> Result<Type, SqlError> {
    match bits {
        1..=24 => Ok(Type::Float4),
        25..=53 => Ok(Type::Float8),
        _ => Err(SqlError::invalid_parameter(
            "precision for type float must be between 1 and 53 bits",
        )),
    }
}

fn interval(
    ty: &DataType,
    fields: Option<ast::IntervalFields>,
    precision: Option<u64>,
) -> Result<Type, SqlError> {
    let fields = match fields {
        Some(fields) => IntervalFields::read(&fields.to_string().to_lowercase()),
        None => Some(IntervalFields::ALL),
    };
    let modifier = fields.and_then(|fields| IntervalModifier::new(fields, precision));
    let none = || SqlError::syntax(format!("no interval is of type {ty}"));
    modifier.map(IntervalModifier::ty).ok_or_else(none)
}

fn array(element: &DataType) -> Result<Type, SqlError> {
    let element = from_ast(element)?;
    if element != element.base() {
        // The array would forget the length.
        return Err(SqlError::unsupported(format!("an array of {element}")));
    }
    element.array_of().ok_or_else(|| SqlError::unsupported(format!("an array of {element}")))
}

/// A type's name without quotes; `None` if they make another of it: `"char"` is a type of its own,
/// and `"integer"` none, as only the grammar knows that name.
fn plain_name(name: &ObjectName) -> Option<String> {
    let idents: Option<Vec<&Ident>> = name.0.iter().map(|part| part.as_ident()).collect();
    let idents = idents?;
    let last = idents.last()?;
    if last.quote_style.is_some() && (last.value == "char" || !postgres::has_type(&last.value)) {
        return None;
    }
    let parts: Vec<&str> = idents.iter().map(|ident| ident.value.as_str()).collect();
    Some(parts.join("."))
}

fn unknown(ty: &DataType) -> SqlError {
    let name = ty.to_string().to_lowercase();
    let base = match ty {
        DataType::Custom(name, _) => name.to_string().to_lowercase(),
        _ => name.clone(),
    };
    if postgres::has_type(&base) {
        return SqlError::unsupported(format!("type {name}"));
    }
    SqlError::new(SqlState::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist"))
}

fn numeric(info: ExactNumberInfo) -> Result<Type, SqlError> {
    let (precision, scale) = match info {
        ExactNumberInfo::None => return Ok(Type::NUMERIC),
        ExactNumberInfo::Precision(precision) => (precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (precision, scale),
    };
    let precision = u16::try_from(precision).ok().filter(|p| (1..=1000).contains(p));
    let precision = precision.ok_or_else(|| {
        SqlError::invalid_parameter(format!(
            "NUMERIC precision {} must be between 1 and 1000",
            match info {
                ExactNumberInfo::None => 0,
                ExactNumberInfo::Precision(p) | ExactNumberInfo::PrecisionAndScale(p, _) => p,
            }
        ))
    })?;
    let range = -1000..=1000;
    let scale = i16::try_from(scale).ok().filter(|s| range.contains(s)).ok_or_else(|| {
        SqlError::invalid_parameter(format!("NUMERIC scale {scale} must be between -1000 and 1000"))
    })?;
    Ok(Type::numeric(precision, scale))
}

fn characters(name: &str, length: &CharacterLength) -> Result<u32, SqlError> {
    const MAX: u64 = 10_485_760;
    match length {
        CharacterLength::IntegerLength { length: 0, .. } => {
            Err(SqlError::invalid_parameter(format!("length for type {name} must be at least 1")))
        }
        CharacterLength::IntegerLength { length, unit: None } if *length <= MAX => {
            Ok(u32::try_from(*length).expect("checked"))
        }
        CharacterLength::IntegerLength { unit: None, .. } => {
            Err(SqlError::invalid_parameter(format!("length for type {name} cannot exceed {MAX}")))
        }
        CharacterLength::IntegerLength { .. } | CharacterLength::Max => {
            Err(SqlError::unsupported(format!("this length of {name}")))
        }
    }
}
