//! Literals that a statement may hand over as parameters.
//!
//! The generator marks its literals, `‹'ab'›` or, with the type that a parameter needs, `‹5¦int›`.
//! A statement is run as it reads without the marks, or prepared: `$1` in each literal's place. A
//! plan that is made for all values alike knows nothing of them, so the prepared form also tells
//! whether an answer hangs on what was computed ahead.

const OPEN: char = '‹';
const TYPE: char = '¦';
const CLOSE: char = '›';

/// A literal whose type its place tells.
pub fn marked(literal: &str) -> String {
    format!("{OPEN}{literal}{CLOSE}")
}

/// A literal that tells its type by itself.
pub fn typed(literal: &str, ty: &str) -> String {
    format!("{OPEN}{literal}{TYPE}{ty}{CLOSE}")
}

/// The statement without the marks.
pub fn plain(text: &str) -> String {
    rewritten(text, &mut |literal, _| literal.to_owned())
}

/// The statement with parameters, and their values.
pub fn parameters(text: &str) -> (String, Vec<String>) {
    let mut values = Vec::new();
    let statement = rewritten(text, &mut |literal, ty| {
        values.push(literal.to_owned());
        let number = values.len();
        ty.map_or_else(|| format!("${number}"), |ty| format!("(${number}::{ty})"))
    });
    (statement, values)
}

fn rewritten(text: &str, literal: &mut dyn FnMut(&str, Option<&str>) -> String) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once(OPEN) {
        let (inner, behind) = behind.split_once(CLOSE).expect("each mark is closed");
        out.push_str(before);
        let (inner, ty) =
            inner.split_once(TYPE).map_or((inner, None), |(inner, ty)| (inner, Some(ty)));
        out.push_str(&literal(inner, ty));
        rest = behind;
    }
    out.push_str(rest);
    out
}

#[test]
fn marks_become_literals_or_parameters() {
    let text = format!("SELECT {} = {}", marked("'a'"), typed("5", "int"));
    assert_eq!(plain(&text), "SELECT 'a' = 5");
    let values = vec!["'a'".to_owned(), "5".to_owned()];
    assert_eq!(parameters(&text), ("SELECT $1 = ($2::int)".to_owned(), values));
}
