//! Reading histories: what real files look like, and what is wrong with bad ones.

use super::{Format, load, to_edn, to_json_lines};
use crate::{
    Action, Call, History, MicroOp, Model, Nanos, Operation, Options, Outcome, Stamp, TimeUnit,
    Timestamps, Validity, Value, Workload, World, check,
};

fn load_ok(text: &str) -> History {
    load(text.as_bytes(), None).expect("a history")
}

fn error(text: &str) -> String {
    load(text.as_bytes(), None).expect_err("no history").to_string()
}

#[test]
fn events_of_edn_are_paired_by_process() {
    let history = load_ok(
        "; a comment\n\
         {:type :invoke, :process 0, :f :txn, :value [[:append :x 1] [:r :y nil]], :time 10 :index 5}\n\
         {:type :invoke  :process 1  :f :txn  :value [[:r :x nil]] :time 12}\n\
         {:type :info :process :nemesis :f :kill :value {\"n1\" #{:a}}}\n\
         {:type :ok :process 1 :f :txn :value [[:r :x [1]]] :time 20}\n\
         {:type :info :process 0 :f :txn :value [[:append :x 1] [:r :y nil]] :time 30 :error :timeout}",
    );
    assert_eq!((history.world, history.time_unit), (World::Open, TimeUnit::Nanoseconds));
    let [unknown, ok] = &history.ops[..] else { panic!("two operations: {history:#?}") };
    assert_eq!((unknown.index, unknown.outcome, unknown.completed), (5, Outcome::Unknown, None));
    assert_eq!(unknown.note.as_deref(), Some("timeout"));
    let steps = vec![
        MicroOp::Append { key: "x".into(), value: Value::Int(1) },
        MicroOp::ReadList { key: "y".into(), values: None },
    ];
    assert_eq!(unknown.action, Action::Txn(steps));
    assert_eq!((ok.invoked, ok.completed), (Nanos(12), Some(Nanos(20))));
    let read = MicroOp::ReadList { key: "x".into(), values: Some(vec![Value::Int(1)]) };
    assert_eq!(ok.action, Action::Txn(vec![read]));
}

#[test]
fn a_vector_without_times_processes_and_functions_is_enough() {
    let history = load_ok(
        "[{:type :invoke :value [[:r 0 nil]]} {:type :ok, :value [[:r 0 nil]]}\n\
         {:type :invoke :value [[:w 0 1]]}]",
    );
    assert_eq!(history.time_unit, TimeUnit::Positions);
    assert_eq!(history.ops.len(), 2);
    let read = MicroOp::ReadRegister { key: Value::Int(0), value: Some(Value::Nil) };
    assert_eq!(history.ops[0].action, Action::Txn(vec![read]));
    assert_eq!(history.ops[1].outcome, Outcome::Unknown, "it never ended");
}

#[test]
fn json_events_are_the_same_events() {
    let edn = load_ok(
        "{:type :invoke :process 3 :f :txn :value [[:append 1 2]]}\n\
         {:type :ok :process 3 :f :txn :value [[:append 1 2]]}",
    );
    let json = load_ok(
        "[{\"type\":\"invoke\",\"process\":3,\"f\":\"txn\",\"value\":[[\"append\",1,2]]},\n\
         {\"type\":\"ok\",\"process\":3,\"f\":\"txn\",\"value\":[[\"append\",1,2]]}]",
    );
    assert_eq!(edn, json);
}

#[test]
fn calls_on_registers_with_and_without_keys() {
    let plain = load_ok(
        "{:type :invoke :process 0 :f :cas :value [1 2]} {:type :fail :process 0 :f :cas :value [1 2]}\
         {:type :invoke :process 0 :f :read :value nil} {:type :ok :process 0 :f :read :value nil}",
    );
    let call = Call::CompareAndSet { from: Value::Int(1), to: Value::Int(2) };
    assert_eq!(plain.ops[0].action, Action::Register { key: "register".into(), call });
    let call = Call::Read(Some(Value::Nil));
    assert_eq!(plain.ops[1].action, Action::Register { key: "register".into(), call });
    let keyed = load_ok(
        "{:type :invoke :process 0 :f :cas :value [:k [1 2]]}\
         {:type :ok :process 0 :f :cas :value [:k [1 2]]}\
         {:type :invoke :process 0 :f :read :value [:k nil]}\
         {:type :ok :process 0 :f :read :value #jepsen.independent/tuple [:k 2]}",
    );
    let call = Call::Read(Some(Value::Int(2)));
    assert_eq!(keyed.ops[1].action, Action::Register { key: "k".into(), call });
}

