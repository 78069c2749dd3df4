//! Reading histories: what real files look like, and what is wrong with bad ones.

mod fuzz;

use super::{Format, Reading, load, load_as, to_edn, to_json_lines};
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
        Call::Acquire,
        Call::Release,
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
    history.names.insert(1 << 63, "somebody".into());
    history.ops[3].process = 1 << 63;
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

/// Nothing but the judgement of banks looks at balances: it does whether or not the file says `bank`.
#[test]
fn balances_are_a_banks_without_saying_so() {
    let read = |at: u64, rest: &str| {
        format!("{{\"invoked\":{at},\"completed\":{},\"balances\":{rest}}}\n", at + 1)
    };
    let transfer = "{\"invoked\":2,\"completed\":3,\"transfer\":[1,2,1]}\n";
    let judged = |text: &str| {
        let history = load(text.as_bytes(), None).expect(text);
        assert!(history.ops.iter().all(|op| op.workload == Workload::Bank), "{text}");
        let options = Options { bank_total: Some(10), ..Options::default() };
        check(&history, Model::StrictSerializable, options)
    };
    let right = read(1, "{\"1\":5,\"2\":5}");
    assert_eq!(judged(&right).valid, Validity::Yes);
    let wrong = judged(&format!("{right}{}", read(3, "{\"1\":4,\"2\":5}")));
    assert!(wrong.has("wrong-total"), "{}", wrong.render_text());
    let below = judged(&format!("{right}{transfer}{}", read(4, "{\"1\":-4,\"2\":14}")));
    assert!(below.has("negative-balance"), "{}", below.render_text());
    assert!(below.notes[0].starts_with("transfers were judged by the totals"), "{:?}", below.notes);
    let partial = judged(&format!("{right}{}", read(3, "{\"1\":-4}")));
    assert!(partial.has("negative-balance"), "{}", partial.render_text());
    let alone = judged(transfer);
    assert_eq!(alone.notes[0], "transfers were not judged: no read shows all accounts");
}

/// Files that make no sense, and what is said of them.
const BAD: &[(&str, &str)] = &[
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
        "line 1: unknown function dance: one of txn, read, write, cas, acquire, release, inc, dec,",
    ),
    (
        "{\"invoked\":1,\"completed\":2,\"txn\":[]}\n{\"invoked\":1}",
        "line 2: an operation that is ok needs `completed`",
    ),
    (
        "{\"invoked\":1,\"completed\":2,\"txn\":[]}\n{\"invoked\":3,",
        "line 2: EOF while parsing a value",
    ),
    ("{\"invoked\":9,\"completed\":2,\"txn\":[]}", "line 1: the operation ends before it begins"),
    (
        "{\"invoked\":1,\"completed\":2,\"txn\":[[\"w\",1,null]]}",
        "line 1: a write needs a value other than nil",
    ),
    (
        "{\"invoked\":1,\"completed\":2,\"txn\":[[\"jump\",1,2]]}",
        "line 1: unknown step jump: a step is one of append, w, write, add, r, list, read, set",
    ),
    (
        "{\"process\":1}",
        "line 1: neither an event (which has a `type`) nor an operation (which has `invoked`)",
    ),
    ("{\"history\":2}", "line 1: this is not version 1 of the format"),
    ("{\"history\":1}", "line 1: the file has no operations"),
    (
        "{:type :invoke :process 0 :f :txn :value [[:inc :x 1]]}",
        "line 1: unknown step inc: a step is one of append",
    ),
    ("{:type :invoke :process 0 :f :txn :value [[7 :x 1]]}", "line 1: a step begins with its name"),
    ("{:type :invoke :process [1]}", "line 1: a process is a number or a name"),
    (
        "{:type :info :process :nemesis :f :kill}\n{:type :info :process :nemesis :f :start}",
        "line 1: the file has no operations; skipped: events of nemesis, which is no client: 2",
    ),
    (
        "{:type :invoke :process 0 :f :add :value 1} {:type :ok :process 0 :f :add :value 1}\n\
             {:type :invoke :process 0 :f :read} {:type :ok :process 0 :f :read :value #{1}}\n\
             {:type :invoke :process 0 :f :read}\n{:type :ok :process 0 :f :read :value 7}",
        "line 4: a set is read as a list or a set",
    ),
    (
        "{\"invoked\":1,\"completed\":2,\"txn\":[],\"register\":[\"read\",1]}",
        "line 1: an operation is one of txn, register, transfer, balances",
    ),
    (
        "[\n {\"type\":\"invoke\",\"value\":[[\"r\",\n 1,null]]},\n {\"type\":\n \"dance\"}]",
        "line 4: an event needs a type",
    ),
    (
        "{\"invoked\":1,\"completed\":2,\"txn\":[]}\n\
         {\"invoked\":3,\"completed\":4,\"workload\":\"txn\",\"transfer\":[1,2,3]}",
        "line 2: transfers and balances are a bank's, and this says txn",
    ),
    ("((((", "line 1: the file ends before a `)`"),
    (
        "{\"index\":1,\"invoked\":1,\"completed\":2,\"txn\":[]}\n\
         {\"invoked\":3,\"completed\":4,\"txn\":[]}",
        "line 2: an operation before this one has the index 1 already",
    ),
    (
        "{:type :invoke :index 4 :f :read} {:type :ok :f :read}\n{:type :invoke :index 4 :f :read}",
        "line 2: an operation before this one has the index 4 already",
    ),
    ("{:type ^:x :ok}", "line 1: `^` is Clojure, not EDN"),
    ("{:type #\"a\"}", "line 1: a `#` that is neither a set nor a tag nor a discard"),
    ("{:type \\nonsense}", "line 1: there is no character `\\nonsense`"),
    ("{:type \"\\ud800x\"}", "line 1: a string has an unknown `\\u` escape"),
];

