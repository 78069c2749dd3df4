//! A verdict as text.

use std::fmt::Write as _;

use super::{identity, stamps, summary};
use crate::{Anomaly, Verdict};

impl Verdict {
    /// The whole verdict, for a terminal.
    pub fn render_text(&self) -> String {
        let mut text = format!("{}\n{}\n", self.headline(), summary(&self.stats));
        let (shown, _) = self.shown();
        for (at, anomaly) in shown.iter().enumerate() {
            text.push('\n');
            self.anomaly(at + 1, anomaly, &mut text);
        }
        if let Some(besides) = self.besides(shown) {
            writeln!(text, "\nnot shown: {besides}").expect("strings take everything");
        }
        if !self.notes.is_empty() || !self.skipped.is_empty() {
            text.push('\n');
        }
        for passed_over in self.passed_over() {
            writeln!(text, "skipped: {passed_over}").expect("strings take everything");
        }
        for note in &self.notes {
            writeln!(text, "note: {note}").expect("strings take everything");
        }
        text
    }

    fn anomaly(&self, number: usize, anomaly: &Anomaly, text: &mut String) {
        let allowed = if anomaly.forbidden {
            String::new()
        } else {
            format!(", which {} allows", self.model)
        };
        writeln!(
            text,
            "{number}. {}: {}{allowed}\n   {}",
            anomaly.name(),
            anomaly.kind.meaning(),
            anomaly.explanation
        )
        .expect("strings take everything");
        for (at, op) in anomaly.witness.ops.iter().enumerate() {
            let name = format!("T{}", at + 1);
            writeln!(text, "   {name:<4}{} ({})", self.span(op), identity(op))
                .expect("strings take everything");
            writeln!(text, "       {}", op.text).expect("strings take everything");
            for extra in stamps(op).into_iter().chain(op.note.clone()) {
                writeln!(text, "       {extra}").expect("strings take everything");
            }
        }
        let label = |label: &str| label.chars().count();
        let widest = anomaly.witness.edges.iter().map(|edge| label(&edge.label)).max().unwrap_or(0);
        for edge in &anomaly.witness.edges {
            writeln!(
                text,
                "   T{} -> T{}  {:<widest$}  {}",
                edge.from + 1,
                edge.to + 1,
                edge.label,
                edge.because
            )
            .expect("strings take everything");
        }
    }
}