#[test]
fn banks_and_sets() {
    let bank = load_ok(
        "{:type :invoke :process 0 :f :read} {:type :ok :process 0 :f :read :value {0 7, 1 nil}}\
         {:type :invoke :process 0 :f :transfer :value {:from 0 :to 1 :amount 3}}\
         {:type :fail :process 0 :f :transfer :value [:negative 0 -1]}",
    );
    let balances = vec![(Value::Int(0), Some(7)), (Value::Int(1), None)];
    assert_eq!(bank.ops[0].action, Action::Balances(Some(balances)));
    let transfer = Action::Transfer { from: Value::Int(0), to: Value::Int(1), amount: 3 };
    assert_eq!((&bank.ops[1].action, bank.ops[1].workload), (&transfer, Workload::Bank));
    let set = load_ok(
        "{:type :invoke :process 0 :f :add :value 4} {:type :ok :process 0 :f :add :value 4}\
         {:type :invoke :process 0 :f :read} {:type :ok :process 0 :f :read :value #{4}}",
    );
    let read = MicroOp::ReadSet { key: "set".into(), values: Some(vec![Value::Int(4)]) };
    assert_eq!(set.ops[1].action, Action::Txn(vec![read]));
}

/// A long fork can be seen in the reads alone: who wrote is not in the file.
#[test]
fn writers_outside_of_the_file_are_inferred() {
    let history = load_ok(
        "[{:type :invoke :value [[:r 0 nil] [:r 1 nil]]} {:type :ok :value [[:r 0 7] [:r 1 nil]]}\
          {:type :invoke :value [[:r 0 nil] [:r 1 nil]]} {:type :ok :value [[:r 0 nil] [:r 1 7]]}]",
    );
    let verdict = check(&history, Model::Snapshot, Options::default());
    assert!(verdict.has("long-fork"), "{}", verdict.render_text());
}

#[test]
fn everything_survives_both_formats() {
    let list = vec![Value::Int(1), Value::from("a \"b\"\\"), Value::from(vec![2, 3])];
    let steps = vec![
        MicroOp::Append { key: "l".into(), value: Value::Int(9) },
        MicroOp::ReadList { key: "l".into(), values: Some(list.clone()) },
        MicroOp::Write { key: "r".into(), value: Value::Bool(true) },
        MicroOp::ReadRegister { key: "r".into(), value: Some(Value::Nil) },
        MicroOp::Add { key: "s".into(), value: Value::Int(1) },
        MicroOp::ReadSet { key: "s".into(), values: Some(vec![Value::Int(1)]) },
    ];
    let mut full = Operation::txn(0, 0, (Nanos(5), Nanos(5)), steps);
    full.workload = Workload::Comments;
    let stamp = |wall, logical| Some(Stamp { wall, logical });
    full.timestamps = Timestamps { read: stamp(3, 1), commit: stamp(5, 0) };
    full.note = Some("us-east\n1".into());
    let key = || Value::from("k");
    let calls = [
        Call::Read(Some(Value::Int(1))),
        Call::Write(Value::Int(2)),
        Call::CompareAndSet { from: Value::Int(2), to: Value::Int(3) },
    ];
    let mut history = History { ops: vec![full], ..History::default() };
    for (at, call) in calls.into_iter().enumerate() {
        let index = at as u64 + 1;
        let mut op = Operation::txn(index, 0, (Nanos(5 + index), Nanos(5 + index)), Vec::new());
        op.action = Action::Register { key: key(), call };
        history.ops.push(op);
    }
    history.ops[2].outcome = Outcome::Unknown;
    history.ops[2].completed = None;
    history.ops[3].outcome = Outcome::Fail;
    history.ops[3].staleness = Some(Nanos(17));
    assert_eq!(
        load(to_json_lines(&history).as_bytes(), Some(Format::JsonLines)),
        Ok(history.clone())
    );
    let mut again = load(to_edn(&history).as_bytes(), Some(Format::Edn)).expect("our own EDN");
    // Of these, EDN says less: positions are those of events, and the world is open.
    again.world = World::Closed;
    for (again, op) in again.ops.iter_mut().zip(&history.ops) {
        again.index = op.index;
    }
    assert_eq!(again, history);
}

