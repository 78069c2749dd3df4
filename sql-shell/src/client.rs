//! The connection: statements as text in, rows as text out, notices and errors for people.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use futures::{StreamExt, stream::poll_fn};
use tokio::net::TcpStream;
use tokio_postgres::{
    AsyncMessage, Config, NoTls, SimpleQueryMessage, config::Host, error::ErrorPosition,
};

use crate::tap::{Tags, Tapped};

/// PostgreSQL's port, where the connection string names none.
const DEFAULT_PORT: u16 = 5432;

/// One result of a query: rows, or a count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Names of the columns; `None` for a statement without rows.
    pub columns: Option<Vec<String>>,
    /// The rows; `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
    /// Rows returned or changed.
    pub count: u64,
    /// The command tag: what was done, which may be another thing than was asked for.
    pub tag: String,
}

/// A connection.
pub struct Client {
    inner: tokio_postgres::Client,
    notices: Arc<Mutex<Vec<String>>>,
    tags: Tags,
    /// Where the server is, for cancel requests.
    address: (String, u16),
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// If the address is no address, or nobody answers there.
    pub async fn connect(url: &str) -> anyhow::Result<Client> {
        let mut config: Config =
            url.parse().with_context(|| format!("not a connection string: {url}"))?;
        if config.get_application_name().is_none() {
            config.application_name("meridian sql");
        }
        let tags = Tags::default();
        let connecting = async {
            let (stream, address) = reach(&config).await?;
            let tapped = Tapped::new(stream, tags.clone());
            let (client, connection) = config.connect_raw(tapped, NoTls).await?;
            anyhow::Ok((client, connection, address))
        };
        let (inner, mut connection, address) =
            connecting.await.with_context(|| format!("cannot connect to {url}"))?;
        let notices = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&notices);
        tokio::spawn(async move {
            let mut messages = poll_fn(move |context| connection.poll_message(context));
            while let Some(Ok(message)) = messages.next().await {
                if let AsyncMessage::Notice(notice) = message {
                    let text = format!("{}:  {}", notice.severity(), notice.message());
                    sink.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                }
            }
        });
        Ok(Client { inner, notices, tags, address })
    }

    /// Runs statements.
    ///
    /// # Errors
    /// The server's error, or a lost connection, as text for people.
    pub async fn run(&self, sql: &str) -> Result<Vec<Answer>, String> {
        self.tags.clear();
        let messages = self.inner.simple_query(sql).await.map_err(|error| explain(&error, sql))?;
        let mut answers = Vec::new();
        let mut open = Answer::default();
        for message in messages {
            match message {
                SimpleQueryMessage::RowDescription(columns) => {
                    let names = columns.iter().map(|column| column.name().to_owned());
                    open.columns = Some(names.collect());
                }
                SimpleQueryMessage::Row(row) => {
                    let values = (0..row.len()).map(|at| row.get(at).map(str::to_owned));
                    open.rows.push(values.collect());
                }
                SimpleQueryMessage::CommandComplete(count) => {
                    open.count = count;
                    open.tag = self.tags.take().unwrap_or_default();
                    answers.push(std::mem::take(&mut open));
                }
                // The library may learn of further messages; they carry no rows.
                _ => {}
            }
        }
        Ok(answers)
    }

    /// Notices that came since the last call.
    pub fn take_notices(&self) -> Vec<String> {
        std::mem::take(&mut self.notices.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks the server to cancel the statement under way.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub async fn cancel(&self) -> anyhow::Result<()> {
        let stream = TcpStream::connect((self.address.0.as_str(), self.address.1)).await?;
        Ok(self.inner.cancel_token().cancel_query_raw(stream, NoTls).await?)
    }

    /// Whether the connection is gone.
    pub fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }
}

/// A stream to the first of the hosts of a connection string that answers, and its address.
async fn reach(config: &Config) -> anyhow::Result<(TcpStream, (String, u16))> {
    let mut failed = anyhow::anyhow!("it names no host");
    for (at, host) in config.get_hosts().iter().enumerate() {
        let Host::Tcp(name) = host else { continue };
        // One port serves all hosts, or each has its own.
        let ports = config.get_ports();
        let port = ports.get(at).or(ports.first()).copied().unwrap_or(DEFAULT_PORT);
        match TcpStream::connect((name.as_str(), port)).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok((stream, (name.clone(), port)));
            }
            Err(error) => failed = error.into(),
        }
    }
    Err(failed)
}

/// An error as `psql` words it: severity, message, SQLSTATE, the line with a caret, detail, hint.
fn explain(error: &tokio_postgres::Error, sql: &str) -> String {
    let Some(db) = error.as_db_error() else { return format!("ERROR:  {error}") };
    let mut text = format!("{}:  {}: {}", db.severity(), db.code().code(), db.message());
    if let Some(ErrorPosition::Original(position)) = db.position() {
        text += &caret(sql, *position as usize);
    }
    if let Some(detail) = db.detail() {
        text += &format!("\nDETAIL:  {detail}");
    }
    if let Some(hint) = db.hint() {
        text += &format!("\nHINT:  {hint}");
    }
    text
}

/// The line that holds the `position`th character (from 1), and a caret under it.
fn caret(sql: &str, position: usize) -> String {
    let before: String = sql.chars().take(position.saturating_sub(1)).collect();
    let number = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count());
    let Some(line) = sql.lines().nth(number - 1) else { return String::new() };
    let label = format!("LINE {number}: ");
    // Tabs would shift the caret.
    let line = line.replace('\t', " ");
    format!("\n{label}{line}\n{}^", " ".repeat(label.len() + column))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_character() {
        assert_eq!(caret("select x", 8), "\nLINE 1: select x\n               ^");
        assert_eq!(caret("a\nbä c", 6), "\nLINE 2: bä c\n           ^");
        assert_eq!(caret("a", 99), "\nLINE 1: a\n         ^");
    }
}
