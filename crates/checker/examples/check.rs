//! Judges a history from a file: `cargo run -p checker --example check FILE MODEL [REPORT.html]`.
//!
//! The smallest program around the library. Exits with 0 if the model held, 1 if not, 2 if the file is
//! no history.

use std::{error::Error, fs, process::ExitCode};

use checker::{Options, Verdict};

fn main() -> ExitCode {
    match run() {
        Ok(verdict) => {
            print!("{}", verdict.render_text());
            ExitCode::from(verdict.exit_code())
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<Verdict, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("usage: check FILE MODEL [REPORT.html]")?;
    let model = arguments.next().unwrap_or_else(|| "strict-serializable".to_owned()).parse()?;
    let history = checker::load(&fs::read(file)?, None)?;
    let has_timestamps = history.ops.iter().any(|op| op.timestamps != Default::default());
    let options = Options { timestamps: has_timestamps, ..Options::default() };
    let verdict = checker::check(&history, model, options);
    if let Some(report) = arguments.next() {
        fs::write(report, verdict.render_html())?;
    }
    Ok(verdict)
}
