//! A client connection that goes to the next address when it breaks.

use std::time::Duration;

use anyhow::Context;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Error, NoTls, error::SqlState};

/// How long a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Pause before the next address is tried.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);
/// Attempts at one operation in the face of conflicts; then it counts as failed.
pub const MAX_ATTEMPTS: u32 = 50;

/// How an attempt ended badly.
#[derive(Debug)]
pub enum Failure {
    /// A conflict: try again.
    Retry,
    /// It did not happen.
    Failed(String),
    /// It may have happened.
    Unknown,
    /// The connection is gone, and with it an operation that was not yet committing.
    Disconnected,
}

/// Sorts an error of a statement that was not a commit.
pub fn before_commit(error: &Error) -> Failure {
    match error.code() {
        None => Failure::Disconnected,
        Some(code) if *code == SqlState::T_R_SERIALIZATION_FAILURE => Failure::Retry,
        Some(code) if code.code() == "40003" => Failure::Unknown,
        Some(code) => Failure::Failed(code.code().to_owned()),
    }
}

/// Sorts an error of a commit, or of a statement that commits by itself.
pub fn at_commit(error: &Error) -> Failure {
    match before_commit(error) {
        // The answer to a commit was lost.
        Failure::Disconnected => Failure::Unknown,
        other => other,
    }
}

/// A connection to one of several addresses.
pub struct Connection {
    urls: Vec<String>,
    next: usize,
    client: Option<Client>,
}

impl Connection {
    /// Starts at the `number`th address.
    pub fn new(urls: &[String], number: u32) -> Connection {
        Connection { urls: urls.to_vec(), next: number as usize, client: None }
    }

    /// The connection, made anew if need be; `None` if this address does not answer (the next call
    /// tries the next one). The flag says whether it is new.
    pub async fn get(&mut self) -> Option<(&Client, bool)> {
        let fresh = self.client.as_ref().is_none_or(Client::is_closed);
        if fresh {
            let url = self.urls[self.next % self.urls.len()].clone();
            self.client = None;
            match connect(&url).await {
                Ok(client) => self.client = Some(client),
                Err(_) => {
                    self.next += 1;
                    sleep(RECONNECT_PAUSE).await;
                    return None;
                }
            }
        }
        self.client.as_ref().map(|client| (client, fresh))
    }

    /// Drops a broken connection.
    pub fn drop_it(&mut self) {
        self.client = None;
        self.next += 1;
    }
}

/// A connection to the first address that answers: a run against none would be all errors.
///
/// # Errors
/// The first address's.
pub async fn reach_one(urls: &[String]) -> anyhow::Result<Client> {
    let mut first = None;
    for url in urls {
        match connect(url).await {
            Ok(client) => return Ok(client),
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.unwrap_or_else(|| anyhow::anyhow!("no address to connect to")))
}

/// Connects; the connection's task ends with the client.
pub async fn connect(url: &str) -> anyhow::Result<Client> {
    let connecting = timeout(CONNECT_TIMEOUT, tokio_postgres::connect(url, NoTls));
    let (client, connection) = connecting
        .await
        .with_context(|| format!("no answer from {url}"))?
        .with_context(|| format!("cannot connect to {url}"))?;
    tokio::spawn(async move {
        // Its end shows at the client, which is asked.
        drop(connection.await);
    });
    Ok(client)
}
