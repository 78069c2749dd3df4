//! Functions over arrays.

use super::Func;
use crate::{
    context::EvalContext, datum::Datum, error::Result, eval::arithmetic::check_length, text,
    types::Type,
};

/// `None`: the arguments are none the function takes. `ty` is the result's type.
pub(super) fn call(
    func: Func,
    args: &[Datum],
    ty: Type,
    ctx: &EvalContext,
) -> Result<Option<Datum>> {
    Ok(Some(match (func, args) {
        (Func::ArrayLength, [Datum::Array(array), Datum::Int(dimension)]) => {
            let length = i64::try_from(array.items.len()).expect("an array in memory");
            if *dimension == 1 && length > 0 { Datum::Int(length) } else { Datum::Null }
        }
        (Func::Cardinality, [Datum::Array(array)]) => {
            Datum::Int(i64::try_from(array.items.len()).expect("an array in memory"))
        }
        (Func::ArrayToString, args) => return array_to_string(args, ctx),
        (Func::ArrayPosition, [Datum::Array(array), wanted]) => {
            let found = array.items.iter().position(|item| item == wanted);
            found.map(|at| i64::try_from(at + 1).expect("an array in memory")).into()
        }
        (Func::ArrayPosition, [Datum::Null, _]) => Datum::Null,
        (Func::ArrayCat, [Datum::Null, other] | [other, Datum::Null]) => other.clone(),
        (Func::ArrayCat, [left, right]) => appended(ty, items(left), items(right))?,
        (Func::ArrayAppend, [array, item]) => {
            appended(ty, items(array), std::slice::from_ref(item))?
        }
        (Func::ArrayPrepend, [item, array]) => {
            appended(ty, std::slice::from_ref(item), items(array))?
        }
        _ => return Ok(None),
    }))
}

/// The elements; none of NULL.
fn items(array: &Datum) -> &[Datum] {
    if let Datum::Array(array) = array { &array.items } else { &[] }
}

fn appended(ty: Type, left: &[Datum], right: &[Datum]) -> Result<Datum> {
    check_length((left.len() + right.len()).saturating_mul(size_of::<Datum>()))?;
    Ok(match ty {
        Type::Array(element) => Datum::array(element, [left, right].concat()),
        _ => Datum::Null,
    })
}

fn array_to_string(args: &[Datum], ctx: &EvalContext) -> Result<Option<Datum>> {
    let [Datum::Array(array), Datum::Text(separator), rest @ ..] = args else {
        let null = matches!(args, [Datum::Null, ..] | [_, Datum::Null, ..]);
        return Ok(null.then_some(Datum::Null));
    };
    let null = rest.first().and_then(Datum::as_text);
    let (mut parts, mut bytes) = (Vec::new(), 0_usize);
    for item in &array.items {
        match text::output_in(item, array.element.ty(), ctx) {
            Some(text) => parts.push(text),
            None => parts.extend(null.map(str::to_owned)),
        }
        bytes += separator.len() + parts.last().map_or(0, String::len);
        check_length(bytes)?;
    }
    Ok(Some(Datum::text(parts.join(separator))))
}
