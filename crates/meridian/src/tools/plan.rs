//! What a recording client does next: transactions in which a database that is not as consistent as
//! it says gives itself away.
//!
//! | kind | a client | gives away |
//! |---|---|---|
//! | append | appends to lists and reads them | cycles, with exact version orders |
//! | register | writes and reads several registers | lost updates, cycles |
//! | comments | inserts into one of three sets, or reads all three | an insert seen without an earlier one |
//!
//! Keys are numbered; the number decides in which of [`GROUPS`] tables they are, and tables are led in
//! different places. They are left behind for new ones from time to time, so that histories stay
//! small per key.

use checker::{MicroOp, Value, Workload};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

/// Tables of each kind.
pub const GROUPS: i64 = 3;

/// Keys in use at a time.
const KEYS: i64 = 6;

/// Transactions on one set of keys before the next is used.
const PER_KEYS: i64 = 200;

/// A transaction to be made: its operations, reads without what they will see.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How it is judged besides the graph.
    pub workload: Workload,
    /// In order.
    pub ops: Vec<MicroOp>,
}

impl Plan {
    /// The `number`th transaction of a recording.
    pub fn draw(rng: &mut ChaCha8Rng, number: i64, mut fresh: impl FnMut() -> i64) -> Plan {
        let base = number / PER_KEYS * KEYS;
        let key = |rng: &mut ChaCha8Rng| Value::Int(base + rng.random_range(0..KEYS));
        let count = rng.random_range(1..=4);
        match rng.random_range(0..4) {
            0 => {
                let step = |_| match rng.random_range(0..2) {
                    0 => MicroOp::Append { key: list(key(rng)), value: fresh().into() },
                    _ => MicroOp::ReadList { key: list(key(rng)), values: None },
                };
                Plan { workload: Workload::Txn, ops: (0..count).map(step).collect() }
            }
            1 => {
                let step = |_| match rng.random_range(0..2) {
                    0 => MicroOp::Write { key: register(key(rng)), value: fresh().into() },
                    _ => MicroOp::ReadRegister { key: register(key(rng)), value: None },
                };
                Plan { workload: Workload::Txn, ops: (0..count).map(step).collect() }
            }
            2 => {
                let added = set(Value::Int(base + rng.random_range(0..GROUPS)));
                let ops = vec![MicroOp::Add { key: added, value: fresh().into() }];
                Plan { workload: Workload::Comments, ops }
            }
            _ => Plan::read_sets(base),
        }
    }

    fn read_sets(base: i64) -> Plan {
        let read = |at| MicroOp::ReadSet { key: set(Value::Int(base + at)), values: None };
        Plan { workload: Workload::Comments, ops: (0..GROUPS).map(read).collect() }
    }

    /// The transactions that read, after the last one, all that `number` transactions wrote.
    pub fn read_back(number: i64) -> Vec<Plan> {
        let bases = (0..=number / PER_KEYS).map(|generation| generation * KEYS);
        let whole = |base| {
            let keys = move || (base..base + KEYS).map(Value::Int);
            let lists = keys().map(|key| MicroOp::ReadList { key: list(key), values: None });
            let registers =
                keys().map(|key| MicroOp::ReadRegister { key: register(key), value: None });
            let ops = lists.chain(registers).collect();
            [Plan { workload: Workload::Txn, ops }, Plan::read_sets(base)]
        };
        bases.flat_map(whole).collect()
    }

    /// Whether it writes.
    pub fn writes(&self) -> bool {
        self.ops.iter().any(MicroOp::is_write)
    }
}

fn named(kind: &str, number: &Value) -> Value {
    let number = number.as_int().expect("keys are numbered");
    Value::from(format!("{kind}/{number}"))
}

fn list(number: Value) -> Value {
    named("list", &number)
}

fn register(number: Value) -> Value {
    named("register", &number)
}

fn set(number: Value) -> Value {
    named("set", &number)
}

/// The kinds of tables, with their columns behind `k INT8`.
const KINDS: [(&str, &str); 3] = [
    ("list", "v TEXT NOT NULL, PRIMARY KEY (k)"),
    ("register", "v INT8 NOT NULL, PRIMARY KEY (k)"),
    ("set", "v INT8, PRIMARY KEY (k, v)"),
];

/// The tables of a group.
pub fn tables(group: i64) -> impl Iterator<Item = String> {
    KINDS.iter().map(move |(kind, _)| format!("check_{kind}{group}"))
}