#[test]
fn our_lines_may_leave_out_what_is_usual() {
    let history = load_ok(
        "{\"invoked\":1,\"completed\":2,\"txn\":[[\"append\",\"x\",1]]}\n\
         {\"invoked\":3,\"completed\":4,\"txn\":[[\"r\",\"x\",[1]]],\"commit_ts\":7}\n\
         {\"invoked\":5,\"outcome\":\"unknown\",\"balances\":null}\n\
         {\"invoked\":5,\"completed\":6,\"transfer\":[\"a\",\"b\",3],\"workload\":\"bank\"}",
    );
    assert_eq!((history.world, history.ops.len()), (World::Closed, 4));
    assert_eq!(history.ops[1].index, 1);
    assert_eq!(history.ops[1].timestamps.commit, Some(Stamp { wall: 7, logical: 0 }));
    assert_eq!(check(&history, Model::Serializable, Options::default()).valid, Validity::Yes);
}

#[test]
fn bad_input_is_told_with_its_line() {
    let begin = "{:type :invoke :process 0 :f :txn :value [[:w x 1]]}";
    let cases = [
        ("", "line 1: the file has no operations"),
        ("{:type :ok :process 0}", "line 1: process 0 ends an operation that it never began"),
        ("{:type :maybe :process 0}", "line 1: an event needs a type: invoke, ok, fail or info"),
        ("{:type :invoke", "line 1: the file ends before a `}`"),
        ("{:type}", "line 1: a map lacks its last value"),
        ("]", "line 1: expected value"),
        ("{:a \"x", "line 1: a string does not end"),
        ("{\"type\":\"ok\"", "line 1: EOF while parsing an object"),
        (
            "{:type :invoke :f :dance}",
            "line 1: unknown function dance: one of txn, read, write, cas, transfer, add",
        ),
        (
            "{\"invoked\":1,\"completed\":2,\"txn\":[]}\n{\"invoked\":1}",
            "line 2: an operation that is ok needs `completed`",
        ),
        (
            "{\"invoked\":1,\"completed\":2,\"txn\":[]}\n{\"invoked\":3,",
            "line 2: EOF while parsing a value",
        ),
        (
            "{\"invoked\":9,\"completed\":2,\"txn\":[]}",
            "line 1: the operation ends before it begins",
        ),
        (
            "{\"invoked\":1,\"completed\":2,\"txn\":[[\"w\",1,null]]}",
            "line 1: a write needs a value other than nil",
        ),
        (
            "{\"invoked\":1,\"completed\":2,\"txn\":[[\"jump\",1,2]]}",
            "line 1: a step is one of append, w, add, r, list, read, set",
        ),
        (
            "{\"process\":1}",
            "line 1: neither an event (which has a `type`) nor an operation (which has `invoked`)",
        ),
        ("{\"history\":2}", "line 1: this is not version 1 of the format"),
    ];
    for (text, expected) in cases {
        let found = error(text);
        assert!(found.starts_with(expected), "{text}\nexpected: {expected}\nfound:    {found}");
    }
    let twice = error(&format!("{begin}\n{begin}"));
    assert_eq!(twice, "line 2: process 0 begins an operation before its last one ended");
    assert_eq!(load(b"{\n\xff", None).expect_err("no text").line, 2);
    let deep = "[".repeat(100_000);
    assert!(load(deep.as_bytes(), Some(Format::Edn)).is_err(), "refused, not recursed into");
}
