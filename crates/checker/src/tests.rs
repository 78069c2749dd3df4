//! Histories written by hand for every anomaly, and random ones against the naive checker.

mod random;

use crate::{
    History, Kind, MAX_WITNESSES, MicroOp, Model, Nanos, Operation, Options, SHOWN_WITNESSES,
    Validity, Value, check, load, testing::Script, to_edn, to_json_lines,
};

#[test]
fn scripts() {
    let entries = std::fs::read_dir("testscripts").expect("the directory is there");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    assert!(paths.len() > 30);
    for path in paths {
        if let Err(error) = goldenscript::run(&mut Script::default(), &path) {
            panic!("{}: {error}", path.display());
        }
    }
}

/// Every anomaly has a script that shows it: a judgement that can never fail would be none.
#[test]
fn every_anomaly_is_shown_by_a_script() {
    let entries = std::fs::read_dir("testscripts").expect("the directory is there");
    let mut all = String::new();
    for entry in entries {
        let path = entry.expect("readable").path();
        all.push_str(&std::fs::read_to_string(path).expect("a text"));
    }
    for kind in Kind::ALL {
        assert!(all.contains(&format!(". {}", kind.name())), "nothing shows {}", kind.name());
    }
    for name in ["G0-realtime", "G1c-realtime", "G-single-realtime", "G2-item-realtime"] {
        assert!(all.contains(name), "nothing shows {name}");
    }
    assert!(all.contains("G-single-process"));
}

/// Transaction `n` reads a list and appends `n` to it, one after the other.
fn serial(count: u64) -> History {
    let mut history = History::default();
    let key = Value::from("x");
    for n in 0..count {
        let values = Some((0..n as i64).map(Value::Int).collect());
        let steps = vec![
            MicroOp::ReadList { key: key.clone(), values },
            MicroOp::Append { key: key.clone(), value: Value::Int(n as i64) },
        ];
        history.ops.push(Operation::txn(n, n % 3, (Nanos(n * 10), Nanos(n * 10 + 5)), steps));
    }
    history
}

#[test]
fn few_of_many_witnesses_are_shown_and_the_others_counted() {
    let mut history = serial(20);
    for op in &mut history.ops[10..] {
        op.action = crate::Action::Txn(vec![MicroOp::ReadList {
            key: Value::from("x"),
            values: Some(vec![Value::Int(77)]),
        }]);
    }
    let verdict = check(&history, Model::ReadCommitted, Options::default());
    let unwritten = verdict.anomalies.iter().filter(|a| a.kind == Kind::Unwritten).count();
    assert_eq!(unwritten, MAX_WITNESSES);
    assert_eq!(verdict.found["unwritten-value"], MAX_WITNESSES + 6);
    let (told, page) = (verdict.render_text(), verdict.render_html());
    let numbered = (1..9).filter(|number| told.contains(&format!("\n{number}. "))).count();
    assert_eq!(numbered, SHOWN_WITNESSES, "{told}");
    assert!(told.contains("not shown: ") && told.contains("8 more of unwritten-value"), "{told}");
    assert!(page.contains("<details><summary>5 more witnesses"), "{page}");
    assert!(page.contains("Found and not drawn: ") && page.contains("6 more of unwritten-value"));
}

#[test]
fn formats_carry_all_that_matters() {
    let history = serial(6);
    let text = to_json_lines(&history);
    assert_eq!(load(text.as_bytes(), None), Ok(history.clone()));
    let from_edn = load(to_edn(&history).as_bytes(), None).expect("our own EDN");
    for (ours, theirs) in history.ops.iter().zip(&from_edn.ops) {
        assert_eq!((&ours.action, ours.invoked), (&theirs.action, theirs.invoked));
        assert_eq!((ours.process, ours.completed), (theirs.process, theirs.completed));
    }
}

#[test]
fn pages_are_whole_and_escape_what_they_show() {
    let mut script = Script::default();
    let ops = [("<b>&", 0), ("<b>&", 20)];
    for (at, (key, begin)) in ops.into_iter().enumerate() {
        let key = Value::from(key);
        let step = match at {
            0 => MicroOp::Append { key, value: Value::Int(1) },
            _ => MicroOp::ReadList { key, values: Some(Vec::new()) },
        };
        let times = (Nanos(begin), Nanos(begin + 10));
        script.0.ops.push(Operation::txn(at as u64, at as u64, times, vec![step]));
    }
    let verdict = check(&script.0, Model::StrictSerializable, Options::default());
    assert_eq!((verdict.valid, verdict.exit_code()), (Validity::No, 1));
    let page = verdict.render_html();
    assert!(page.contains("<svg") && page.contains("rw &lt;b&gt;&amp;") && !page.contains("<b>"));
    assert_eq!(page.matches("<g>").count(), 6, "two lanes, two bars, two arrows");
    assert!(!page.contains("<script") && !page.contains("src="));
}

#[test]
fn an_empty_history_shows_nothing() {
    for model in Model::ALL {
        let verdict = check(&History::default(), model, Options::default());
        assert_eq!((verdict.valid, verdict.exit_code()), (Validity::Undecided, 3));
    }
}