/// The statements that make the tables of a group, in place of those of an earlier recording.
pub fn schema(group: i64) -> String {
    let made = KINDS.map(|(kind, rest)| {
        let table = format!("check_{kind}{group}");
        format!("DROP TABLE IF EXISTS {table}; CREATE TABLE {table} (k INT8, {rest})")
    });
    made.join("; ")
}

/// The statement of an operation.
pub fn statement(op: &MicroOp) -> String {
    let (table, key) = place(op.key());
    let int = |value: &Value| value.as_int().expect("values are integers");
    match op {
        MicroOp::Append { value, .. } => format!(
            "INSERT INTO {table} VALUES ({key}, '{0}') ON CONFLICT (k) DO UPDATE SET v = {table}.v || ' {0}'",
            int(value)
        ),
        MicroOp::Write { value, .. } => format!(
            "INSERT INTO {table} VALUES ({key}, {}) ON CONFLICT (k) DO UPDATE SET v = excluded.v",
            int(value)
        ),
        MicroOp::Add { value, .. } => format!("INSERT INTO {table} VALUES ({key}, {})", int(value)),
        MicroOp::ReadList { .. } | MicroOp::ReadRegister { .. } | MicroOp::ReadSet { .. } => {
            format!("SELECT v FROM {table} WHERE k = {key}")
        }
    }
}

/// The table and the number of a key.
fn place(key: &Value) -> (String, i64) {
    let (kind, number) = key.as_text().and_then(|key| key.split_once('/')).expect("kind/number");
    let number = number.parse::<i64>().expect("keys are numbered");
    (format!("check_{kind}{}", number % GROUPS), number)
}

/// The operation with what it saw: the first column of its rows.
pub fn heard(op: MicroOp, rows: &[String]) -> Result<MicroOp, String> {
    let int = |text: &str| {
        let parsed = text.parse::<i64>().map(Value::Int);
        parsed.map_err(|_| format!("{text} was read where only integers are written"))
    };
    Ok(match op {
        MicroOp::ReadList { key, .. } => {
            let elements = rows.first().map(|row| row.split(' ').map(int).collect());
            MicroOp::ReadList { key, values: Some(elements.transpose()?.unwrap_or_default()) }
        }
        MicroOp::ReadRegister { key, .. } => {
            let value = rows.first().map(|row| int(row)).transpose()?;
            MicroOp::ReadRegister { key, value: Some(value.unwrap_or_default()) }
        }
        MicroOp::ReadSet { key, .. } => {
            let values = rows.iter().map(|row| int(row)).collect::<Result<Vec<Value>, String>>()?;
            MicroOp::ReadSet { key, values: Some(values) }
        }
        written @ (MicroOp::Append { .. } | MicroOp::Write { .. } | MicroOp::Add { .. }) => written,
    })
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn every_plan_is_statements_and_no_value_is_written_twice() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut last = 0;
        let mut written = std::collections::BTreeSet::new();
        for number in 0..1000 {
            let plan = Plan::draw(&mut rng, number, || {
                last += 1;
                last
            });
            assert!(!plan.ops.is_empty());
            for op in &plan.ops {
                assert!(statement(op).contains("check_"), "{op:?}");
                if let MicroOp::Append { value, .. }
                | MicroOp::Write { value, .. }
                | MicroOp::Add { value, .. } = op
                {
                    assert!(written.insert(value.clone()), "{value:?} again");
                }
            }
        }
        let back = Plan::read_back(1000);
        assert_eq!(back.len(), 12);
        assert!(back.iter().all(|plan| !plan.writes()));
    }

    #[test]
    fn answers_are_read() {
        let rows = |rows: &[&str]| rows.iter().map(|row| (*row).to_owned()).collect::<Vec<_>>();
        let read = MicroOp::ReadList { key: "list/1".into(), values: None };
        let values = Some(vec![Value::Int(3), Value::Int(4)]);
        let expected = MicroOp::ReadList { key: "list/1".into(), values };
        assert_eq!(heard(read.clone(), &rows(&["3 4"])), Ok(expected));
        let empty = MicroOp::ReadList { key: "list/1".into(), values: Some(Vec::new()) };
        assert_eq!(heard(read.clone(), &[]), Ok(empty));
        assert!(heard(read, &rows(&["3 x"])).is_err());
    }
}
