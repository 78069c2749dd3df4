//! Timelines drawn: as text for a terminal, as a page, and as files for other tools.

mod chrome;
mod html;
mod otlp;
mod text;

use keys::NodeId;

use crate::{Record, Timeline};

pub use chrome::chrome;
pub use html::html;
pub use otlp::otlp;
pub use text::{WIDTH, text};

/// The forms a trace can be had in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Lines for a terminal of [`WIDTH`] columns.
    Text,
    /// One page, with nothing to load.
    Html,
    /// The JSON of Chrome's `about:tracing`, which Perfetto reads too.
    Chrome,
    /// OpenTelemetry's traces as JSON (OTLP).
    Otlp,
}

impl Form {
    /// All forms.
    pub const ALL: [Form; 4] = [Form::Text, Form::Html, Form::Chrome, Form::Otlp];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Form::Text => "text",
            Form::Html => "html",
            Form::Chrome => "chrome",
            Form::Otlp => "otlp",
        }
    }

    /// The form of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Form> {
        Form::ALL.into_iter().find(|form| form.name().eq_ignore_ascii_case(name))
    }

    /// The timeline in this form.
    #[must_use]
    pub fn render(self, timeline: &Timeline) -> String {
        match self {
            Form::Text => text(timeline),
            Form::Html => html(timeline),
            Form::Chrome => chrome(timeline),
            Form::Otlp => otlp(timeline),
        }
    }
}

/// What one node did.
#[derive(Debug)]
pub(crate) struct Lane<'a> {
    /// The node.
    pub node: NodeId,
    /// Its spans with their depths, parts behind their wholes.
    pub spans: Vec<(usize, &'a Record)>,
}

/// One lane per node: the gateway's first, then region by region, each in the order in which they
/// came into it.
pub(crate) fn lanes(timeline: &Timeline) -> Vec<Lane<'_>> {
    let mut nodes: Vec<NodeId> = Vec::new();
    let root = timeline.root().map(|root| root.id.node);
    for node in root.into_iter().chain(timeline.spans.iter().map(|span| span.id.node)) {
        if !nodes.contains(&node) {
            nodes.push(node);
        }
    }
    let mut regions: Vec<&str> = Vec::new();
    for node in &nodes {
        let region = timeline.region(*node);
        if !regions.contains(&region) {
            regions.push(region);
        }
    }
    let place = |node: &NodeId| regions.iter().position(|region| *region == timeline.region(*node));
    nodes.sort_by_key(place);
    nodes.into_iter().map(|node| lane(timeline, node)).collect()
}

fn lane(timeline: &Timeline, node: NodeId) -> Lane<'_> {
    let here: Vec<&Record> = timeline.spans.iter().filter(|span| span.id.node == node).collect();
    let mut lane = Lane { node, spans: Vec::new() };
    let is_here = |id| here.iter().any(|span| span.id == id);
    for span in &here {
        if !span.parent.is_some_and(is_here) {
            below(&here, span, 0, &mut lane.spans);
        }
    }
    lane
}

/// Deeper parts than this are drawn beside their wholes: parents that go in circles end here.
const MAX_DEPTH: usize = 8;

fn below<'a>(
    here: &[&'a Record],
    span: &'a Record,
    depth: usize,
    into: &mut Vec<(usize, &'a Record)>,
) {
    into.push((depth, span));
    if depth < MAX_DEPTH {
        for part in here.iter().filter(|part| part.parent == Some(span.id)) {
            below(here, part, depth + 1, into);
        }
    }
}

/// Nanoseconds as people read them.
pub(crate) fn span_of_time(nanos: u64) -> String {
    in_unit(nanos, 3)
}

/// The same with a digit less, where there is little room.
pub(crate) fn round_time(nanos: u64) -> String {
    in_unit(nanos, 2)
}

/// With so many digits behind the point below ten, one less below a hundred, and so on.
fn in_unit(nanos: u64, digits: usize) -> String {
    let number = |unit: u64| {
        let value = nanos as f64 / unit as f64;
        let less = usize::from(value >= 10.0) + usize::from(value >= 100.0);
        format!("{value:.0$}", digits.saturating_sub(less))
    };
    match nanos {
        0 => "0".to_owned(),
        1..=999_999 => format!("{} µs", number(1_000)),
        1_000_000..=9_999_999_999 => format!("{} ms", number(1_000_000)),
        _ => format!("{} s", number(1_000_000_000)),
    }
}
