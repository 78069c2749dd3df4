//! What is kept, what is drawn, and that nothing is done where nobody traces.

use std::{
    collections::BTreeMap, future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration,
};

use clock::{ManualTicker, Offset, SwitchableClock, TrueTime, Uncertainty};
use keys::NodeId;
use tracing_subscriber::layer::SubscriberExt;
use unicode_width::UnicodeWidthStr;

use crate::{
    Collector, Kind, MAX_SPANS, MAX_TRACES, Record, Span, Timeline, TraceId, Tracer, axis::Axis,
    context, render::Form, span, within,
};

/// When the ticker reads zero: a round moment of 2026.
const ORIGIN: u64 = 1_767_225_600_000_000_000;

/// Two nodes by one true time, ε = 4 ms, and somebody who listens.
struct Stage {
    ticker: Arc<ManualTicker>,
    nodes: [Arc<Tracer>; 2],
    collector: Collector,
}

impl Stage {
    fn new() -> Stage {
        let ticker = ManualTicker::new();
        let time = TrueTime::new(ORIGIN, ticker.clone());
        let epsilon = Uncertainty::fixed(Duration::from_millis(4)).expect("it is small");
        let tracer = |node: u32| {
            let clock =
                SwitchableClock::simulated(time.clone(), epsilon, Offset::Centered, node.into());
            Tracer::new(NodeId(node), Arc::new(clock), 1)
        };
        Stage { nodes: [tracer(1), tracer(2)], collector: Collector::default(), ticker }
    }

    fn pass(&self, millis: u64) {
        self.ticker.advance(Duration::from_millis(millis));
    }

    fn listening<T>(&self, story: impl FnOnce(&Stage) -> T) -> T {
        let subscriber = tracing_subscriber::registry().with(self.collector.layer());
        tracing::subscriber::with_default(subscriber, || story(self))
    }

    fn timeline(&self, id: TraceId) -> Timeline {
        let regions = [(NodeId(1), "us-east".to_owned()), (NodeId(2), "us-west".to_owned())];
        let mut spans = Vec::new();
        let mut lost = 0;
        for tracer in &self.nodes {
            let told = self.collector.of_node(id, tracer.node());
            let (records, forgotten) = told.unwrap_or_default();
            spans.extend(records);
            lost = forgotten.max(lost);
        }
        Timeline::new(id, spans, lost, BTreeMap::from(regions))
    }
}

const ID: TraceId = TraceId(0x0123_4567_89ab_cdef_0011_2233_4455_6677);

/// A client thinks for ten seconds between its statements; a commit waits at another node.
fn story(stage: &Stage) -> Timeline {
    stage.listening(|stage| {
        let [gateway, leader] = &stage.nodes;
        let mut root = gateway.root(ID, Kind::Transaction, "transaction", None);
        let statement = root.part(Kind::Statement, || "INSERT INTO t VALUES (1, '<&>')".into());
        stage.pass(5);
        drop(statement);
        stage.pass(10_000);
        let commit = root.part(Kind::Commit, || "commit".into());
        let call = commit.part(Kind::Call, || "commit r7 at n2".into());
        stage.pass(30);
        let serve = leader.child(call.context().expect("made"), Kind::Serve, "commit r7");
        let of = serve.context().expect("made");
        let mut wait = leader.child(of, Kind::CommitWait, "commit-wait");
        wait.note("s", || format!("{}.0000000000", ORIGIN + 10_039_000_000));
        stage.pass(8);
        drop((wait, serve));
        stage.pass(30);
        drop((call, commit));
        root.note("answer", || "COMMIT");
        drop(root);
        stage.timeline(ID)
    })
}

#[test]
fn what_is_told_is_kept_whole() {
    let stage = Stage::new();
    let timeline = story(&stage);
    assert_eq!(timeline.spans.len(), 6);
    assert!(!timeline.is_open());
    let root = timeline.root().expect("it began here");
    assert_eq!(root.nanos(), Some(10_073_000_000));
    assert_eq!(root.note("answer"), Some("COMMIT"));
    assert_eq!(root.begin.interval.epsilon(), Duration::from_millis(4));
    assert_eq!(root.begin.true_nanos, Some(ORIGIN));
    let serve = timeline.spans.iter().find(|span| span.kind == Kind::Serve).expect("told");
    assert_eq!((serve.id.node, serve.nanos()), (NodeId(2), Some(8_000_000)));
    assert_eq!(stage.collector.begun_on(NodeId(1)).len(), 1);
    assert!(stage.collector.begun_on(NodeId(2)).is_empty(), "it did not begin there");
}

