//! `meridian check`: holds a recorded history, ours or another database's, against a model.
//!
//! Exit codes: 0, it held; 1, a violation; 2, unusable input. What could not be decided is said, and
//! is no violation.

use std::{fs, path::PathBuf};

use anyhow::Context;
use checker::{Format, Model, Overdraft, Validity};

use crate::Ending;

/// `meridian check`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The history: JSON lines or EDN; docs/HISTORIES.md describes both.
    file: PathBuf,
    /// What the database promises: strict-serializable, serializable, snapshot, read-committed or
    /// linearizable.
    #[arg(long, default_value = "strict-serializable")]
    model: Model,
    /// Judge the database's own timestamps as well.
    #[arg(long)]
    timestamps: bool,
    /// The file's format, jsonl or edn; without it the file tells by its looks.
    #[arg(long)]
    format: Option<Format>,
    /// What all accounts of a bank hold together; without it, what the first whole read says.
    #[arg(long, value_name = "AMOUNT")]
    bank_total: Option<i64>,
    /// Accounts of a bank may be overdrawn.
    #[arg(long)]
    overdraft: bool,
    /// Write a page about the verdict, drawings included, here.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
}

/// Judges the file.
///
/// # Errors
/// If it cannot be read, makes no sense, or the report cannot be written.
pub fn run(options: &Options) -> anyhow::Result<Ending> {
    let name = options.file.display();
    let bytes = fs::read(&options.file).with_context(|| format!("read {name}"))?;
    let history = checker::load(&bytes, options.format).with_context(|| name.to_string())?;
    let judging = checker::Options {
        timestamps: options.timestamps,
        bank_total: options.bank_total,
        overdraft: if options.overdraft { Overdraft::Allowed } else { Overdraft::Forbidden },
    };
    let verdict = checker::check(&history, options.model, judging);
    print!("{}", verdict.render_text());
    if let Some(path) = &options.report {
        fs::write(path, verdict.render_html())
            .with_context(|| format!("write {}", path.display()))?;
    }
    Ok(match verdict.valid {
        Validity::No => Ending::Failed,
        Validity::Yes | Validity::Undecided => Ending::Clean,
    })
}
