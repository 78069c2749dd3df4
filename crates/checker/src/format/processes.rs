//! Processes by number or by name.
//!
//! Files call a client `3`, `"client-3"`, `:writer` or `-1`. A number that is not negative stands for
//! itself; everything else is a name and gets a number that no file can write.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    LoadError,
    form::{Data, Form},
};

/// The first number of a name: beyond what a file's integers reach.
const FIRST: u64 = 1 << 63;

/// The processes of a file so far.
#[derive(Debug, Default)]
pub(super) struct Processes {
    by_name: BTreeMap<Arc<str>, u64>,
}

impl Processes {
    /// The number of the process that a form names. Without one there is a single process, 0.
    pub(super) fn number(&mut self, form: Option<&Form>) -> Result<u64, LoadError> {
        let Some(form) = form else { return Ok(0) };
        let name: Arc<str> = match &form.data {
            Data::Int(number) => match u64::try_from(*number) {
                Ok(number) => return Ok(number),
                Err(_) => number.to_string().into(),
            },
            Data::Text(name) => name.as_str().into(),
            Data::Nil | Data::Bool(_) | Data::List(_) | Data::Set(_) | Data::Map(_) => {
                return Err(form.error("a process is a number or a name"));
            }
        };
        let next = FIRST + self.by_name.len() as u64;
        Ok(*self.by_name.entry(name).or_insert(next))
    }

    /// The names, by number.
    pub(super) fn names(self) -> BTreeMap<u64, Arc<str>> {
        self.by_name.into_iter().map(|(name, number)| (number, name)).collect()
    }
}
