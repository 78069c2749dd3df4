//! Steps of transactions: `[:append k v]`, `["r", k, v]`.
//!
//! | written | is |
//! |---|---|
//! | `append k v` | append to a list |
//! | `w k v` | write of a register |
//! | `add k v` | add to a set |
//! | `r k v` | read; of what, the key's other uses tell |
//! | `list k v`, `read k v`, `set k v` | read of a list, a register, a set |
//!
//! A read of an unknown result has no third element, or nil in an operation that did not end well.

use rustc_hash::FxHashMap;

use super::{
    LoadError,
    form::{Data, Form, short},
};
use crate::{MicroOp, Outcome, Value};

/// What a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    List,
    Register,
    Set,
}

/// What the keys of a file are, as far as its transactions tell.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    known: FxHashMap<Value, Kind>,
    any_list: bool,
}

impl Kinds {
    /// Learns from a transaction's steps. Writes tell more than reads.
    pub(super) fn learn(&mut self, steps: &[Form]) {
        for step in steps {
            let Some([name, key, rest @ ..]) = step.elements() else { continue };
            let result = rest.first().map(|result| &result.data);
            let kind = match (name.as_text(), result) {
                (Some("append" | "list"), _) => Kind::List,
                (Some("w" | "write" | "read"), _) => Kind::Register,
                (Some("add" | "set"), _) => Kind::Set,
                (Some("r"), Some(Data::List(_))) => Kind::List,
                (Some("r"), Some(Data::Set(_))) => Kind::Set,
                _ => continue,
            };
            self.any_list |= kind == Kind::List;
            if name.as_text() == Some("r") {
                self.known.entry(key.value()).or_insert(kind);
            } else {
                self.known.insert(key.value(), kind);
            }
        }
    }

    fn of(&self, key: &Value) -> Kind {
        let otherwise = if self.any_list { Kind::List } else { Kind::Register };
        self.known.get(key).copied().unwrap_or(otherwise)
    }
}

/// What steps are called.
const STEPS: &str = "append, w, write, add, r, list, read, set";

/// Whether this looks like a transaction's steps.
pub(super) fn is_steps(form: &Form) -> bool {
    let names = ["append", "w", "write", "add", "r", "list", "read", "set"];
    let is_step = |step: &Form| {
        let name = step.elements().and_then(|step| step.first()).and_then(Form::as_text);
        name.is_some_and(|name| names.contains(&name))
    };
    form.elements().is_some_and(|steps| steps.iter().all(is_step))
}

/// A transaction's steps.
pub(super) fn steps(
    form: &Form,
    outcome: Outcome,
    kinds: &Kinds,
) -> Result<Vec<MicroOp>, LoadError> {
    let steps = form.elements().ok_or_else(|| form.error("a transaction is a list of steps"))?;
    steps.iter().map(|form| step(form, outcome, kinds)).collect()
}

fn step(form: &Form, outcome: Outcome, kinds: &Kinds) -> Result<MicroOp, LoadError> {
    let (name, key, result) = match form.elements() {
        Some([name, key]) => (name, key, None),
        Some([name, key, result]) => (name, key, Some(result)),
        _ => return Err(form.error("a step is [what, key, value]")),
    };
    let key = key.value();
    let written = || {
        let value = result.map(Form::value).filter(|value| !value.is_nil());
        value.ok_or_else(|| form.error("a write needs a value other than nil"))
    };
    let kind = match name.as_text() {
        Some("append") => return Ok(MicroOp::Append { key, value: written()? }),
        Some("w" | "write") => return Ok(MicroOp::Write { key, value: written()? }),
        Some("add") => return Ok(MicroOp::Add { key, value: written()? }),
        Some("r") => kinds.of(&key),
        Some("list") => Kind::List,
        Some("read") => Kind::Register,
        Some("set") => Kind::Set,
        Some(other) => {
            let other = short(other);
            return Err(form.error(format!("unknown step {other}: a step is one of {STEPS}")));
        }
        None => return Err(form.error(format!("a step begins with its name, one of {STEPS}"))),
    };
    // Of an operation that did not end well, nil says that no answer came.
    let answered = result.filter(|result| outcome == Outcome::Ok || !result.is_nil());
    if kind == Kind::Register {
        return Ok(MicroOp::ReadRegister { key, value: answered.map(Form::value) });
    }
    let values = match answered {
        None => None,
        Some(nil) if nil.is_nil() => Some(Vec::new()),
        Some(found) => {
            let members = found.members();
            let members =
                members.ok_or_else(|| form.error("this key's reads are lists or sets"))?;
            Some(Form::values(members))
        }
    };
    Ok(match kind {
        Kind::Set => MicroOp::ReadSet { key, values },
        Kind::List | Kind::Register => MicroOp::ReadList { key, values },
    })
}