#[test]
fn bad_input_is_told_with_its_line() {
    let begin = "{:type :invoke :process 0 :f :txn :value [[:w x 1]]}";
    for (text, expected) in BAD {
        let found = error(text);
        assert!(found.starts_with(expected), "{text}\nexpected: {expected}\nfound:    {found}");
    }
    let twice = error(&format!("{begin}\n{begin}"));
    assert_eq!(twice, "line 2: process 0 begins an operation before its last one ended");
    assert_eq!(load(b"{\n\xff", None).expect_err("no text").line, 2);
}

/// Brackets, braces, tags and discards, in either syntax: refused, not recursed into.
#[test]
fn deep_nesting_is_refused() {
    for heap in ["[", "{", "(", "#{", "{:a ", "#_ ", "#a ", "[[#_", "{\"a\":", "\"", "\\"] {
        let deep = heap.repeat(100_000);
        for format in [None, Some(Format::Edn), Some(Format::JsonLines)] {
            let refused = load(deep.as_bytes(), format).expect_err("no history");
            assert_eq!(refused.line, 1, "{heap}: {refused}");
        }
    }
}

/// What a process is called does not matter; whom nobody takes for a client is counted.
#[test]
fn processes_may_have_names() {
    let numbered = "{:type :invoke :process 4 :f :txn :value [[:append :x 1]]}\n\
                    {:type :invoke :process 5 :f :txn :value [[:r :x nil]]}\n\
                    {:type :ok :process 4 :f :txn :value [[:append :x 1]]}\n\
                    {:type :ok :process 5 :f :txn :value [[:r :x [2]]]}\n";
    for names in
        [["\"a b\"", "\"c\""], [":a", ":b"], ["-1", "-2"], ["\\a", "99999999999999999999N"]]
    {
        let named = numbered.replace("process 4", &format!("process {}", names[0]));
        let named = named.replace("process 5", &format!("process {}", names[1]));
        let faults = "{:type :info :process :nemesis :f :kill :value {\"n1\" #{:a}}}\n\
                      {:type :info :process :admin :f :split :value 3}\n\
                      {:type :invoke :process :nemesis :f :start}\n";
        let history = load_ok(&format!("{named}{faults}"));
        assert_eq!(history.ops.len(), 2, "{named}");
        assert_ne!(history.ops[0].process, history.ops[1].process);
        assert_eq!(history.names.len(), 2);
        let told: Vec<_> = history.skipped.iter().map(|it| (it.count, it.line)).collect();
        assert_eq!(told, [(2, Some(5)), (1, Some(6))], "{:?}", history.skipped);
        let verdict = check(&history, Model::Serializable, Options::default());
        assert_eq!((verdict.stats.operations, verdict.skipped.len()), (2, 2));
        let text = verdict.render_text();
        assert!(
            text.contains(
                "skipped: events of nemesis, which is no client: 2 (the first at line 5)"
            )
        );
        assert!(verdict.render_html().contains("events of admin, which is no client: 1 (line 6)"));
        for again in [to_json_lines(&history), to_edn(&history)] {
            let again = load_ok(&again);
            assert_eq!(again.names, history.names, "names survive");
        }
    }
    let json = load_ok(
        "{\"process\":\"a\",\"invoked\":1,\"completed\":2,\"txn\":[[\"w\",1,2]]}\n\
         {\"process\":\"b\",\"invoked\":1,\"completed\":2,\"txn\":[],\"outcme\":\"fail\"}",
    );
    assert_eq!((json.process_name(json.ops[0].process), json.names.len()), ("a".into(), 2));
    assert_eq!(json.skipped[0].reason, "fields \"outcme\", which the format does not have");
}

