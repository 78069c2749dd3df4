//! Line editing: prompt, history, completion, and knowing when a statement is not finished.

use std::{borrow::Cow, collections::BTreeSet, path::PathBuf};

use reedline::{
    ColumnarMenu, Completer, CompletionResult, Emacs, FileBackedHistory, KeyCode, KeyModifiers,
    MenuBuilder, Prompt, PromptEditMode, PromptHistorySearch, Reedline, ReedlineEvent,
    ReedlineMenu, Span, Suggestion, ValidationResult, Validator, default_emacs_keybindings,
};

use crate::{knobs, lines, meta};

/// Lines kept in the history file.
const HISTORY_LINES: usize = 2000;

/// Words offered for completion beside table names and backslash commands.
const WORDS: &[&str] = &[
    "ALTER TABLE",
    "AS OF SYSTEM TIME",
    "BEGIN",
    "CHECK ALL TABLES",
    "CHECK TABLE",
    "COMMIT",
    "CREATE INDEX",
    "CREATE TABLE",
    "DELETE FROM",
    "DISTINCT",
    "DROP INDEX",
    "DROP TABLE",
    "EXPLAIN",
    "FOR UPDATE",
    "FROM",
    "GROUP BY",
    "HAVING",
    "INSERT INTO",
    "ISOLATION LEVEL",
    "JOIN",
    "LEFT JOIN",
    "LIMIT",
    "ON CONFLICT",
    "ORDER BY",
    "PRIMARY KEY",
    "READ ONLY",
    "REPEATABLE READ",
    "RETURNING",
    "ROLLBACK",
    "SAVEPOINT",
    "SELECT",
    "SERIALIZABLE",
    "SET",
    "SHOW",
    "SHOW CLOCKS",
    "SHOW COMMIT STATS",
    "SHOW NODES",
    "SHOW RANGES FROM TABLE",
    "SHOW REGIONS",
    "SHOW TABLES",
    "SPLIT AT VALUES",
    "TRUNCATE",
    "UPDATE",
    "VALUES",
    "WHERE",
];

/// The line editor.
///
/// # Errors
/// If the history file cannot be opened.
pub fn editor(tables: Vec<String>) -> anyhow::Result<Reedline> {
    let mut keys = default_emacs_keybindings();
    let complete = ReedlineEvent::UntilFound(vec![
        ReedlineEvent::Menu("completion".into()),
        ReedlineEvent::MenuNext,
    ]);
    keys.add_binding(KeyModifiers::NONE, KeyCode::Tab, complete);
    let menu = ColumnarMenu::default().with_name("completion");
    let mut editor = Reedline::create()
        .with_validator(Box::new(Finished))
        .with_completer(Box::new(Words { tables }))
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(menu)))
        .with_edit_mode(Box::new(Emacs::new(keys)));
    if let Some(file) = history_file() {
        let history = FileBackedHistory::with_file(HISTORY_LINES, file)?;
        editor = editor.with_history(Box::new(history));
    }
    Ok(editor)
}

fn history_file() -> Option<PathBuf> {
    let home = std::env::var_os("HOME")?;
    Some(PathBuf::from(home).join(".meridian_history"))
}

struct Finished;

impl Validator for Finished {
    fn validate(&self, line: &str) -> ValidationResult {
        let (_, rest) = lines::split(line);
        if lines::is_blank(&rest) {
            ValidationResult::Complete
        } else {
            ValidationResult::Incomplete
        }
    }
}

struct Words {
    tables: Vec<String>,
}

impl Completer for Words {
    fn complete(&mut self, line: &str, position: usize) -> CompletionResult {
        let head = &line[..position];
        let start = head.rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == '\\'));
        let start = start.map_or(0, |at| at + head[at..].chars().next().map_or(1, char::len_utf8));
        let word = &head[start..];
        if word.is_empty() {
            return CompletionResult::fresh(Vec::new());
        }
        let commands = meta::COMMANDS.iter().chain(knobs::COMMANDS);
        // Several lines of the help may be about one command.
        let commands: BTreeSet<&str> =
            commands.map(|(name, _)| name.split(' ').next().unwrap_or(name)).collect();
        let lower = word.to_lowercase();
        let candidates = commands
            .into_iter()
            .chain(WORDS.iter().copied())
            .chain(self.tables.iter().map(String::as_str));
        let found = candidates
            .filter(|candidate| candidate.to_lowercase().starts_with(&lower))
            .map(|candidate| Suggestion {
                value: candidate.to_owned(),
                span: Span::new(start, position),
                append_whitespace: true,
                ..Suggestion::default()
            })
            .collect::<Vec<_>>();
        CompletionResult::fresh(found)
    }
}

/// `meridian> `, and what the transaction's state adds to it.
pub struct ShellPrompt;

impl Prompt for ShellPrompt {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        "meridian".into()
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        "".into()
    }

    fn render_prompt_indicator(&self, _mode: PromptEditMode) -> Cow<'_, str> {
        "> ".into()
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        "      -> ".into()
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        format!("(history: {}) ", search.term).into()
    }
}
