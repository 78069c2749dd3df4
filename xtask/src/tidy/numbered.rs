//! The page of the numbered rules, held against the code.
//!
//! Correctness rests on rules with numbers (`P3`), and a comment names the rule that its code keeps.
//! [`PAGE`] states each of them. An entry is
//!
//! ```text
//! ### P3: a new leader starts above what was granted
//!
//! What it says.
//!
//! - kept in: `crates/paxos/src/acceptor.rs` (`report`), `crates/paxos/src/candidate.rs` (`persisted`)
//! - asserted in: `crates/range/src/machine/leader.rs` (`assign`)
//! - attacked by: `crates/paxos/src/tests/mutations.rs` (`dropped_floor_is_found`); mode `floor-forgotten`
//! ```
//!
//! A function belongs to the file named last before it; what has a hyphen is a mode of the simulator.
//! A rule that is not kept is an item under [`NOT_KEPT`] and says what there is instead: `- **X1a** ...
//! Instead: ...`; so is the rest of one that is kept in part: `- **P6, in part** ...`.

use std::collections::BTreeSet;

use super::{Complaint, File};

/// Where the rules stand.
const PAGE: &str = "docs/RULES.md";

/// The heading of what is not built.
const NOT_KEPT: &str = "## Not kept yet";

/// What an entry says of its rule beside the rule.
const FIELDS: [&str; 3] = ["kept in", "asserted in", "attacked by"];

/// The crates whose comments may name no rule that the page lacks, and must name each that it has.
const CORES: [&str; 6] = ["paxos", "range", "txn", "storage", "clock", "node"];

/// The families of rules: time, storage, Paxos, reads, transactions; merges, commits, global tables,
/// moves.
const FAMILIES: &str = "TSPRXMCGJ";

/// A rule as the page has it.
#[derive(Debug)]
struct Entry<'p> {
    number: &'p str,
    line: usize,
    /// The fields, each with its line.
    fields: Vec<(usize, &'p str, &'p str)>,
}

/// What a part of a field names.
#[derive(Debug, PartialEq, Eq)]
enum Named<'p> {
    Path(&'p str),
    /// A function or test of the path before it.
    Function(Option<&'p str>, &'p str),
    Mode(&'p str),
}

/// Holds the page against the tree.
pub fn check(files: &[File]) -> Vec<Complaint> {
    let none = File { path: PAGE.to_owned(), text: String::new() };
    let page = files.iter().find(|file| file.path == PAGE).unwrap_or(&none);
    let entries = entries(&page.text);
    let not_kept = not_kept(&page.text);
    let mut complaints = twice(page, &entries, &not_kept);
    let mut mentioned = BTreeSet::new();
    for file in files.iter().filter(|file| is_core(&file.path)) {
        for (line, number) in mentions(&file.text) {
            let is_known = entries.iter().any(|entry| entry.number == number)
                || not_kept.iter().any(|(_, known, _)| *known == number);
            if !is_known {
                complaints.push(file.complain(line, format!("{PAGE} has no rule {number}")));
            }
            mentioned.insert(number);
        }
    }
    for entry in &entries {
        if !mentioned.contains(entry.number) {
            let message = format!("no comment of a core names {}", entry.number);
            complaints.push(page.complain(entry.line, message));
        }
        complaints.extend(self::entry(page, entry, files));
    }
    complaints
}

/// A rule has one entry; only what is kept in part stands in both places. What is not kept says
/// what there is instead.
fn twice(page: &File, entries: &[Entry<'_>], not_kept: &[(usize, &str, &str)]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut seen = BTreeSet::new();
    for entry in entries {
        if !seen.insert(entry.number) {
            complaints
                .push(page.complain(entry.line, format!("{} stands here twice", entry.number)));
        }
    }
    for (line, number, text) in not_kept {
        let in_part = text.starts_with(", in part");
        if in_part != seen.contains(number) {
            let message = format!("{number} is kept, or is not, or is not kept \"in part\"");
            complaints.push(page.complain(*line, message));
        }
        if !text.contains(" Instead: ") {
            complaints.push(page.complain(*line, format!("what is there instead of {number}?")));
        }
    }
    complaints
}

/// What an entry says must be whole, and what it names must exist.
fn entry(page: &File, entry: &Entry<'_>, files: &[File]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for field in FIELDS {
        if !entry.fields.iter().any(|(_, name, text)| *name == field && !text.is_empty()) {
            complaints.push(page.complain(entry.line, format!("{}: no \"{field}\"", entry.number)));
        }
    }
    let mut attacks = 0;
    for (line, field, text) in &entry.fields {
        for named in named(text) {
            match missing(&named, files) {
                Some(what) => complaints.push(page.complain(*line, what)),
                None if *field == FIELDS[2] && is_attack(&named) => attacks += 1,
                None => {}
            }
        }
    }
    if attacks == 0 {
        let message = format!("{}: no test, script or mode attacks it", entry.number);
        complaints.push(page.complain(entry.line, message));
    }
    complaints
}

/// Whether this can show the rule broken.
fn is_attack(named: &Named<'_>) -> bool {
    match named {
        Named::Path(path) => path.contains("/testscripts/") || path.contains("/scripts/"),
        Named::Function(path, _) => path.is_some_and(|path| path.contains("/tests")),
        Named::Mode(_) => true,
    }
}

/// What the tree lacks of this, in words.
fn missing(named: &Named<'_>, files: &[File]) -> Option<String> {
    match named {
        Named::Path(path) => {
            let folder = format!("{}/", path.trim_end_matches('/'));
            let is_there = |file: &File| file.path == *path || file.path.starts_with(&folder);
            (!files.iter().any(is_there)).then(|| format!("there is no `{path}`"))
        }
        Named::Function(None, name) => Some(format!("`{name}` is named without its file")),
        Named::Function(Some(path), name) => {
            let file = files.iter().find(|file| file.path == *path)?;
            (!defines(&file.text, name)).then(|| format!("`{path}` has no `{name}`"))
        }
        Named::Mode(name) => {
            let quoted = format!("name: \"{name}\"");
            let modes =
                files.iter().filter(|file| file.path.starts_with("sim-regions/src/sim/mode"));
            let is_there = modes.into_iter().any(|file| file.text.contains(&quoted));
            (!is_there).then(|| format!("the simulator has no mode `{name}`"))
        }
    }
}

/// Whether Rust code has this function, or a macro makes a test of that name.
fn defines(text: &str, name: &str) -> bool {
    let function = format!("fn {name}");
    let is_whole = |at: usize| text[at + function.len()..].starts_with(['(', '<']);
    let made = format!("{name}: ");
    text.match_indices(&function).any(|(at, _)| is_whole(at))
        || text.lines().any(|line| line.trim_start().starts_with(&made))
}

/// What a field names in backticks; other words there, such as those of SQL, mean nothing here.
fn named(text: &str) -> Vec<Named<'_>> {
    let mut path = None;
    let mut all = Vec::new();
    for quoted in text.split('`').skip(1).step_by(2) {
        let is_word = |more: char| {
            quoted.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == more)
        };
        if quoted.contains('/') {
            path = Some(quoted);
            all.push(Named::Path(quoted));
        } else if quoted.starts_with(|c: char| c.is_ascii_lowercase()) {
            if is_word('_') {
                all.push(Named::Function(path, quoted));
            } else if is_word('-') {
                all.push(Named::Mode(quoted));
            }
        }
    }
    all
}

