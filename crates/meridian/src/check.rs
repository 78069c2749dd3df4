//! `meridian check`: holds a recorded history, ours or another database's, against a model.
//!
//! Exit codes: 0, it held; 1, a violation; 2, unusable input, a history without operations among it; 3,
//! undecided: nothing forbidden was found, and something could not be judged.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use checker::{Format, Initial, Model, Overdraft, Reading, Workload, World};
use serde_json::json;

use crate::{Ending, out};

/// A history may be so large, in bytes: judging takes some fifty times its size in memory.
const HISTORY_MAX: u64 = 1 << 30;

/// `meridian check`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The history: JSON lines or EDN; docs/HISTORIES.md describes both. `-` is standard input.
    file: PathBuf,
    /// What the database promises: strict-serializable, serializable, snapshot, read-committed or
    /// linearizable.
    #[arg(long, default_value = "strict-serializable")]
    model: Model,
    /// Judge the database's own timestamps as well.
    #[arg(long)]
    timestamps: bool,
    /// The file's syntax, jsonl or edn; without it the file tells by its looks.
    #[arg(long, value_name = "FORMAT")]
    input: Option<Format>,
    /// What registers hold before anybody wrote them: VALUE for all, KEY=VALUE for one. May be given
    /// several times.
    #[arg(long, value_name = "VALUE|KEY=VALUE")]
    initial: Vec<String>,
    /// All that writes is in the file: a value that nobody there wrote must not be read.
    #[arg(long)]
    closed_world: bool,
    /// What all accounts of a bank hold together; without it, what the first whole read says.
    #[arg(long, value_name = "AMOUNT", allow_negative_numbers = true)]
    bank_total: Option<i64>,
    /// Accounts of a bank may be overdrawn.
    #[arg(long)]
    overdraft: bool,
    /// How the verdict is printed.
    #[arg(long, value_enum, default_value_t = out::Format::Text)]
    format: out::Format,
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
    let bytes = read(&options.file)?;
    let mut initial = Initial::default();
    for text in &options.initial {
        initial.add(text).map_err(anyhow::Error::msg).context("--initial")?;
    }
    let world = options.closed_world.then_some(World::Closed);
    let reading = Reading { format: options.input, world, initial };
    let history = checker::load_as(&bytes, &reading).with_context(|| name.to_string())?;
    drop(bytes);
    let has_bank = history.ops.iter().any(|op| op.workload == Workload::Bank);
    ensure!(
        has_bank || options.bank_total.is_none(),
        "--bank-total: no operation of {name} is a bank's (`balances`, `transfer`, or `workload` bank)"
    );
    let judging = checker::Options {
        timestamps: options.timestamps,
        bank_total: options.bank_total,
        overdraft: if options.overdraft { Overdraft::Allowed } else { Overdraft::Forbidden },
    };
    let verdict = checker::check(&history, options.model, judging);
    match options.format {
        out::Format::Text => out::print(&verdict.render_text())?,
        out::Format::Json => {
            let mut object = verdict.to_json();
            object["file"] = json!(name.to_string());
            out::print(&format!("{object}\n"))?;
        }
    }
    if let Some(path) = &options.report {
        std::fs::write(path, verdict.render_html())
            .with_context(|| format!("write {}", path.display()))?;
    }
    Ok(verdict.valid.into())
}

/// The whole file, or all of standard input.
fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let name = path.display();
    let mut source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).with_context(|| format!("read {name}"))?)
    };
    let mut bytes = Vec::new();
    let limited = source.by_ref().take(HISTORY_MAX + 1).read_to_end(&mut bytes);
    limited.with_context(|| format!("read {name}"))?;
    ensure!(bytes.len() as u64 <= HISTORY_MAX, "{name}: a history has at most {HISTORY_MAX} bytes");
    Ok(bytes)
}
