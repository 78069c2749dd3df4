//! `SHOW TRACE`: the timeline of a transaction, from all nodes that took part in it.

use std::{sync::Arc, time::Duration};

use expr::{Datum, SqlError, SqlState, Type};
use timer::{Instant, sleep};
use trace::{Record, Timeline, TraceId};

use super::{number, table_of};
use crate::{
    database::Database,
    parse::ShowTrace,
    session::{ResultColumn, Row, Session},
};

/// How long a trace may take to come to its end before it is shown as it is: what goes on behind an
/// answer is part of it.
const PATIENCE: Duration = Duration::from_secs(2);
/// So long after the last that was heard of, nothing more is on its way: longer than half a round
/// trip around the world and a sync.
const QUIET: Duration = Duration::from_millis(300);
/// How often it is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(40);
/// What a statement's text takes in a list of traces, in characters.
const LIST_TEXT: usize = 60;

/// The columns of `SHOW TRACE`.
pub fn columns(what: &ShowTrace) -> Arc<[ResultColumn]> {
    const T: Type = Type::Text;
    const I: Type = Type::Int8;
    if let Some(form) = what.form {
        return table_of(&[(form.name(), T)]);
    }
    table_of(&[
        ("node_id", I),
        ("region", T),
        ("kind", T),
        ("name", T),
        ("begin_ms", Type::Float8),
        ("duration_ms", Type::Float8),
        ("epsilon_ms", Type::Float8),
        ("clock_offset_ms", Type::Float8),
        ("notes", T),
        ("span_id", T),
        ("parent_id", T),
        ("begin_nanos", I),
        ("end_nanos", I),
    ])
}

/// The columns of `SHOW TRACES`.
pub fn list_columns() -> Arc<[ResultColumn]> {
    table_of(&[
        ("trace_id", Type::Text),
        ("begin", Type::TimestampTz),
        ("duration_ms", Type::Float8),
        ("name", Type::Text),
        ("answer", Type::Text),
    ])
}

/// `SHOW TRACE`.
pub async fn rows(session: &Session, what: &ShowTrace) -> Result<Vec<Row>, SqlError> {
    let database = session.database();
    let Some(id) = what.id.or(session.last_trace()) else {
        return Err(unknown("this session has no traced transaction yet").with_hint(
            "With SET trace = on, those that begin then are traced; schema changes are not. SHOW \
             TRACES lists those of all sessions of this node.",
        ));
    };
    let timeline = settled(database, id).await;
    if timeline.spans.is_empty() {
        return Err(unknown(&format!("no node knows trace {id}")).with_hint(
            "SHOW TRACES lists those that began at this node; older ones are forgotten.",
        ));
    }
    Ok(match what.form {
        Some(trace::render::Form::Text) => {
            let text = trace::render::text(&timeline);
            text.lines().map(|line| vec![Datum::text(line)]).collect()
        }
        Some(form) => vec![vec![Datum::text(form.render(&timeline))]],
        None => timeline.spans.iter().map(|span| row(&timeline, span)).collect(),
    })
}

/// The trace once all of it is over, or when that takes too long.
async fn settled(database: &Database, id: TraceId) -> Timeline {
    let until = Instant::now() + PATIENCE;
    loop {
        let timeline = database.0.cluster.timeline(id).await;
        let now = database.0.tracer.stamp().nanos();
        let quiet = u64::try_from(QUIET.as_nanos()).expect("it is short");
        let over = !timeline.is_open() && now >= timeline.end() + quiet;
        if over || timeline.spans.is_empty() || Instant::now() >= until {
            return timeline;
        }
        sleep(LOOK_EVERY).await;
    }
}

fn row(timeline: &Timeline, span: &Record) -> Row {
    let ms = |nanos: u64| Datum::Float(nanos as f64 / 1e6);
    let name = |id: trace::SpanId| format!("{}.{}", id.node.0, id.number);
    let notes: Vec<String> =
        span.notes.iter().map(|(name, value)| format!("{name}={value}")).collect();
    vec![
        number(span.id.node.0),
        Datum::text(timeline.region(span.id.node)),
        Datum::text(span.kind.name()),
        Datum::text(&span.name),
        ms(span.begin.nanos() - timeline.begin()),
        span.nanos().map_or(Datum::Null, ms),
        Datum::Float(span.begin.interval.epsilon().as_secs_f64() * 1e3),
        span.begin.offset_nanos().map_or(Datum::Null, |nanos| Datum::Float(nanos as f64 / 1e6)),
        Datum::text(notes.join(" ")),
        Datum::text(name(span.id)),
        span.parent.map_or(Datum::Null, |parent| Datum::text(name(parent))),
        number(span.begin.nanos()),
        span.end.map_or(Datum::Null, |end| number(end.nanos())),
    ]
}

/// `SHOW TRACES`: those that began at this node, newest first.
pub fn list(database: &Database) -> Vec<Row> {
    let traces = database.0.cluster.traces().into_iter();
    let row = |summary: trace::Summary| {
        let root = &summary.root;
        let begin = expr::datetime::from_unix_nanos(root.begin.nanos());
        let text = |note: Option<&str>| note.map_or(Datum::Null, Datum::text);
        vec![
            Datum::text(summary.id.to_string()),
            Datum::TimestampTz(begin),
            root.nanos().map_or(Datum::Null, |nanos| Datum::Float(nanos as f64 / 1e6)),
            Datum::text(root.name.chars().take(LIST_TEXT).collect::<String>()),
            text(root.note("answer").or(root.note("error"))),
        ]
    };
    traces.map(row).collect()
}

/// `42704`.
fn unknown(what: &str) -> SqlError {
    SqlError::new(SqlState::UNDEFINED_OBJECT, what)
}
