//! What the settings mean that every statement asks for: read once after a change, not at each question.

use std::{sync::Arc, time::Duration};

use expr::{ByteaOutput, datetime::TimeZone};

use super::Settings;
use crate::parse::IsolationName;

/// Settings as they are in force, in the form in which they are used.
#[derive(Clone, Debug)]
pub struct Effective {
    /// `statement_timeout`; this and the others: `None` is for ever.
    pub statement_timeout: Option<Duration>,
    /// `lock_timeout`.
    pub lock_timeout: Option<Duration>,
    /// `idle_session_timeout`.
    pub idle_timeout: Option<Duration>,
    /// `idle_in_transaction_session_timeout`.
    pub idle_in_transaction_timeout: Option<Duration>,
    /// `default_transaction_isolation`.
    pub isolation: IsolationName,
    /// `default_transaction_read_only`.
    pub read_only: bool,
    /// `commit_stats`.
    pub commit_stats: bool,
    /// `trace`.
    pub trace: bool,
    /// `TimeZone`.
    pub timezone: TimeZone,
    /// `bytea_output`.
    pub bytea: ByteaOutput,
    /// Name and value of those that the protocol reports.
    pub reported: Arc<[(String, String)]>,
}

impl Effective {
    pub(super) fn of(settings: &Settings) -> Effective {
        let limit = |name| {
            let millis = settings.milliseconds(name);
            (millis > 0).then(|| Duration::from_millis(millis))
        };
        let isolation = settings.get("default_transaction_isolation");
        let timezone = settings.get("timezone").and_then(|name| TimeZone::parse(name).ok());
        let escape = settings.get("bytea_output") == Some("escape");
        Effective {
            statement_timeout: limit("statement_timeout"),
            lock_timeout: limit("lock_timeout"),
            idle_timeout: limit("idle_session_timeout"),
            idle_in_transaction_timeout: limit("idle_in_transaction_session_timeout"),
            isolation: isolation
                .and_then(IsolationName::from_name)
                .unwrap_or(IsolationName::Serializable),
            read_only: settings.is_on("default_transaction_read_only"),
            commit_stats: settings.is_on("commit_stats"),
            trace: settings.is_on("trace"),
            timezone: timezone.unwrap_or_default(),
            bytea: if escape { ByteaOutput::Escape } else { ByteaOutput::Hex },
            reported: settings.reported().into(),
        }
    }
}