#[test]
fn a_span_under_way_is_seen() {
    let stage = Stage::new();
    stage.listening(|stage| {
        let root = stage.nodes[0].root(ID, Kind::Statement, "SELECT 1", None);
        let timeline = stage.timeline(ID);
        assert!(timeline.is_open() && timeline.spans.len() == 1, "{timeline:?}");
        assert!(crate::render::text(&timeline).contains("(not over)"));
        drop(root);
        assert!(!stage.timeline(ID).is_open());
    });
}

#[test]
fn what_is_too_much_is_forgotten_and_said() {
    let stage = Stage::new();
    stage.listening(|stage| {
        let tracer = &stage.nodes[0];
        let root = tracer.root(ID, Kind::Statement, "many", None);
        for _ in 0..MAX_SPANS {
            drop(root.part(Kind::Call, || "call".into()));
        }
        drop(root);
        let timeline = stage.timeline(ID);
        assert_eq!(timeline.spans.len(), MAX_SPANS);
        assert!(timeline.lost > 0 && !timeline.is_open());
        for id in 0..MAX_TRACES as u128 {
            drop(tracer.root(TraceId(id), Kind::Statement, "other", None));
        }
        assert!(stage.collector.of_node(ID, NodeId(1)).is_none(), "the oldest goes first");
        assert_eq!(stage.collector.begun_on(NodeId(1)).len(), MAX_TRACES);
    });
}

#[test]
fn who_is_not_traced_makes_nothing() {
    assert!(context().is_none());
    assert!(span(Kind::Call, || unreachable!("a name is made")).is_none());
    let mut none = Span::none();
    none.note("name", || -> String { unreachable!("a value is made") });
    assert!(none.part(Kind::Call, || unreachable!("a name is made")).context().is_none());
}

/// Polls a future that is ready whenever it is polled a second time.
fn finish<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        assert!(context().is_none(), "a scope stayed behind");
        if let Poll::Ready(done) = future.as_mut().poll(&mut cx) {
            return done;
        }
    }
}

#[test]
fn a_task_knows_what_it_works_for_and_no_other_does() {
    let stage = Stage::new();
    stage.listening(|stage| {
        let root = stage.nodes[0].root(ID, Kind::Statement, "SELECT 1", None);
        let mut polled = false;
        let wait = poll_fn(move |_| {
            if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }
        });
        let inner = finish(within(
            &root,
            pin!(async {
                wait.await;
                let child = span(Kind::Operation, || "scan".into());
                assert_eq!(within(&child, pin!(async { context() })).await, child.context());
                context()
            }),
        ));
        assert_eq!(inner, root.context(), "the inner span has ended");
        assert_eq!(context(), None, "so has the outer one");
        assert_eq!(finish(within(&Span::none(), pin!(async { context() }))), None);
    });
}

#[test]
fn a_quiet_stretch_is_cut() {
    let timeline = story(&Stage::new());
    let axis = Axis::new(&timeline);
    let cuts: Vec<_> = axis.stretches().iter().filter(|stretch| stretch.cut).collect();
    assert_eq!(cuts.len(), 1);
    assert_eq!((cuts[0].from, cuts[0].to), (5_000_000, 10_005_000_000));
    let at = |nanos| axis.place(ORIGIN + nanos);
    assert!(at(10_005_000_000) - at(5_000_000) < 0.05, "ten seconds take little room");
    assert!((at(10_073_000_000) - 1.0).abs() < 1e-9 && at(0).abs() < 1e-9);
    let places: Vec<f64> = (0..10_073).map(|ms| at(ms * 1_000_000)).collect();
    assert!(places.is_sorted(), "time goes to the right");
}

