//! The connection: statements as text in, rows as text out, notices and errors for people.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use futures::{StreamExt, stream::poll_fn};
use tokio::{net::TcpStream, task::AbortHandle, time::timeout};
use tokio_postgres::{
    AsyncMessage, Config, NoTls, SimpleQueryMessage, config::Host, error::ErrorPosition,
};

use crate::{
    caret::caret,
    tap::{Block, Heard, Tapped},
};

/// PostgreSQL's port, where the connection string names none.
const DEFAULT_PORT: u16 = 5432;

/// How long a connection may take to come up, unless the connection string says `connect_timeout`.
const CONNECT_PATIENCE: Duration = Duration::from_secs(30);

/// What a column holds, as far as it is shown in another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Numbers: to the right in tables, bare in JSON.
    Number,
    /// `t` and `f`.
    Bool,
    /// Everything else.
    Text,
}

impl Kind {
    /// By PostgreSQL's number of the type.
    fn of(oid: u32) -> Kind {
        match oid {
            // bool
            16 => Kind::Bool,
            // int8, int2, int4, oid, float4, float8, numeric
            20 | 21 | 23 | 26 | 700 | 701 | 1700 => Kind::Number,
            _ => Kind::Text,
        }
    }
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name, which another one may have as well.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
}

/// One result of a query: rows, or a count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The columns; `None` for a statement without rows.
    pub columns: Option<Vec<Column>>,
    /// The rows; `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
    /// Rows returned or changed.
    pub count: u64,
    /// The command tag: what was done, which may be another thing than was asked for.
    pub tag: String,
}

impl Answer {
    /// The values of a column, by its name; none if there is no such column.
    pub fn column<'a>(&'a self, name: &str) -> impl Iterator<Item = Option<&'a str>> + use<'a> {
        let mut columns = self.columns.iter().flatten();
        let at = columns.position(|column| column.name == name);
        let value = move |row: &'a Vec<Option<String>>| Some(row.get(at?)?.as_deref());
        self.rows.iter().filter_map(value)
    }
}

/// A connection.
pub struct Client {
    inner: tokio_postgres::Client,
    url: String,
    notices: Arc<Mutex<Vec<String>>>,
    heard: Heard,
    /// Where the server is, for cancel requests.
    address: (String, u16),
    place: Option<Place>,
    /// Whoever moves bytes; aborted, the connection is gone.
    mover: AbortHandle,
}

/// The node at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number.
    pub node: String,
    /// Its region.
    pub region: String,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// If the address is no address, or nobody answers there in time.
    pub async fn connect(url: &str) -> anyhow::Result<Client> {
        Client::connect_as(url, "meridian sql", CONNECT_PATIENCE).await
    }

    /// Connects under another name, with so much patience.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect_as(url: &str, name: &str, patience: Duration) -> anyhow::Result<Client> {
        let mut config: Config = url.parse().with_context(|| no_url(url))?;
        if config.get_application_name().is_none() {
            config.application_name(name);
        }
        let patience = config.get_connect_timeout().copied().unwrap_or(patience);
        let heard = Heard::default();
        let connecting = async {
            let (stream, address) = reach(&config).await?;
            let tapped = Tapped::new(stream, heard.clone());
            let (client, connection) = config.connect_raw(tapped, NoTls).await?;
            anyhow::Ok((client, connection, address))
        };
        let connected = timeout(patience, connecting).await;
        let connected = connected
            .unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {} s", patience.as_secs())));
        let (inner, mut connection, address) =
            connected.with_context(|| format!("cannot connect to {url}"))?;
        let told = |name| connection.parameter(name).filter(|told| !told.is_empty());
        let place = told("node_id").zip(told("region"));
        let place = place.map(|(node, region)| Place { node: node.into(), region: region.into() });
        let notices = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&notices);
        let mover = tokio::spawn(async move {
            let mut messages = poll_fn(move |context| connection.poll_message(context));
            while let Some(Ok(message)) = messages.next().await {
                if let AsyncMessage::Notice(notice) = message {
                    let text = format!("{}:  {}", notice.severity(), notice.message());
                    sink.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                }
            }
        });
        let mover = mover.abort_handle();
        Ok(Client { inner, url: url.to_owned(), notices, heard, address, place, mover })
    }

    /// Runs statements.
    ///
    /// # Errors
    /// The server's error, or a lost connection, as text for people.
    pub async fn run(&self, sql: &str) -> Result<Vec<Answer>, String> {
        self.heard.clear();
        let ran = self.inner.simple_query(sql).await;
        let messages = ran.map_err(|error| self.explain(&error, sql))?;
        let mut answers = Vec::new();
        let mut open = Answer::default();
        for message in messages {
            match message {
                SimpleQueryMessage::RowDescription(columns) => {
                    let types = self.heard.take_types().unwrap_or_default();
                    let kinds = types.into_iter().map(Kind::of);
                    let kinds = kinds.chain(std::iter::repeat(Kind::Text));
                    let columns = columns.iter().zip(kinds);
                    let column = |(column, kind): (&tokio_postgres::SimpleColumn, Kind)| -> Column {
                        Column { name: column.name().to_owned(), kind }
                    };
                    open.columns = Some(columns.map(column).collect());
                }
                SimpleQueryMessage::Row(row) => {
                    let values = (0..row.len()).map(|at| row.get(at).map(str::to_owned));
                    open.rows.push(values.collect());
                }
                SimpleQueryMessage::CommandComplete(count) => {
                    open.count = count;
                    open.tag = self.heard.take_tag().unwrap_or_default();
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

    /// Drops the connection, whatever it waits for.
    pub fn abandon(&self) {
        self.mover.abort();
    }

    /// Whether the connection is gone.
    pub fn is_closed(&self) -> bool {
        self.mover.is_finished() || self.inner.is_closed()
    }

    /// Whether a transaction block is open.
    pub fn block(&self) -> Block {
        self.heard.block()
    }

    /// The node at the other end, if it says so: another database does not.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// The connection string that led here.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Who is at the other end, in a word: `n1`.
    pub fn name(&self) -> String {
        let (host, port) = &self.address;
        self.place.as_ref().map_or_else(|| format!("{host}:{port}"), |at| format!("n{}", at.node))
    }

    /// Who is at the other end, for people: `n1 in us-east (127.0.0.1:5433)`.
    pub fn peer(&self) -> String {
        let (host, port) = &self.address;
        match &self.place {
            Some(Place { node, region }) => format!("n{node} in {region} ({host}:{port})"),
            None => format!("{host}:{port}"),
        }
    }

    /// An error as `psql` words it: severity, message, SQLSTATE, the line with a caret, detail, hint.
    fn explain(&self, error: &tokio_postgres::Error, sql: &str) -> String {
        let Some(db) = error.as_db_error() else {
            if error.is_closed() || self.is_closed() {
                return format!("ERROR:  the connection to {} is lost", self.peer());
            }
            return format!("ERROR:  {error}");
        };
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
}

fn no_url(url: &str) -> String {
    format!("not a connection string: {url}; one is postgresql://root@127.0.0.1:5433/meridian")
}

/// The connection string of another node of the same cluster, as the same user.
///
/// # Errors
/// If `url` is none.
pub fn elsewhere(url: &str, address: &str) -> anyhow::Result<String> {
    let config: Config = url.parse().with_context(|| no_url(url))?;
    let (user, database) = (config.get_user(), config.get_dbname());
    let (user, database) = (user.unwrap_or("root"), database.unwrap_or("meridian"));
    Ok(format!("postgresql://{user}@{address}/{database}"))
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