fn judged(text: &str) -> (Validity, Validity) {
    let history = load_ok(text);
    let of = |model| check(&history, model, Options::default()).valid;
    (of(Model::StrictSerializable), of(Model::Linearizable))
}

/// A call on a lock, a counter, or a register with its key in `:key`, and its answer.
fn calls(of: &[(&str, &str)]) -> String {
    let events = of.iter().map(|(begin, end)| {
        format!("{{:type :invoke :process 0 {begin}}}\n{{:type :ok :process 0 {end}}}\n")
    });
    events.collect()
}

#[test]
fn locks_counters_and_keys_beside_the_value_are_judged() {
    let (yes, no) = ((Validity::Yes, Validity::Yes), (Validity::No, Validity::No));
    let (acquire, release) = ((":f :acquire", ":f :acquire"), (":f :release", ":f :release"));
    assert_eq!(judged(&calls(&[acquire, release, acquire])), yes);
    assert_eq!(judged(&calls(&[acquire, acquire])), no);
    assert_eq!(judged(&calls(&[release])), no);
    let (one, other) = (
        (":f :acquire :key 1", ":f :acquire :key 1"),
        (":f :acquire :key 2", ":f :acquire :key 2"),
    );
    assert_eq!(judged(&calls(&[one, other])), yes, "two locks");
    assert_eq!(judged(&calls(&[one, other, one])), no);
    for (function, read) in [
        (":f :inc", ":f :read"),
        (":f :inc :value 1", ":f :read"),
        (":f :add :value 1", ":f :read"),
    ] {
        let add = (function, function);
        let (two, three) = (format!("{read} :value 2"), format!("{read} :value 3"));
        assert_eq!(judged(&calls(&[add, add, (read, &two)])), yes, "{function}");
        assert_eq!(judged(&calls(&[add, add, (read, &three)])), no, "{function}");
    }
    let dec = (":f :dec :value 2", ":f :dec :value 2");
    assert_eq!(judged(&calls(&[dec, (":f :read", ":f :read :value -2")])), yes);
    let write = (":f :write :key \"x\" :value 1", ":f :write :key \"x\" :value 1");
    let read = |value: &str| format!(":f :read :key \"x\" :value {value}");
    assert_eq!(judged(&calls(&[write, (":f :read :key \"x\"", &read("1"))])), yes);
    assert_eq!(judged(&calls(&[write, (":f :read :key \"x\"", &read("nil"))])), no);
    assert_eq!(judged(&calls(&[write, (":f :read :key \"y\"", ":f :read :key \"y\"")])), yes);
    // An empty set is a set, and no transaction without steps.
    let add = (":f :add :value 1", ":f :add :value 1");
    let history = load_ok(&calls(&[
        add,
        (":f :read", ":f :read :value []"),
        (":f :read", ":f :read :value [1]"),
    ]));
    let read = MicroOp::ReadSet { key: "set".into(), values: Some(Vec::new()) };
    assert_eq!(history.ops[1].action, Action::Txn(vec![read]));
}

fn reading(initial: &[&str], world: Option<World>) -> Reading {
    let mut reading = Reading { world, ..Reading::default() };
    for text in initial {
        reading.initial.add(text).expect("an initial value");
    }
    reading
}

