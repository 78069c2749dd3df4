//! The read set: which spans a serializable transaction has read, for validation at commit (X1).
//!
//! Spans, not rows: a row that appears later in a span that was read empty is a conflict too.
//! The set is kept sorted and without overlaps. It never forgets: above its limit neighbours are
//! merged into one wider span, those first whose gap is narrowest (the longest common prefix of the
//! gap's two ends). A wider span can only find more conflicts, never fewer.

use std::collections::BTreeMap;

use keys::{Key, Span};

/// A span at least as wide whose ends have at most `most` bytes: ranges validate no others, and what
/// was looked for may be longer than any key there can be. The end of a key that is just as long as
/// a key may be is a byte longer itself. Only ends of 0xff throughout have no such successor; a
/// key begins with its table.
pub(crate) fn shortened(span: Span, most: usize) -> Span {
    let cut = |key: Key| if key.len() > most { Key(key.0.slice(..most)) } else { key };
    let end = if span.end.len() > most { cut(span.end).prefix_end() } else { span.end };
    Span { start: cut(span.start), end }
}

/// Spans read at one snapshot.
#[derive(Debug, Default)]
pub(crate) struct ReadSet {
    /// Start -> end. No two overlap or touch.
    spans: BTreeMap<Key, Key>,
}

impl ReadSet {
    /// Adds a span; at most `limit` spans are kept.
    pub fn add(&mut self, span: Span, limit: usize) {
        if span.is_empty() {
            return;
        }
        let Span { mut start, mut end } = span;
        while let Some((from, to)) = self.spans.range::<Key, _>(..=&end).next_back() {
            if *to < start {
                break;
            }
            end = end.max(to.clone());
            let from = from.clone();
            self.spans.remove(&from);
            start = start.min(from);
        }
        self.spans.insert(start, end);
        if self.spans.len() > limit {
            self.widen(limit / 2 + 1);
        }
    }

    /// All spans in order.
    pub fn iter(&self) -> impl Iterator<Item = Span> {
        self.spans.iter().map(|(start, end)| Span { start: start.clone(), end: end.clone() })
    }

    /// Merges neighbours until `target` spans are left.
    fn widen(&mut self, target: usize) {
        let spans: Vec<(Key, Key)> = std::mem::take(&mut self.spans).into_iter().collect();
        let gaps = spans.windows(2).map(|pair| common_prefix(&pair[0].1, &pair[1].0));
        let mut narrowest: Vec<(usize, usize)> = gaps.enumerate().map(|(i, l)| (l, i)).collect();
        narrowest.sort_unstable_by(|a, b| b.cmp(a));
        narrowest.truncate(spans.len() - target);
        let mut closed = vec![false; spans.len()];
        narrowest.into_iter().for_each(|(_, gap)| closed[gap] = true);
        let mut open: Option<Key> = None;
        for (i, (start, end)) in spans.into_iter().enumerate() {
            let start = open.take().unwrap_or(start);
            if closed[i] {
                open = Some(start);
            } else {
                self.spans.insert(start, end);
            }
        }
        assert!(open.is_none(), "there is no gap behind the last span");
        assert!(self.spans.len() == target, "{} spans, not {target}", self.spans.len());
    }
}

fn common_prefix(a: &Key, b: &Key) -> usize {
    a.iter().zip(b.iter()).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests;
