//! Line editing: prompt, history, completion, and knowing when a statement is not finished.

use std::{borrow::Cow, path::PathBuf};

use reedline::{
    ColumnarMenu, Completer, CompletionResult, Emacs, FileBackedHistory, KeyCode, KeyModifiers,
    MenuBuilder, Prompt, PromptEditMode, PromptHistorySearch, Reedline, ReedlineEvent,
    ReedlineMenu, Span, Suggestion, ValidationResult, Validator, default_emacs_keybindings,
};

use crate::{
    client::{Client, Place},
    complete::complete,
    console, lines,
    tap::Block,
    vocabulary,
};

/// Lines kept in the history file.
const HISTORY_LINES: usize = 2000;

/// What stands before the line, also while a menu is open: the editor would put a bar there, and leave
/// it where Ctrl-C drops the line.
const INDICATOR: &str = "> ";

/// The line editor. A history that cannot be kept is told, and is no reason to stop.
pub fn editor(words: vocabulary::Shared) -> Reedline {
    let mut keys = default_emacs_keybindings();
    let complete = ReedlineEvent::UntilFound(vec![
        ReedlineEvent::Menu("completion".into()),
        ReedlineEvent::MenuNext,
    ]);
    keys.add_binding(KeyModifiers::NONE, KeyCode::Tab, complete);
    let menu = ColumnarMenu::default().with_name("completion").with_marker(INDICATOR);
    let editor = Reedline::create()
        .with_validator(Box::new(Finished))
        .with_completer(Box::new(Words(words)))
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(menu)))
        .with_quick_completions(true)
        .with_partial_completions(true)
        .with_edit_mode(Box::new(Emacs::new(keys)));
    let Some(file) = history_file() else { return editor };
    match FileBackedHistory::with_file(HISTORY_LINES, file.clone()) {
        Ok(history) => editor.with_history(Box::new(history)),
        Err(error) => {
            console::tell(&format!("{}: {error}; no history is kept", file.display()));
            editor
        }
    }
}

fn history_file() -> Option<PathBuf> {
    let home = std::env::var_os("HOME")?;
    Some(PathBuf::from(home).join(".meridian_history"))
}

struct Finished;

impl Validator for Finished {
    fn validate(&self, line: &str) -> ValidationResult {
        match lines::is_finished(line) {
            true => ValidationResult::Complete,
            false => ValidationResult::Incomplete,
        }
    }
}

struct Words(vocabulary::Shared);

impl Completer for Words {
    fn complete(&mut self, line: &str, position: usize) -> CompletionResult {
        let found = complete(&line[..position], &self.0.get());
        let suggestion = |value: String| Suggestion {
            // `rtt=` and `CALL meridian_internal.` go on without a blank.
            append_whitespace: !value.ends_with(['=', '.']),
            value,
            span: Span::new(found.start, position),
            ..Suggestion::default()
        };
        CompletionResult::fresh(found.values.into_iter().map(suggestion).collect::<Vec<_>>())
    }
}

/// `n1 us-east> `: the node, its region, and the state of the transaction as psql shows it: `*` in a
/// block, `!` in one that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShellPrompt {
    left: String,
}

impl ShellPrompt {
    /// For the next statement on a connection.
    pub fn of(client: &Client) -> ShellPrompt {
        let block = (!client.is_closed()).then(|| client.block());
        ShellPrompt { left: left(client.place(), block) }
    }
}

/// Without a block there is no connection.
fn left(place: Option<&Place>, block: Option<Block>) -> String {
    let Some(block) = block else { return "not connected".to_owned() };
    let name = match place {
        Some(Place { node, region }) => format!("n{node} {region}"),
        None => "meridian".to_owned(),
    };
    let mark = match block {
        Block::Idle => "",
        Block::Open => "*",
        Block::Failed => "!",
    };
    name + mark
}

impl Prompt for ShellPrompt {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        self.left.as_str().into()
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        "".into()
    }

    fn render_prompt_indicator(&self, _mode: PromptEditMode) -> Cow<'_, str> {
        INDICATOR.into()
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        let width = self.left.chars().count();
        format!("{:>width$}> ", "-").into()
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        format!("(history: {}) ", search.term).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prompt_tells_where_and_in_what_state() {
        let place = Place { node: "4".into(), region: "us-west".into() };
        for (place, block, expected) in [
            (Some(&place), Some(Block::Idle), "n4 us-west"),
            (Some(&place), Some(Block::Open), "n4 us-west*"),
            (Some(&place), Some(Block::Failed), "n4 us-west!"),
            (Some(&place), None, "not connected"),
            (None, Some(Block::Open), "meridian*"),
        ] {
            assert_eq!(left(place, block), expected);
        }
        let prompt = ShellPrompt { left: "n4 us-west*".to_owned() };
        assert_eq!(prompt.render_prompt_multiline_indicator(), "          -> ");
    }
}
