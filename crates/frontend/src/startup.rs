//! The first packets of a connection: encryption refused, cancel requests, parameters.
//!
//! Whoever speaks another protocol to the port is told so once and hung up on: the first four bytes
//! of a request for a web page are a length that no packet has. Who begins with TLS at once (the
//! byte [`TLS_HANDSHAKE`]) could read no answer, and gets none.

#[cfg(test)]
mod tests;

use std::io;

use expr::{SqlError, SqlState};
use sql::SessionOptions;

use crate::{
    cancel::Cancels,
    errors::protocol_violation,
    message::Body,
    wire::{Broken, Wire},
};

/// The protocol spoken: 3.0, as start-up packets write it.
const PROTOCOL: i32 = 3 << 16;
/// In place of a version: cancel a statement.
const CANCEL: i32 = 1234 << 16 | 5678;
/// In place of a version: encrypt by TLS.
const TLS: i32 = 1234 << 16 | 5679;
/// In place of a version: encrypt by GSSAPI.
const GSS: i32 = 1234 << 16 | 5680;
/// The first byte of a client that begins with TLS without having asked.
const TLS_HANDSHAKE: u8 = 0x16;
/// Encryption requests before the start-up packet: TLS and GSSAPI, each refused once.
const MAX_NEGOTIATIONS: u32 = 2;

/// How a greeting ended.
#[derive(Debug)]
pub enum Greeted {
    /// The client wants a session.
    Session(SessionOptions),
    /// It came to cancel a statement, or went away.
    Nothing,
    /// It is refused.
    Refused(SqlError),
}

/// A packet from before the conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Packet {
    Encrypt,
    Cancel { pid: i32, secret: i32 },
    Startup { version: i32, parameters: Vec<(String, String)> },
}

/// Greets a client.
///
/// # Errors
/// The socket's.
pub async fn greet(wire: &mut Wire, cancels: &Cancels) -> io::Result<Greeted> {
    for _ in 0..=MAX_NEGOTIATIONS {
        let packet = match wire.packet().await {
            Ok(Some(packet)) => packet,
            Ok(None) => return Ok(Greeted::Nothing),
            Err(Broken::Connection(error)) => return Err(error),
            Err(Broken::Protocol(_)) if wire.first_byte() == Some(TLS_HANDSHAKE) => {
                return Ok(Greeted::Nothing);
            }
            Err(Broken::Protocol(error)) => return Ok(Greeted::Refused(error)),
        };
        match read(&packet) {
            Ok(Packet::Encrypt) => wire.send_raw(b"N").await?,
            Ok(Packet::Cancel { pid, secret }) => {
                cancels.cancel(pid, secret);
                return Ok(Greeted::Nothing);
            }
            Ok(Packet::Startup { version, parameters }) => {
                return Ok(match options(wire, version, parameters) {
                    Ok(options) => Greeted::Session(options),
                    Err(error) => Greeted::Refused(error),
                });
            }
            Err(error) => return Ok(Greeted::Refused(error)),
        }
    }
    Ok(Greeted::Refused(protocol_violation("encryption was asked for too often")))
}

fn read(packet: &[u8]) -> Result<Packet, SqlError> {
    let mut body = Body(packet);
    let read = match body.i32()? {
        TLS | GSS => Packet::Encrypt,
        CANCEL => Packet::Cancel { pid: body.i32()?, secret: body.i32()? },
        version if version >> 16 != PROTOCOL >> 16 => {
            // Its packet may look like anything: nothing more is read of it.
            return Ok(Packet::Startup { version, parameters: Vec::new() });
        }
        version => Packet::Startup { version, parameters: parameters(&mut body)? },
    };
    body.end()?;
    Ok(read)
}

/// Names and values up to an empty name.
fn parameters(body: &mut Body<'_>) -> Result<Vec<(String, String)>, SqlError> {
    let mut parameters = Vec::new();
    loop {
        let name = body.text()?;
        if name.is_empty() {
            return Ok(parameters);
        }
        parameters.push((name, body.text()?));
    }
}

fn options(
    wire: &mut Wire,
    version: i32,
    parameters: Vec<(String, String)>,
) -> Result<SessionOptions, SqlError> {
    if version >> 16 != PROTOCOL >> 16 {
        let (major, minor) = (version >> 16, version & 0xffff);
        return Err(SqlError::unsupported(format!("frontend protocol {major}.{minor}"))
            .with_hint("The server speaks version 3.0."));
    }
    let mut options = SessionOptions { user: String::new(), ..SessionOptions::default() };
    let mut unknown = Vec::new();
    let mut database = None;
    for (name, value) in parameters {
        match name.as_str() {
            "user" => options.user = value,
            "database" => database = Some(value),
            "application_name" => options.application_name = value,
            "replication" if matches!(value.as_str(), "false" | "off" | "no" | "0") => {}
            "options" => options.parameters.extend(command_line_settings(&value)?),
            extension if extension.starts_with("_pq_.") => unknown.push(name),
            _ => options.parameters.push((name, value)),
        }
    }
    if version > PROTOCOL || !unknown.is_empty() {
        wire.answers.negotiate(PROTOCOL, &unknown);
    }
    if options.user.is_empty() {
        return Err(SqlError::new(
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
            "no PostgreSQL user name specified in startup packet",
        ));
    }
    // Without a name the database is called like the user, as PostgreSQL has it; there is one.
    options.database = database.unwrap_or_else(|| "meridian".to_owned());
    Ok(options)
}

/// `-c name=value` and `--name=value`, as in PGOPTIONS.
fn command_line_settings(text: &str) -> Result<Vec<(String, String)>, SqlError> {
    let mut settings = Vec::new();
    let mut words = words(text).into_iter();
    while let Some(word) = words.next() {
        let setting = match (word.strip_prefix("-c"), word.strip_prefix("--")) {
            (Some(""), _) => words.next(),
            (Some(attached), _) => Some(attached.to_owned()),
            (None, long) => long.map(str::to_owned),
        };
        let pair = setting.as_deref().and_then(|setting| setting.split_once('='));
        let Some((name, value)) = pair else {
            return Err(SqlError::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("unrecognized start-up option: {word}"),
            ));
        };
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

/// The words of a text: blanks part them, unless a backslash stands before the blank. A backslash
/// before anything else goes as well, so two of them are one.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_ascii_whitespace() => words.extend(word.take()),
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}
