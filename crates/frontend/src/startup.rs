//! The first messages of a connection: encryption refused, cancel requests, parameters.

use std::io;

use futures::{SinkExt, StreamExt};
use pgwire::{
    api::{ClientInfo, DefaultClient, PgWireConnectionState},
    messages::{
        PgWireBackendMessage, PgWireFrontendMessage, ProtocolVersion, SslNegotiationMetaMessage,
        response::{GssEncResponse, SslResponse},
        startup::{NegotiateProtocolVersion, Startup},
    },
    tokio::server::PgWireMessageServerCodec,
};
use sql::{SessionOptions, SqlError, SqlState};
use tokio::net::TcpStream;
use tokio_util::codec::Framed;

use crate::{
    cancel::Cancels,
    errors::{self, Severity, protocol_violation},
};

/// A connection's messages.
pub type Wire = Framed<TcpStream, PgWireMessageServerCodec<()>>;

/// Encryption requests before the start-up message: SSL and GSS, each refused once.
const MAX_NEGOTIATIONS: u32 = 2;

/// Greets a client. `None`: it only came to cancel, or went away, or was refused.
pub async fn greet(
    stream: TcpStream,
    cancels: &Cancels,
) -> io::Result<Option<(Wire, SessionOptions)>> {
    stream.set_nodelay(true)?;
    let client = DefaultClient::new(stream.peer_addr()?, false);
    let mut wire = Framed::new(stream, PgWireMessageServerCodec::new(client));
    let mut negotiations = 0;
    loop {
        let Some(message) = wire.next().await else { return Ok(None) };
        let message = message.map_err(io::Error::other)?;
        match message {
            PgWireFrontendMessage::SslNegotiation(asked) => {
                negotiations += 1;
                match asked {
                    SslNegotiationMetaMessage::None => {
                        wire.set_state(PgWireConnectionState::AwaitingStartup);
                        continue;
                    }
                    _ if negotiations > MAX_NEGOTIATIONS => return Ok(None),
                    SslNegotiationMetaMessage::PostgresSsl(_) => {
                        wire.send(PgWireBackendMessage::SslResponse(SslResponse::Refuse)).await?;
                    }
                    SslNegotiationMetaMessage::PostgresGss(_) => {
                        let refusal = PgWireBackendMessage::GssEncResponse(GssEncResponse::Refuse);
                        wire.send(refusal).await?;
                    }
                }
            }
            PgWireFrontendMessage::CancelRequest(request) => {
                if let Some(secret) = request.secret_key.as_i32() {
                    cancels.cancel(request.pid, secret);
                }
                return Ok(None);
            }
            PgWireFrontendMessage::Startup(startup) => {
                return match options(&mut wire, startup).await? {
                    Ok(options) => Ok(Some((wire, options))),
                    Err(error) => refuse(wire, &error).await,
                };
            }
            _ => {
                let error = protocol_violation("expected a start-up message");
                return refuse(wire, &error).await;
            }
        }
    }
}

/// Tells a client why it cannot stay.
pub async fn refuse<T>(mut wire: Wire, error: &SqlError) -> io::Result<Option<T>> {
    let message = errors::error(error, Severity::Fatal, None);
    wire.send(PgWireBackendMessage::ErrorResponse(message)).await?;
    wire.close().await?;
    Ok(None)
}

async fn options(
    wire: &mut Wire,
    startup: Startup,
) -> io::Result<Result<SessionOptions, SqlError>> {
    if startup.protocol_number_major != 3 {
        let message = format!("unsupported frontend protocol {}", startup.protocol_number_major);
        return Ok(Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message)));
    }
    wire.set_protocol_version(ProtocolVersion::PROTOCOL3_0);
    let mut options = SessionOptions { user: String::new(), ..SessionOptions::default() };
    let mut unknown = Vec::new();
    let mut database = None;
    for (name, value) in startup.parameters {
        match name.as_str() {
            "user" => options.user = value,
            "database" => database = Some(value),
            "application_name" => options.application_name = value,
            "replication" if matches!(value.as_str(), "false" | "off" | "no" | "0") => {}
            "options" => match command_line_settings(&value) {
                Ok(settings) => options.parameters.extend(settings),
                Err(error) => return Ok(Err(error)),
            },
            extension if extension.starts_with("_pq_.") => unknown.push(name),
            _ => options.parameters.push((name, value)),
        }
    }
    if startup.protocol_number_minor > 0 || !unknown.is_empty() {
        let answer = NegotiateProtocolVersion::new(0, unknown);
        wire.feed(PgWireBackendMessage::NegotiateProtocolVersion(answer)).await?;
    }
    if options.user.is_empty() {
        return Ok(Err(SqlError::new(
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
            "no PostgreSQL user name specified in startup packet",
        )));
    }
    // Without a name the database is called like the user, as PostgreSQL has it; there is one.
    options.database = database.unwrap_or_else(|| "meridian".to_owned());
    Ok(Ok(options))
}

/// `-c name=value` and `--name=value`, as in PGOPTIONS.
fn command_line_settings(text: &str) -> Result<Vec<(String, String)>, SqlError> {
    let mut settings = Vec::new();
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        let setting = match (word.strip_prefix("-c"), word.strip_prefix("--")) {
            (Some(""), _) => words.next(),
            (Some(attached), _) => Some(attached),
            (None, long) => long,
        };
        let pair = setting.and_then(|setting| setting.split_once('='));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_options_are_settings() {
        let read = command_line_settings("-c a=1 -cb=2 --c-d=3").unwrap();
        let expected = [("a", "1"), ("b", "2"), ("c_d", "3")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(read, expected);
        assert!(command_line_settings("-x").is_err());
        assert!(command_line_settings("-c a").is_err());
    }
}
