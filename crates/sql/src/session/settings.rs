//! A session's settings: `SET`, `SHOW`, `RESET`, and what the protocol reports of them.
//!
//! Names and defaults are PostgreSQL's where it has the setting ([`table`]). A setting that could
//! change results if it were ignored is either obeyed or refused (`0A000` for a value that
//! PostgreSQL knows); the rest is checked, remembered and shown, since drivers and tools set it.
//! Names with a dot belong to whoever uses them: any text is kept.
//!
//! ```text
//!   SHOW tells the first there is of:   local  <- SET LOCAL, up to the transaction's end
//!                                       session <- SET, RESET
//!                                       startup <- what the client asked for when it connected
//!                                       default
//! ```
//!
//! What a transaction sets is taken back when it rolls back, as in PostgreSQL: `local` and `session`
//! are kept as they were at its beginning and at its savepoints. Texts are shared by all that keep
//! them; what is kept counts as memory of the session ([`Held`]).

mod effective;
mod table;
#[cfg(test)]
mod tests;
mod value;

use std::{collections::BTreeMap, sync::Arc};

use expr::{SqlError, SqlState};
use keys::NodeId;

use super::held::{Account, Held};
use crate::parse::SetScope;
pub use effective::Effective;
pub use table::SERVER_VERSION;
use table::{DEFINITIONS, Definition};

/// Settings of its own that a session may have. Beyond: `54000`.
const MAX_CUSTOM: usize = 1_000;
/// Bytes of a value. Beyond: `54000`.
const MAX_VALUE_BYTES: usize = 64 * 1024;
/// Bytes of a name. Beyond: `54000`.
const MAX_NAME_BYTES: usize = 256;
/// Bytes that an entry of a map takes, about, beside its name and its text.
const ENTRY_BYTES: usize = 128;

/// What kind of values a setting takes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `on` or `off`.
    Bool,
    /// A boolean that has one value here; the other is refused.
    Switch(&'static str),
    /// Milliseconds, with PostgreSQL's units, at least so many; 0 and less: none.
    Duration(i64),
    /// A whole number between these.
    Integer(i64, i64),
    /// A number between these.
    Real(f64, f64),
    /// Memory in units of so many kilobytes, with PostgreSQL's units.
    Memory(i64),
    /// An isolation level.
    Isolation,
    /// One of the first; the others mean something in PostgreSQL and are refused.
    Choice(&'static [&'static str], &'static [&'static str]),
    /// Any text.
    Text,
    /// A time zone.
    TimeZone,
    /// The name of a locale.
    Locale,
    /// The name of a locale that formats as C does.
    PlainLocale,
    /// `client_encoding`: UTF8, in any spelling.
    Encoding,
    /// `DateStyle`: ISO, in any spelling.
    DateStyle,
    /// It tells something and cannot be changed.
    Fixed,
}

/// The values of a session.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What `RESET` goes back to where it is not the default: what the client asked for when it
    /// connected.
    startup: BTreeMap<String, Kept>,
    values: Arc<Values>,
    /// Names with a dot that were ever set. They exist from then on, also after a rollback.
    custom: BTreeMap<String, Option<Arc<Held>>>,
    /// The values at the beginning of the transaction; `None`: none has begun.
    before: Option<Arc<Values>>,
    /// The values at each of its savepoints, oldest first.
    savepoints: Vec<Arc<Values>>,
    /// What they mean; `None`: they changed since that was asked for.
    effective: Option<Arc<Effective>>,
    /// Whose memory is taken: the session's and the node's. `None`: nobody counts.
    accounts: Option<(Arc<Account>, Arc<Account>)>,
}

/// A value as `SHOW` prints it.
#[derive(Clone, Debug)]
struct Kept {
    text: Arc<str>,
    /// Its memory, also that of its entry; `None`: nobody counts it.
    _held: Option<Arc<Held>>,
}

/// What transactions change and take back, by the setting's own name.
#[derive(Clone, Debug, Default)]
struct Values {
    session: BTreeMap<String, Kept>,
    local: BTreeMap<String, Kept>,
    /// If others keep these values as they were before: the memory of the copy's entries.
    _copied: Option<Arc<Held>>,
}

impl Values {
    /// Bytes that the entries take, without the texts.
    fn entries(&self) -> usize {
        let names = self.session.keys().chain(self.local.keys());
        names.map(|name| name.len() + ENTRY_BYTES).sum()
    }
}

impl Settings {
    /// From here on what is kept counts against what the session may keep, and all of the node.
    pub(crate) fn charge_to(&mut self, session: &Arc<Account>, node: &Arc<Account>) {
        self.accounts = Some((session.clone(), node.clone()));
    }

    /// Takes memory. `53200`: the session, or the node, keeps too much.
    fn hold(&self, bytes: usize) -> Result<Option<Arc<Held>>, SqlError> {
        let Some((session, node)) = &self.accounts else { return Ok(None) };
        Held::take(session, node, bytes).map(|held| Some(Arc::new(held)))
    }

