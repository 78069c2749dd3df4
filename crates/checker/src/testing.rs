//! Histories in few words, for tests: `append x 1; list x [1 2]; w y 3; read y nil; add s 1; set s
//! {1}`. A result of `?` never arrived.

use std::error::Error;

use goldenscript::{Command, Context, Runner};

use crate::{
    Action, Call, History, MicroOp, Model, Nanos, Operation, Options, Outcome, Stamp, Value, check,
};

const MS: u64 = 1_000_000;

/// What a script can do. Times are milliseconds.
#[derive(Debug, Command)]
pub(crate) enum Do {
    /// A transaction that happened: `txn PROCESS BEGIN END STEPS`.
    Txn(u64, u64, u64, String),
    /// One that did not.
    Fail(u64, u64, u64, String),
    /// One of which nobody knows.
    Unknown(u64, u64, String),
    /// A call on a register: `call PROCESS BEGIN END "read r 1"`, `write r 1` or `cas r 1 2`.
    Call(u64, u64, u64, String),
    /// A call whose answer was lost: `lost PROCESS BEGIN CALL`.
    Lost(u64, u64, String),
    /// More about the last operation: `with "read=3 commit=5 stale=10 workload=bank"`.
    With(String),
    /// Judges all operations so far.
    Check(Model),
    /// Judges them by their timestamps too.
    Stamped(Model),
    /// Begins a new history.
    New,
}

/// A history that a script writes.
#[derive(Default)]
pub(crate) struct Script(pub History);

impl Runner for Script {
    type Command = Do;

    fn run(&mut self, command: &Do, _: &Context) -> Result<String, Box<dyn Error>> {
        match command {
            Do::Txn(process, begin, end, text) => self.txn(*process, (*begin, *end), text)?,
            Do::Fail(process, begin, end, text) => {
                self.txn(*process, (*begin, *end), text)?;
                self.last().outcome = Outcome::Fail;
            }
            Do::Unknown(process, begin, text) => {
                self.txn(*process, (*begin, *begin), text)?;
                self.forget_end();
            }
            Do::Call(process, begin, end, text) => {
                self.txn(*process, (*begin, *end), "")?;
                self.last().action = call(text)?;
            }
            Do::Lost(process, begin, text) => {
                self.txn(*process, (*begin, *begin), "")?;
                self.last().action = call(text)?;
                self.forget_end();
            }
            Do::With(text) => with(self.last(), text)?,
            Do::New => self.0 = History::default(),
            Do::Check(model) => return Ok(check(&self.0, *model, Options::default()).render_text()),
            Do::Stamped(model) => {
                let options = Options { timestamps: true, ..Options::default() };
                return Ok(check(&self.0, *model, options).render_text());
            }
        }
        Ok(String::new())
    }
}

impl Script {
    fn txn(&mut self, process: u64, ms: (u64, u64), text: &str) -> Result<(), Box<dyn Error>> {
        let index = self.0.ops.len() as u64;
        let times = (Nanos(ms.0 * MS), Nanos(ms.1 * MS));
        self.0.ops.push(Operation::txn(index, process, times, steps(text)?));
        Ok(())
    }

    fn last(&mut self) -> &mut Operation {
        self.0.ops.last_mut().expect("an operation was entered")
    }

    fn forget_end(&mut self) {
        self.last().completed = None;
        self.last().outcome = Outcome::Unknown;
    }
}

/// A transaction's steps.
pub(crate) fn steps(text: &str) -> Result<Vec<MicroOp>, Box<dyn Error>> {
    let parts = text.split(';').map(str::trim).filter(|part| !part.is_empty());
    parts.map(step).collect()
}

fn step(text: &str) -> Result<MicroOp, Box<dyn Error>> {
    let mut words = text.splitn(3, ' ');
    let mut word = || words.next().ok_or_else(|| format!("{text:?} lacks a word"));
    let (name, key, value) = (word()?, Value::from(word()?), word()?);
    let known = value != "?";
    Ok(match name {
        "append" => MicroOp::Append { key, value: atom(value) },
        "list" => MicroOp::ReadList { key, values: known.then(|| atoms(value)) },
        "w" => MicroOp::Write { key, value: atom(value) },
        "read" => MicroOp::ReadRegister { key, value: known.then(|| atom(value)) },
        "add" => MicroOp::Add { key, value: atom(value) },
        "set" => MicroOp::ReadSet { key, values: known.then(|| atoms(value)) },
        _ => return Err(format!("no step is called {name}").into()),
    })
}

fn call(text: &str) -> Result<Action, Box<dyn Error>> {
    let words: Vec<&str> = text.split(' ').collect();
    let (key, call) = match words[..] {
        ["read", key, value] => (key, Call::Read(Some(atom(value)))),
        ["write", key, value] => (key, Call::Write(atom(value))),
        ["cas", key, from, to] => (key, Call::CompareAndSet { from: atom(from), to: atom(to) }),
        _ => return Err(format!("no call: {text}").into()),
    };
    Ok(Action::Register { key: Value::from(key), call })
}

fn with(op: &mut Operation, text: &str) -> Result<(), Box<dyn Error>> {
    for pair in text.split(' ') {
        let (name, value) = pair.split_once('=').ok_or("name=value")?;
        let stamp =
            || Ok::<_, Box<dyn Error>>(Stamp { wall: value.parse::<u64>()? * MS, logical: 0 });
        match name {
            "read" => op.timestamps.read = Some(stamp()?),
            "commit" => op.timestamps.commit = Some(stamp()?),
            "stale" => op.staleness = Some(Nanos(value.parse::<u64>()? * MS)),
            "workload" => {
                let all = crate::Workload::ALL.into_iter();
                let found = all.into_iter().find(|workload| workload.name() == value);
                op.workload = found.ok_or("no such workload")?;
            }
            _ => return Err(format!("nothing is called {name}").into()),
        }
    }
    Ok(())
}

fn atom(text: &str) -> Value {
    match text {
        "nil" => Value::Nil,
        _ => text.parse::<i64>().map_or_else(|_| Value::from(text), Value::Int),
    }
}

fn atoms(text: &str) -> Vec<Value> {
    let inner = text.trim_matches(['[', ']', '{', '}']);
    inner.split_whitespace().map(atom).collect()
}
