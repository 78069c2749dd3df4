//! Rows and parameters in the protocol's text and binary formats.

use expr::{Datum, EvalContext, SqlError, SqlState, Type};
use sql::{ResultColumn, Row};

use crate::{
    answer::{Answers, Field},
    errors::protocol_violation,
    message::utf8,
};

/// The most columns of a result, as in PostgreSQL. Beyond: `54011`.
const MAX_COLUMNS: usize = 1_664;

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

/// Answers with what a result looks like.
///
/// # Errors
/// `54011` if it has too many columns for a message.
pub fn description(
    answers: &mut Answers,
    columns: &[ResultColumn],
    formats: &[Format],
) -> Result<(), SqlError> {
    if columns.len() > MAX_COLUMNS {
        return Err(SqlError::new(
            SqlState::TOO_MANY_COLUMNS,
            format!("target lists can have at most {MAX_COLUMNS} entries"),
        ));
    }
    assert_eq!(columns.len(), formats.len(), "each column has a format");
    answers.row_description(columns.iter().zip(formats).map(|(column, format)| Field {
        name: &column.name,
        oid: column.ty.oid(),
        length: column.ty.length(),
        typmod: column.ty.typmod(),
        format: format.code(),
    }));
    Ok(())
}

/// Answers with a row.
///
/// # Errors
/// `54000` if it is larger than a message.
pub fn data_row(
    answers: &mut Answers,
    row: &Row,
    columns: &[ResultColumn],
    formats: &[Format],
    context: &EvalContext,
) -> Result<(), SqlError> {
    assert_eq!(row.len(), columns.len(), "a row is as wide as its columns");
    assert_eq!(row.len(), formats.len(), "each value has a format");
    answers.try_message(b'D', |body| {
        let count = u16::try_from(row.len()).expect("its columns were described");
        body.extend_from_slice(&count.to_be_bytes());
        for ((value, column), format) in row.iter().zip(columns).zip(formats) {
            value_into(body, value, column.ty, *format, context)?;
        }
        Ok(())
    })
}

fn value_into(
    body: &mut Vec<u8>,
    value: &Datum,
    ty: Type,
    format: Format,
    context: &EvalContext,
) -> Result<(), SqlError> {
    if matches!(value, Datum::Null) {
        body.extend_from_slice(&(-1_i32).to_be_bytes());
        return Ok(());
    }
    // The length is known once the value is written.
    let start = body.len();
    body.extend_from_slice(&[0; 4]);
    match format {
        Format::Text => {
            let text = expr::text::output_in(value, ty, context).expect("not null");
            body.extend_from_slice(text.as_bytes());
        }
        Format::Binary => {
            let bytes = expr::wire::encode(value, ty).expect("not null");
            body.extend_from_slice(&bytes);
        }
    }
    let length = i32::try_from(body.len() - start - 4).map_err(|_| {
        SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "a value is larger than a message")
    })?;
    body[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// The parameters of a Bind message.
pub fn parameters(
    values: &[Option<Vec<u8>>],
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
    let decode = |((value, ty), format): ((&Option<Vec<u8>>, &Type), Format)| match (value, format)
    {
        (None, _) => Ok(Datum::Null),
        (Some(bytes), Format::Binary) => expr::wire::decode(bytes, *ty),
        (Some(bytes), Format::Text) => expr::text::input(utf8(bytes)?, *ty, context),
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
        let values = [Some(b"42".to_vec()), None, Some(vec![0, 7])];
        let types = [Type::Int8, Type::Text, Type::Int2];
        let read = parameters(&values, &[0, 0, 1], &types, &context).unwrap();
        assert_eq!(read, [Datum::Int(42), Datum::Null, Datum::Int(7)]);
        let wrong = parameters(&values[..1], &[], &types, &context).unwrap_err();
        assert_eq!(wrong.sqlstate.code(), "08P01");
    }
}