#[test]
fn each_form_is_drawn_as_before() {
    let timeline = story(&Stage::new());
    for (form, kept) in [
        (Form::Text, include_str!("golden/story.txt")),
        (Form::Html, include_str!("golden/story.html")),
        (Form::Chrome, include_str!("golden/story.chrome.json")),
        (Form::Otlp, include_str!("golden/story.otlp.json")),
    ] {
        let drawn = form.render(&timeline);
        if std::env::var_os("UPDATE_GOLDENFILES").is_some() {
            let name = match form {
                Form::Text => "story.txt",
                Form::Html => "story.html",
                Form::Chrome => "story.chrome.json",
                Form::Otlp => "story.otlp.json",
            };
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/golden");
            std::fs::write(folder.join(name), &drawn).expect("the drawing is kept");
        } else {
            assert_eq!(drawn, kept, "UPDATE_GOLDENFILES=1 draws {} anew", form.name());
        }
    }
}

#[test]
fn a_page_loads_nothing_and_escapes_what_clients_say() {
    let page = Form::Html.render(&story(&Stage::new()));
    for loaded in ["http:", "https:", "src=", "href=", "url(", "@import", "<script"] {
        assert!(!page.contains(loaded), "the page has {loaded}");
    }
    assert!(page.contains("&lt;&amp;&gt;") && !page.contains("<&>"));
}

#[test]
fn exports_are_json_that_tools_understand() {
    let timeline = story(&Stage::new());
    let read = |form: Form| -> serde_json::Value {
        serde_json::from_str(&form.render(&timeline)).expect("it is JSON")
    };
    let chrome = read(Form::Chrome);
    let events = chrome["traceEvents"].as_array().expect("a list");
    let count = |phase: &str| events.iter().filter(|event| event["ph"] == phase).count();
    assert_eq!((count("X"), count("s"), count("f")), (6, 1, 1));
    let otlp = read(Form::Otlp);
    let resources = otlp["resourceSpans"].as_array().expect("a list");
    let spans: Vec<&serde_json::Value> = resources
        .iter()
        .flat_map(|node| node["scopeSpans"][0]["spans"].as_array().expect("a list"))
        .collect();
    assert_eq!((resources.len(), spans.len()), (2, 6));
    for span in &spans {
        assert_eq!(span["traceId"], ID.to_string());
        let parent = &span["parentSpanId"];
        let known = parent.is_null() || spans.iter().any(|other| other["spanId"] == *parent);
        assert!(known, "{span} has no parent");
    }
}

#[test]
fn lines_fit_a_terminal_whatever_statements_say() {
    let stage = Stage::new();
    let timeline = stage.listening(|stage| {
        let long = "SELECT\n\t'日本語' ".repeat(50);
        let mut root = stage.nodes[0].root(ID, Kind::Statement, long.clone(), None);
        root.note("error", || long);
        stage.pass(3);
        drop(root);
        stage.timeline(ID)
    });
    let drawn = crate::render::text(&timeline);
    assert!(drawn.contains("× ended with an error"), "{drawn}");
    for line in drawn.lines() {
        assert!(line.width() <= crate::render::WIDTH, "too wide: {line}");
    }
}

#[test]
fn an_id_is_read_as_it_is_written() {
    assert_eq!(ID.to_string().parse(), Ok(ID));
    for wrong in ["", "123", "0123456789abcdef001122334455667g", "+123456789abcdef0011223344556677"]
    {
        assert!(wrong.parse::<TraceId>().is_err(), "{wrong}");
    }
}

/// Where clocks are all there is, an effect may seem to come before its cause; nothing breaks.
#[test]
fn clocks_that_disagree_are_drawn() {
    let timeline = story(&Stage::new());
    let mut spans: Vec<Record> = timeline.spans.clone();
    for span in spans.iter_mut().filter(|span| span.id.node == NodeId(2)) {
        let shift = |stamp: &mut crate::Stamp| {
            stamp.true_nanos = None;
            stamp.interval.earliest -= 50_000_000;
            stamp.interval.latest -= 50_000_000;
        };
        shift(&mut span.begin);
        span.end.iter_mut().for_each(shift);
    }
    let skewed = Timeline::new(ID, spans, 0, timeline.regions.clone());
    for form in Form::ALL {
        assert!(!form.render(&skewed).is_empty());
    }
}