#[test]
fn what_registers_held_before_can_be_told() {
    let file = calls(&[
        (":f :read :key :x", ":f :read :key :x :value 5"),
        (":f :cas :key :x :value [5 6]", ":f :cas :key :x :value [5 6]"),
        (":f :read :key :y", ":f :read :key :y :value 0"),
    ]);
    let valid = |initial: &[&str], world| {
        let history = load_as(file.as_bytes(), &reading(initial, world)).expect("a history");
        check(&history, Model::StrictSerializable, Options::default()).valid
    };
    let closed = Some(World::Closed);
    assert_eq!(valid(&["0", "x=5"], closed), Validity::Yes);
    assert_eq!(valid(&["x=5"], closed), Validity::No, "y is nil then");
    assert_eq!(valid(&[], closed), Validity::No);
    assert_eq!(valid(&[], None), Validity::Yes, "somebody else wrote it");
    let strange = load_as(file.as_bytes(), &reading(&["z=5"], None)).expect_err("a mistake");
    assert_eq!(strange.to_string(), "line 1: no register of the file is called z");
    for wrong in ["[", "1 2", "x=", ""] {
        assert!(reading(&[], None).initial.add(wrong).is_err(), "{wrong:?}");
    }
    let mut twice = reading(&["1", "x=1"], None).initial;
    assert!(twice.add("2").is_err() && twice.add("x=2").is_err());
    // Transactions, too: nil is then nobody's.
    let txn = "{\"invoked\":1,\"completed\":2,\"txn\":[[\"read\",\"x\",VALUE],[\"w\",\"y\",1]]}";
    for (value, expected) in [("7", Validity::Yes), ("null", Validity::No), ("8", Validity::No)] {
        let file = txn.replace("VALUE", value);
        let history = load_as(file.as_bytes(), &reading(&["x=7"], None)).expect("a history");
        let verdict = check(&history, Model::Serializable, Options::default());
        assert_eq!(verdict.valid, expected, "{value}: {}", verdict.render_text());
    }
}

#[test]
fn the_world_of_events_can_be_closed() {
    let file = "[{:type :invoke :value [[:r 0 nil]]} {:type :ok :value [[:r 0 7]]}]";
    let valid = |world| {
        let history = load_as(file.as_bytes(), &reading(&[], world)).expect("a history");
        (history.ops.len(), check(&history, Model::ReadCommitted, Options::default()).valid)
    };
    assert_eq!(valid(None), (2, Validity::Yes), "somebody outside wrote it");
    assert_eq!(valid(Some(World::Closed)), (1, Validity::No), "nobody wrote it");
}

/// What stands in real files, or might.
#[test]
fn odd_values_of_edn_are_read() {
    let values = [
        ("1/2", Value::from("1/2")),
        ("12345678901234567890N", Value::from("12345678901234567890")),
        ("12345678901234567890", Value::from("12345678901234567890")),
        ("+7N", Value::Int(7)),
        ("1.5M", Value::from("1.5M")),
        ("##Inf", Value::from("Inf")),
        ("\\a", Value::from("a")),
        ("\\newline", Value::from("\n")),
        ("\\u00e9", Value::from("é")),
        ("\"\\ud83d\\ude00\\b\"", Value::from("😀\u{8}")),
        ("#inst \"2020-01-01\"", Value::from("2020-01-01")),
        ("#_ 3 #_ #_ 4 5 6", Value::Int(6)),
        ("#{3 1}", Value::from(vec![1, 3])),
        ("(1 2 3)", Value::from(vec![1, 2, 3])),
        (":a/b", Value::from("a/b")),
        ("; not 1\n 2", Value::Int(2)),
        ("{:b 1, :a nil}", Value::Map(vec![("a".into(), Value::Nil), ("b".into(), 1.into())])),
    ];
    for (text, expected) in values {
        let history = load_ok(&format!(
            "\u{feff}; {{\"not\" JSON}}\n{{:type :invoke :f :write :value {text}}}"
        ));
        let write = Action::Register { key: "register".into(), call: Call::Write(expected) };
        assert_eq!(history.ops[0].action, write, "{text}");
    }
}