/// The rules that the page says are kept.
fn entries(page: &str) -> Vec<Entry<'_>> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    for (index, line) in page.lines().enumerate() {
        if line == NOT_KEPT {
            break;
        }
        if let Some(heading) = line.strip_prefix("### ") {
            let number = heading.split(':').next().unwrap_or_default();
            entries.push(Entry { number, line: index + 1, fields: Vec::new() });
        }
        let field = line.strip_prefix("- ").and_then(|item| item.split_once(": "));
        if let (Some((name, text)), Some(entry)) = (field, entries.last_mut()) {
            entry.fields.push((index + 1, name, text.trim()));
        }
    }
    entries
}

/// The rules that the page says are not kept: the line of each, its number, and what is said of it.
fn not_kept(page: &str) -> Vec<(usize, &str, &str)> {
    let lines = page.lines().enumerate().skip_while(|(_, line)| *line != NOT_KEPT);
    let items = lines.filter_map(|(index, line)| {
        let item = line.strip_prefix("- **")?;
        let end = item.find(|c: char| !c.is_ascii_alphanumeric())?;
        Some((index + 1, &item[..end], &item[end..]))
    });
    items.collect()
}

fn is_core(path: &str) -> bool {
    let inner = path.strip_prefix("crates/").and_then(|path| path.split_once('/'));
    inner.is_some_and(|(name, _)| CORES.contains(&name)) && path.ends_with(".rs")
}

/// The numbers of rules in the comments of Rust code, with their lines.
fn mentions(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let comments = text.lines().enumerate().filter_map(|(index, line)| {
        let begin = line.find("//")?;
        Some((index + 1, &line[begin..]))
    });
    comments.flat_map(|(line, comment)| {
        let words = comment.split(|c: char| !c.is_alphanumeric() && c != '_');
        words.filter(|word| is_number(word)).map(move |word| (line, word))
    })
}

/// Whether a word is the number of a rule: `P3`, `X5a`, `X10`.
fn is_number(word: &str) -> bool {
    let Some(rest) = word.strip_prefix(|c| FAMILIES.contains(c)) else { return false };
    let digits = rest.trim_end_matches(['a', 'b', 'c', 'd']);
    let letters = rest.len() - digits.len();
    (1..=2).contains(&digits.len()) && letters <= 1 && digits.chars().all(|c| c.is_ascii_digit())
}
