//! Our expressions against PostgreSQL's: `tests/postgres/*.txt` hold SQL expressions and what
//! PostgreSQL 15 answered.
//!
//! ```text
//! 1 + 1
//! = integer 2
//! 1 / 0
//! ! 22012 division by zero
//! ```
//!
//! Blank lines and lines from `#` on are skipped; `@ timezone Europe/Berlin` sets the session's
//! time zone for what follows. `tests/postgres/generate.sh` writes the answers, from a server of
//! yours.
//!
//! Every expression is evaluated in three ways that must agree: as bound, after folding its
//! constants, and after a round trip through its serialized form.

mod binder;

use std::{fs, path::Path};

use expr::{EvalContext, Expr, SqlError, TimeZone, Typed, Volatility, text};

/// What one expression came to, in the words of the files.
fn answer(sql: &str, ctx: &EvalContext) -> String {
    match evaluate(sql, ctx) {
        Ok(answer) => answer,
        Err(error) => format!("! {} {}", error.sqlstate, error.message),
    }
}

fn evaluate(sql: &str, ctx: &EvalContext) -> Result<String, SqlError> {
    let Typed { expr, ty } = expr::bind::default_to_text(binder::bind(sql, ctx)?, ctx)?;
    let value = expr.eval(&[], ctx);
    let folded = expr.clone().fold(Volatility::Stable, ctx).eval(&[], ctx);
    assert_eq!(format!("{value:?}"), format!("{folded:?}"), "{sql}: folding changes the value");
    let bytes = postcard::to_stdvec(&expr).expect("an expression serializes");
    let back: Expr = postcard::from_bytes(&bytes).expect("what we wrote");
    assert_eq!(expr, back, "{sql}: serializing changes the expression");
    let value = value?;
    let shown = text::output(&value, ty, &ctx.timezone).unwrap_or_else(|| "NULL".to_owned());
    check_formats(sql, &value, ty, ctx);
    Ok(format!("= {} {shown}", ty.base()))
}

/// The value's text, binary form and stored form read back as the value.
fn check_formats(sql: &str, value: &expr::Datum, ty: expr::Type, ctx: &EvalContext) {
    if let Some(binary) = expr::wire::encode(value, ty) {
        let back = expr::wire::decode(&binary, ty).expect("what we wrote");
        assert_eq!(format!("{value:?}"), format!("{back:?}"), "{sql}: binary format");
    }
    if let Some(shown) = text::output(value, ty, &ctx.timezone) {
        let back = text::input(&shown, ty, ctx).expect("what we wrote");
        assert_eq!(format!("{value:?}"), format!("{back:?}"), "{sql}: text format");
    }
    let tuple = expr::row::encode_tuple([value].into_iter());
    let back = expr::row::decode_tuple(&tuple).expect("what we wrote");
    assert_eq!(format!("{value:?}"), format!("{:?}", back[0]), "{sql}: stored form");
}

/// Runs a file; returns the differences.
fn run(path: &Path) -> Vec<String> {
    let content = fs::read_to_string(path).expect("a file of the folder");
    let mut ctx = EvalContext::default();
    let mut differences = Vec::new();
    let mut sql = "";
    for (number, line) in content.lines().enumerate() {
        if let Some(zone) = line.strip_prefix("@ timezone ") {
            ctx.timezone = TimeZone::parse(zone).expect("a time zone");
        } else if line.starts_with("= ") || line.starts_with("! ") {
            let ours = answer(sql, &ctx);
            if ours != line {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                differences.push(format!(
                    "{name}:{}: {sql}\n    PostgreSQL {line}\n    Meridian   {ours}",
                    number + 1
                ));
            }
        } else if !line.is_empty() && !line.starts_with('#') {
            sql = line;
        }
    }
    differences
}

#[test]
fn expressions_come_to_what_postgresql_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postgres");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    let differences: Vec<String> = paths.iter().flat_map(|path| run(path)).collect();
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
}
