//! Rows and parameters in the protocol's text and binary formats.

use bytes::{BufMut, Bytes, BytesMut};
use expr::{Datum, EvalContext, SqlError, SqlState, Type};
use pgwire::messages::data::{DataRow, FieldDescription, RowDescription};
use sql::{ResultColumn, Row};

use crate::errors::protocol_violation;

/// Text or binary, per value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As `psql` prints it.
    Text,
    /// As the type's send function writes it.
    Binary,
}

impl Format {
    /// From the protocol's code.
    pub fn from_code(code: i16) -> Result<Format, SqlError> {
        match code {
            0 => Ok(Format::Text),
            1 => Ok(Format::Binary),
            other => Err(SqlError::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("unsupported format code: {other}"),
            )),
        }
    }

    fn code(self) -> i16 {
        match self {
            Format::Text => 0,
            Format::Binary => 1,
        }
    }
}

/// Formats of so many values: none given is text for all, one is for all, else one each.
pub fn formats(codes: &[i16], count: usize, what: &str) -> Result<Vec<Format>, SqlError> {
    let all: Vec<Format> =
        codes.iter().copied().map(Format::from_code).collect::<Result<_, _>>()?;
    match all.len() {
        0 => Ok(vec![Format::Text; count]),
        1 => Ok(vec![all[0]; count]),
        given if given == count => Ok(all),
        given => Err(protocol_violation(format!(
            "bind message has {given} {what} formats but {count} {what}s"
        ))),
    }
}

/// What a result looks like.
pub fn description(columns: &[ResultColumn], formats: &[Format]) -> RowDescription {
    let field = |(column, format): (&ResultColumn, &Format)| {
        let ty = column.ty;
        FieldDescription::new(
            column.name.clone(),
            0,
            0,
            ty.oid(),
            ty.length(),
            ty.typmod(),
            format.code(),
        )
    };
    RowDescription::new(columns.iter().zip(formats).map(field).collect())
}

/// A row as a message.
pub fn data_row(
    row: &Row,
    columns: &[ResultColumn],
    formats: &[Format],
    context: &EvalContext,
) -> Result<DataRow, SqlError> {
    assert_eq!(row.len(), columns.len(), "a row is as wide as its columns");
    let mut data = BytesMut::with_capacity(16 * row.len());
    for ((value, column), format) in row.iter().zip(columns).zip(formats) {
        value_into(&mut data, value, column.ty, *format, context)?;
    }
    let count = i16::try_from(row.len()).map_err(|_| {
        SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "a row has more columns than a message")
    })?;
    Ok(DataRow::new(data, count))
}

fn value_into(
    data: &mut BytesMut,
    value: &Datum,
    ty: Type,
    format: Format,
    context: &EvalContext,
) -> Result<(), SqlError> {
    if matches!(value, Datum::Null) {
        data.put_i32(-1);
        return Ok(());
    }
    // The length is known once the value is written.
    let start = data.len();
    data.put_i32(0);
    match format {
        Format::Text => {
            let text = expr::text::output(value, ty, &context.timezone).expect("not null");
            data.extend_from_slice(text.as_bytes());
        }
        Format::Binary => {
            let bytes = expr::wire::encode(value, ty).expect("not null");
            data.extend_from_slice(&bytes);
        }
    }
    let length = i32::try_from(data.len() - start - 4).map_err(|_| {
        SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "a value is larger than a message")
    })?;
    data[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// The parameters of a Bind message.
pub fn parameters(
    values: &[Option<Bytes>],
    codes: &[i16],
    types: &[Type],
    context: &EvalContext,
) -> Result<Vec<Datum>, SqlError> {
    if values.len() != types.len() {
        return Err(protocol_violation(format!(
            "bind message supplies {} parameters, but prepared statement requires {}",
            values.len(),
            types.len()
        )));
    }
    let formats = formats(codes, values.len(), "parameter")?;
    let decode = |((value, ty), format): ((&Option<Bytes>, &Type), Format)| match (value, format) {
        (None, _) => Ok(Datum::Null),
        (Some(bytes), Format::Binary) => expr::wire::decode(bytes, *ty),
        (Some(bytes), Format::Text) => {
            let text = std::str::from_utf8(bytes).map_err(|_| {
                SqlError::new(
                    SqlState::CHARACTER_NOT_IN_REPERTOIRE,
                    "invalid byte sequence for encoding \"UTF8\"",
                )
            })?;
            expr::text::input(text, *ty, context)
        }
    };
    values.iter().zip(types).zip(formats).map(decode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_format_code_serves_all_values() {
        assert_eq!(formats(&[], 2, "result").unwrap(), [Format::Text; 2]);
        assert_eq!(formats(&[1], 2, "result").unwrap(), [Format::Binary; 2]);
        assert_eq!(formats(&[1, 0], 2, "result").unwrap(), [Format::Binary, Format::Text]);
        assert_eq!(formats(&[1, 0], 3, "result").unwrap_err().sqlstate.code(), "08P01");
        assert!(formats(&[7], 1, "result").is_err());
    }

    #[test]
    fn parameters_come_back_in_both_formats() {
        let context = EvalContext::default();
        let values = [Some(Bytes::from_static(b"42")), None, Some(Bytes::from_static(&[0, 7]))];
        let types = [Type::Int8, Type::Text, Type::Int2];
        let read = parameters(&values, &[0, 0, 1], &types, &context).unwrap();
        assert_eq!(read, [Datum::Int(42), Datum::Null, Datum::Int(7)]);
        let wrong = parameters(&values[..1], &[], &types, &context).unwrap_err();
        assert_eq!(wrong.sqlstate.code(), "08P01");
    }
}