    fn keep(&self, name: &str, text: &str) -> Result<Kept, SqlError> {
        let held = self.hold(name.len() + text.len() + ENTRY_BYTES)?;
        Ok(Kept { text: Arc::from(text), _held: held })
    }

    /// The value as `SHOW` prints it; `None`: no such setting.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let Some(definition) = find(name) else {
            let (name, _) = self.custom.get_key_value(&name.to_lowercase())?;
            return Some(self.changed(name).unwrap_or(""));
        };
        Some(self.changed(definition.name).unwrap_or(definition.default))
    }

    fn changed(&self, name: &str) -> Option<&str> {
        let Values { session, local, .. } = &*self.values;
        let value = local.get(name).or_else(|| session.get(name));
        value.or_else(|| self.startup.get(name)).map(|value| &*value.text)
    }

    /// What they mean now.
    pub fn effective(&mut self) -> Arc<Effective> {
        if let Some(known) = &self.effective {
            return known.clone();
        }
        let effective = Arc::new(Effective::of(self));
        self.effective.insert(effective).clone()
    }

    /// Sets a value; answers with it as `SHOW` prints it.
    ///
    /// # Errors
    /// `42704` no such setting, `22023` no such value, `0A000` a value that is not supported, `55P02`
    /// it cannot be changed, `54000` too much, `53200` more than the session may keep.
    pub fn set(&mut self, scope: SetScope, name: &str, value: &str) -> Result<String, SqlError> {
        let (name, value) = self.checked(name, value)?;
        self.put(scope, name, Some(&value))?;
        Ok(value)
    }

    /// Back to what it was when the session began; answers with that.
    ///
    /// # Errors
    /// `42704` no such setting, `55P02` it cannot be changed, `53200` more than the session may keep.
    pub fn reset(&mut self, scope: SetScope, name: &str) -> Result<String, SqlError> {
        let name = match find(name) {
            Some(definition) if matches!(definition.kind, Kind::Fixed) => {
                return Err(fixed(definition.name));
            }
            Some(definition) => definition.name.to_owned(),
            None => {
                let known = self.custom.get_key_value(&name.to_lowercase());
                known.map(|(name, _)| name.clone()).ok_or_else(|| unknown(name))?
            }
        };
        let value = self.at_start(&name).to_owned();
        self.put(scope, name, None)?;
        Ok(value)
    }

    /// The value at the session's start.
    fn at_start(&self, name: &str) -> &str {
        let default = find(name).map_or("", |definition| definition.default);
        self.startup.get(name).map_or(default, |value| &*value.text)
    }

    /// `None`: back to the value at the session's start.
    fn put(&mut self, scope: SetScope, name: String, value: Option<&str>) -> Result<(), SqlError> {
        let kept = match (scope, value) {
            (_, Some(value)) => Some(self.keep(&name, value)?),
            (SetScope::Local, None) => Some(self.keep(&name, self.at_start(&name))?),
            (SetScope::Session, None) => None,
        };
        if Arc::strong_count(&self.values) > 1 {
            // The transaction's beginning, or a savepoint, keeps them as they are.
            let _copied = self.hold(self.values.entries())?;
            self.values = Arc::new(Values { _copied, ..(*self.values).clone() });
        }
        self.effective = None;
        let values = Arc::make_mut(&mut self.values);
        match (scope, kept) {
            (SetScope::Local, kept) => values.local.extend(kept.map(|kept| (name, kept))),
            // A SET for the session is not hidden by a SET LOCAL before it.
            (SetScope::Session, kept) => {
                values.local.remove(&name);
                match kept {
                    Some(kept) => values.session.insert(name, kept),
                    None => values.session.remove(&name),
                };
            }
        }
        Ok(())
    }

    /// The setting's own name and the value as `SHOW` prints it.
    fn checked(&mut self, name: &str, value: &str) -> Result<(String, String), SqlError> {
        let too_much = |what: String| Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, what));
        if value.len() > MAX_VALUE_BYTES {
            return too_much(format!("a value of a setting has at most {MAX_VALUE_BYTES} bytes"));
        }
        if name.len() > MAX_NAME_BYTES {
            return too_much(format!("the name of a setting has at most {MAX_NAME_BYTES} bytes"));
        }
        if let Some(definition) = find(name) {
            return Ok((definition.name.to_owned(), value::normal(definition, value)?));
        }
        let lower = name.to_lowercase();
        if !lower.contains('.') {
            return Err(unknown(name));
        }
        if !lower.split('.').all(is_identifier) {
            return Err(SqlError::new(
                SqlState::INVALID_NAME,
                format!("invalid configuration parameter name \"{name}\""),
            )
            .with_detail(
                "Custom parameter names must be two or more simple identifiers separated by dots.",
            ));
        }
        if !self.custom.contains_key(&lower) {
            if self.custom.len() >= MAX_CUSTOM {
                return too_much(format!("a session has at most {MAX_CUSTOM} settings of its own"));
            }
            let held = self.hold(lower.len() + ENTRY_BYTES)?;
            self.custom.insert(lower.clone(), held);
        }
        Ok((lower, value.to_owned()))
    }

    /// Sets what `RESET` goes back to, at the start of a session.
    ///
    /// # Errors
    /// As [`Settings::set`].
    pub fn set_startup(&mut self, name: &str, value: &str) -> Result<(), SqlError> {
        let (name, value) = self.checked(name, value)?;
        let kept = self.keep(&name, &value)?;
        self.startup.insert(name, kept);
        self.effective = None;
        Ok(())
    }

    /// The user, which is no setting that a client may change.
    pub fn set_user(&mut self, user: &str) {
        self.tell("session_authorization", user);
    }

    /// Where the session is served, which is nothing that a client may change either.
    pub fn set_place(&mut self, node: NodeId, region: &str) {
        self.tell("node_id", &node.0.to_string());
        self.tell("region", region);
    }

    fn tell(&mut self, name: &str, text: &str) {
        self.startup.insert(name.to_owned(), Kept { text: Arc::from(text), _held: None });
        self.effective = None;
    }

    /// Everything back to what it was when the session began.
    pub fn reset_all(&mut self) {
        self.values = Arc::default();
        self.effective = None;
    }

    /// A transaction begins, unless one has: its end decides on what is set from here on.
    pub fn begin(&mut self) {
        if self.before.is_none() {
            self.before = Some(self.values.clone());
        }
    }

    /// The transaction committed: what it set for the session stays.
    pub fn commit(&mut self) {
        self.before = None;
        self.savepoints.clear();
        if !self.values.local.is_empty() {
            Arc::make_mut(&mut self.values).local.clear();
            self.effective = None;
        }
    }

    /// The transaction rolled back: nothing of what it set stays.
    pub fn rollback(&mut self) {
        self.savepoints.clear();
        if let Some(before) = self.before.take() {
            self.put_back(before);
        }
    }

    /// A savepoint of the transaction.
    pub fn savepoint(&mut self) {
        self.savepoints.push(self.values.clone());
    }

    /// Back to the savepoint with this number, counted from the oldest.
    pub fn rollback_to(&mut self, number: usize) {
        self.savepoints.truncate(number + 1);
        self.put_back(self.savepoints[number].clone());
    }

    /// The values as they were before; mostly they still are.
    fn put_back(&mut self, before: Arc<Values>) {
        if !Arc::ptr_eq(&before, &self.values) {
            self.values = before;
            self.effective = None;
        }
    }

    /// The savepoints from this number on are gone.
    pub fn release(&mut self, number: usize) {
        self.savepoints.truncate(number);
    }

    /// Whether the setting is `on`.
    #[must_use]
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name) == Some("on")
    }

    /// A duration in milliseconds; 0: none.
    #[must_use]
    pub fn milliseconds(&self, name: &str) -> u64 {
        let millis = self.get(name).and_then(value::parse_duration).unwrap_or(0);
        u64::try_from(millis).unwrap_or(0)
    }

    /// Name, value and meaning of all settings, by name. Names with a dot are not among them.
    #[must_use]
    pub fn all(&self) -> Vec<(&'static str, String, &'static str)> {
        let value = |each: &Definition| self.changed(each.name).unwrap_or(each.default).to_owned();
        DEFINITIONS.iter().map(|each| (each.name, value(each), each.about)).collect()
    }

    /// Name and value of the settings that the protocol reports.
    #[must_use]
    pub fn reported(&self) -> Vec<(String, String)> {
        let value = |each: &Definition| self.changed(each.name).unwrap_or(each.default).to_owned();
        let reported = DEFINITIONS.iter().filter(|each| each.reported);
        reported.map(|each| (each.name.to_owned(), value(each))).collect()
    }
}

/// The definition with this name, in any case.
fn find(name: &str) -> Option<&'static Definition> {
    let lower = |byte: &u8| byte.to_ascii_lowercase();
    let found = DEFINITIONS.binary_search_by(|definition| {
        definition.name.as_bytes().iter().map(lower).cmp(name.as_bytes().iter().map(lower))
    });
    found.ok().map(|at| &DEFINITIONS[at])
}

fn is_identifier(part: &str) -> bool {
    let begins = part.starts_with(|c: char| c.is_alphabetic() || c == '_');
    begins && part.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$')
}

/// `42704`.
#[must_use]
pub fn unknown(name: &str) -> SqlError {
    SqlError::new(
        SqlState::UNDEFINED_OBJECT,
        format!("unrecognized configuration parameter \"{name}\""),
    )
}

fn fixed(name: &str) -> SqlError {
    SqlError::new(
        SqlState::CANT_CHANGE_RUNTIME_PARAM,
        format!("parameter \"{name}\" cannot be changed"),
    )
}
