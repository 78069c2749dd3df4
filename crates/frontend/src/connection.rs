//! One client's conversation.

use std::{collections::VecDeque, io, time::Duration};

use expr::{SqlError, SqlState, Type};
use futures::{SinkExt, StreamExt};
use pgwire::{
    api::{ClientInfo, PgWireConnectionState},
    error::PgWireError,
    messages::{
        PgWireBackendMessage, PgWireFrontendMessage,
        data::{NoData, ParameterDescription},
        extendedquery::{
            Bind, BindComplete, Close, CloseComplete, Describe, Execute, Parse, ParseComplete,
            PortalSuspended, TARGET_TYPE_BYTE_PORTAL, TARGET_TYPE_BYTE_STATEMENT,
        },
        response::{CommandComplete, EmptyQueryResponse, ReadyForQuery, TransactionStatus},
        startup::{Authentication, BackendKeyData, ParameterStatus, SecretKey},
    },
};
use sql::{CancelHandle, Execution, Session, TxnStatus};

use crate::{
    cancel::{Cancels, Registration},
    errors::{self, Severity, protocol_violation},
    extended::{Portal, Progress, Rows, Store},
    rows::{self, Format},
    server::gone,
    startup::Wire,
};

/// Answers gather up to this many bytes before they are sent without being waited for.
const BUFFER_BYTES: usize = 64 * 1024;
/// Messages read ahead while a statement runs; then the client has to wait.
const READ_AHEAD: usize = 1024;
/// How long a statement of a client that went away may take to end after it was cancelled.
const LAST_STATEMENT: Duration = Duration::from_secs(60);

/// A connection with its session.
pub struct Connection {
    wire: Wire,
    session: Session,
    store: Store,
    /// Messages that arrived while a statement ran.
    ahead: VecDeque<Result<PgWireFrontendMessage, PgWireError>>,
    /// After an error in the extended protocol: everything up to Sync is skipped.
    skipping: bool,
    secret: i32,
    /// Cancels this session's statement when its client is gone.
    cancel: CancelHandle,
    _cancels: Registration,
}

/// What a handler ends with: the connection's end, or the statement's.
enum Trouble {
    Connection(io::Error),
    Statement(SqlError, Option<String>),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Connection(error)
    }
}

impl From<SqlError> for Trouble {
    fn from(error: SqlError) -> Trouble {
        Trouble::Statement(error, None)
    }
}

type Handled = Result<(), Trouble>;

impl Connection {
    /// A connection whose client was greeted.
    pub fn new(mut wire: Wire, session: Session, secret: i32, cancels: &Cancels) -> Connection {
        wire.set_backpressure_boundary(BUFFER_BYTES);
        let cancel = session.cancel_handle();
        let registration = cancels.register(session.pid(), secret, cancel.clone());
        Connection {
            wire,
            session,
            store: Store::default(),
            ahead: VecDeque::new(),
            skipping: false,
            secret,
            cancel,
            _cancels: registration,
        }
    }

    /// Serves the client until it leaves; then its transaction is rolled back.
    pub async fn run(mut self) -> io::Result<()> {
        let ended = self.converse().await;
        self.session.close().await;
        ended
    }

    async fn converse(&mut self) -> io::Result<()> {
        self.welcome().await?;
        loop {
            let next = match self.ahead.pop_front() {
                Some(message) => Some(message),
                None => self.wire.next().await,
            };
            let message = match next {
                None => return Ok(()),
                Some(Ok(message)) => message,
                Some(Err(error)) => return self.unreadable(error).await,
            };
            let extended = message.is_extended_query();
            let handled = match message {
                PgWireFrontendMessage::Terminate(_) => return Ok(()),
                PgWireFrontendMessage::Sync(_) => self.sync().await,
                _ if self.skipping && extended => Ok(()),
                other => self.message(other).await,
            };
            match handled {
                Ok(()) => {}
                Err(Trouble::Connection(error)) => return Err(error),
                Err(Trouble::Statement(error, text)) => {
                    self.tell(&error, text.as_deref(), extended).await?;
                }
            }
        }
    }

    async fn welcome(&mut self) -> io::Result<()> {
        self.wire.set_state(PgWireConnectionState::ReadyForQuery);
        self.feed(PgWireBackendMessage::Authentication(Authentication::Ok)).await?;
        for (name, value) in self.session.parameters() {
            let status = ParameterStatus::new(name, value);
            self.feed(PgWireBackendMessage::ParameterStatus(status)).await?;
        }
        let key = BackendKeyData::new(self.session.pid(), SecretKey::I32(self.secret));
        self.feed(PgWireBackendMessage::BackendKeyData(key)).await?;
        self.ready().await
    }

    async fn message(&mut self, message: PgWireFrontendMessage) -> Handled {
        match message {
            PgWireFrontendMessage::Query(query) => self.query(&query.query).await,
            PgWireFrontendMessage::Parse(parse) => self.parse(parse).await,
            PgWireFrontendMessage::Bind(bind) => self.bind(bind).await,
            PgWireFrontendMessage::Describe(describe) => self.describe(&describe).await,
            PgWireFrontendMessage::Execute(execute) => self.execute(&execute).await,
            PgWireFrontendMessage::Close(close) => self.close(&close).await,
            PgWireFrontendMessage::Flush(_) => Ok(self.wire.flush().await?),
            // What is left of a COPY that was refused: PostgreSQL skips it as well.
            PgWireFrontendMessage::CopyData(_)
            | PgWireFrontendMessage::CopyDone(_)
            | PgWireFrontendMessage::CopyFail(_) => Ok(()),
            other => Err(protocol_violation(format!("unexpected message {other:?}")).into()),
        }
    }

    /// A message that is none: told, and the connection ends.
    async fn unreadable(&mut self, error: PgWireError) -> io::Result<()> {
        if let PgWireError::IoError(error) = error {
            return Err(error);
        }
        let violation = protocol_violation(error.to_string());
        let message = errors::error(&violation, Severity::Fatal, None);
        self.feed(PgWireBackendMessage::ErrorResponse(message)).await?;
        self.wire.flush().await
    }

    /// Tells an error; what follows depends on the protocol's part it happened in.
    async fn tell(
        &mut self,
        error: &SqlError,
        text: Option<&str>,
        extended: bool,
    ) -> io::Result<()> {
        self.session.fail().await;
        self.side_messages().await?;
        let message = errors::error(error, Severity::Error, text);
        self.feed(PgWireBackendMessage::ErrorResponse(message)).await?;
        if extended {
            self.skipping = true;
            Ok(())
        } else {
            self.ready().await
        }
    }

    async fn feed(&mut self, message: PgWireBackendMessage) -> io::Result<()> {
        self.wire.feed(message).await
    }

    async fn ready(&mut self) -> io::Result<()> {
        let status = match self.session.status() {
            TxnStatus::Idle => TransactionStatus::Idle,
            TxnStatus::InTransaction => TransactionStatus::Transaction,
            TxnStatus::Failed => TransactionStatus::Error,
        };
        self.feed(PgWireBackendMessage::ReadyForQuery(ReadyForQuery::new(status))).await?;
        self.wire.flush().await
    }

    /// Notices and changed settings, before the result they belong to.
    async fn side_messages(&mut self) -> io::Result<()> {
        for notice in self.session.take_notices() {
            let message = errors::notice(&notice);
            self.feed(PgWireBackendMessage::NoticeResponse(message)).await?;
        }
        for (name, value) in self.session.take_parameter_changes() {
            let status = ParameterStatus::new(name, value);
            self.feed(PgWireBackendMessage::ParameterStatus(status)).await?;
        }
        Ok(())
    }

    async fn query(&mut self, text: &str) -> Handled {
        let mut results = Vec::new();
        let outcome = {
            let mut sink = |execution| results.push(execution);
            let running = self.session.simple(text, &mut sink);
            attended(&mut self.wire, &mut self.ahead, &self.cancel, running).await
        };
        let outcome = match outcome {
            Attended::Ended(outcome) => outcome,
            Attended::ClientGone => return Err(Trouble::Connection(gone())),
        };
        self.side_messages().await?;
        if results.is_empty() && outcome.is_ok() {
            self.feed(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new())).await?;
        }
        for execution in results {
            self.result(execution).await?;
        }
        outcome.map_err(|error| Trouble::Statement(error, Some(text.to_owned())))?;
        Ok(self.ready().await?)
    }

    /// A whole result of the simple protocol, in text.
    async fn result(&mut self, execution: Execution) -> Handled {
        let tag = execution.tag().to_owned();
        if let Execution::Rows { columns, rows, .. } = execution {
            let formats = vec![Format::Text; columns.len()];
            let description = rows::description(&columns, &formats);
            self.feed(PgWireBackendMessage::RowDescription(description)).await?;
            let context = self.session.context();
            for row in &rows {
                let message = rows::data_row(row, &columns, &formats, &context)?;
                self.feed(PgWireBackendMessage::DataRow(message)).await?;
            }
        }
        Ok(self.feed(PgWireBackendMessage::CommandComplete(CommandComplete::new(tag))).await?)
    }

    /// The end of a pipeline: what its statements share is committed. After an error nothing is left
    /// to commit.
    async fn sync(&mut self) -> Handled {
        self.skipping = false;
        let ended = self.session.end_pipeline().await;
        self.side_messages().await?;
        if let Err(error) = ended {
            let message = errors::error(&error, Severity::Error, None);
            self.feed(PgWireBackendMessage::ErrorResponse(message)).await?;
        }
        if self.session.status() == TxnStatus::Idle {
            self.store.close_portals();
        }
        Ok(self.ready().await?)
    }

    async fn parse(&mut self, parse: Parse) -> Handled {
        let name = parse.name.unwrap_or_default();
        let text = parse.query;
        let at = |error| Trouble::Statement(error, Some(text.clone()));
        let mut statements = self.session.parse(&text).map_err(at)?;
        if statements.len() > 1 {
            return Err(SqlError::syntax(
                "cannot insert multiple commands into a prepared statement",
            )
            .into());
        }
        let prepared = match statements.pop() {
            None => None,
            Some(statement) => {
                let types = parameter_types(&parse.type_oids)?;
                Some(self.session.prepare(&statement, &types).await.map_err(at)?)
            }
        };
        self.store.prepare(&name, prepared)?;
        Ok(self.feed(PgWireBackendMessage::ParseComplete(ParseComplete::new())).await?)
    }

    async fn bind(&mut self, bind: Bind) -> Handled {
        let statement = self.store.statement(bind.statement_name.as_deref().unwrap_or(""))?.clone();
        let (types, columns) = match &statement {
            None => (&[] as &[Type], 0),
            Some(prepared) => {
                (prepared.param_types(), prepared.columns().map_or(0, |columns| columns.len()))
            }
        };
        let context = self.session.context();
        let parameters =
            rows::parameters(&bind.parameters, &bind.parameter_format_codes, types, &context)?;
        let formats = rows::formats(&bind.result_column_format_codes, columns, "result")?;
        let portal = Portal { statement, parameters, formats, progress: Progress::Bound };
        self.store.bind(bind.portal_name.as_deref().unwrap_or(""), portal)?;
        Ok(self.feed(PgWireBackendMessage::BindComplete(BindComplete::new())).await?)
    }

    async fn describe(&mut self, describe: &Describe) -> Handled {
        let name = describe.name.as_deref().unwrap_or("");
        let (statement, formats) = match describe.target_type {
            TARGET_TYPE_BYTE_STATEMENT => {
                let statement = self.store.statement(name)?.clone();
                let types = statement.as_ref().map_or(&[] as &[Type], |p| p.param_types());
                let oids = types.iter().map(|ty| ty.oid()).collect();
                let message = ParameterDescription::new(oids);
                self.feed(PgWireBackendMessage::ParameterDescription(message)).await?;
                (statement, None)
            }
            TARGET_TYPE_BYTE_PORTAL => {
                let portal = self.store.portal(name)?;
                (portal.statement.clone(), Some(portal.formats.clone()))
            }
            other => return Err(protocol_violation(format!("cannot describe {other}")).into()),
        };
        let columns = statement.as_ref().and_then(|prepared| prepared.columns());
        let message = match columns {
            None => PgWireBackendMessage::NoData(NoData::new()),
            Some(columns) => {
                let formats = formats.unwrap_or_else(|| vec![Format::Text; columns.len()]);
                PgWireBackendMessage::RowDescription(rows::description(columns, &formats))
            }
        };
        Ok(self.feed(message).await?)
    }

    async fn execute(&mut self, execute: &Execute) -> Handled {
        let name = execute.name.as_deref().unwrap_or("");
        let portal = self.store.portal(name)?;
        let Some(prepared) = portal.statement.clone() else {
            let empty = PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new());
            return Ok(self.feed(empty).await?);
        };
        if matches!(portal.progress, Progress::Bound) {
            let parameters = std::mem::take(&mut portal.parameters);
            portal.progress = Progress::Finished;
            if self.session.runs_alone(&prepared) && self.more_follows().await? {
                self.session.join_pipeline(&prepared);
            }
            let running = self.session.execute(&prepared, parameters);
            let outcome =
                match attended(&mut self.wire, &mut self.ahead, &self.cancel, running).await {
                    Attended::Ended(outcome) => outcome,
                    Attended::ClientGone => return Err(Trouble::Connection(gone())),
                };
            let text = || Some(prepared.statement().sql().to_owned());
            let execution = outcome.map_err(|error| Trouble::Statement(error, text()))?;
            self.forget_what_the_statement_dropped(&execution);
            if let Execution::Done { tag } = execution {
                self.side_messages().await?;
                let done = CommandComplete::new(tag);
                return Ok(self.feed(PgWireBackendMessage::CommandComplete(done)).await?);
            }
            self.store.portal(name)?.progress = execution.into();
        }
        self.side_messages().await?;
        self.send_rows(name, execute.max_rows).await
    }

    /// Whether anything but `Sync` comes next, so that the statement about to run is not the only one
    /// of its pipeline: only that one is a transaction of its own, retried after conflicts (X10).
    ///
    /// Waits for the next message if there is none yet. That delays nobody: without `Flush` or
    /// `Sync` the client is owed no answer.
    async fn more_follows(&mut self) -> io::Result<bool> {
        let mut next = 0;
        loop {
            match self.ahead.get(next) {
                Some(Ok(PgWireFrontendMessage::Close(_))) => next += 1,
                Some(Ok(PgWireFrontendMessage::Sync(_))) => return Ok(false),
                Some(_) => return Ok(true),
                None if next >= READ_AHEAD => return Ok(true),
                None => {
                    let message = self.wire.next().await.ok_or_else(gone)?;
                    self.ahead.push_back(message);
                }
            }
        }
    }

    /// `DEALLOCATE ALL` and `DISCARD ALL` reach the protocol's statements as well.
    fn forget_what_the_statement_dropped(&mut self, execution: &Execution) {
        if matches!(execution.tag(), "DEALLOCATE ALL" | "DISCARD ALL") {
            self.store.close_statements();
        }
    }

    /// The next rows of a portal; at most `max_rows`, all if it is not positive.
    async fn send_rows(&mut self, name: &str, max_rows: i32) -> Handled {
        let context = self.session.context();
        let portal = self.store.portal(name)?;
        let limit = usize::try_from(max_rows).ok().filter(|rows| *rows > 0).unwrap_or(usize::MAX);
        let Progress::Rows(Rows { columns, rest, tag }) = &mut portal.progress else {
            // Run to its end before: PostgreSQL answers with no rows.
            let done = CommandComplete::new("SELECT 0".to_owned());
            return Ok(self.wire.feed(PgWireBackendMessage::CommandComplete(done)).await?);
        };
        for row in rest.by_ref().take(limit) {
            let message = rows::data_row(&row, columns, &portal.formats, &context)?;
            self.wire.feed(PgWireBackendMessage::DataRow(message)).await?;
        }
        let message = if rest.as_slice().is_empty() {
            let done = CommandComplete::new(std::mem::take(tag));
            portal.progress = Progress::Finished;
            PgWireBackendMessage::CommandComplete(done)
        } else {
            PgWireBackendMessage::PortalSuspended(PortalSuspended::new())
        };
        Ok(self.wire.feed(message).await?)
    }

    async fn close(&mut self, close: &Close) -> Handled {
        let name = close.name.as_deref().unwrap_or("");
        match close.target_type {
            TARGET_TYPE_BYTE_STATEMENT => self.store.close_statement(name),
            TARGET_TYPE_BYTE_PORTAL => self.store.close_portal(name),
            other => return Err(protocol_violation(format!("cannot close {other}")).into()),
        }
        Ok(self.feed(PgWireBackendMessage::CloseComplete(CloseComplete::new())).await?)
    }
}

/// The types a client declared for its parameters; zero leaves one open.
fn parameter_types(oids: &[u32]) -> Result<Vec<Option<Type>>, SqlError> {
    let read = |oid: &u32| match *oid {
        0 => Ok(None),
        oid => Type::from_oid(oid, -1).map(Some).ok_or_else(|| {
            SqlError::new(SqlState::UNDEFINED_OBJECT, format!("type with OID {oid} is not known"))
        }),
    };
    oids.iter().map(read).collect()
}

/// How a statement that was watched over ended.
enum Attended<T> {
    Ended(T),
    ClientGone,
}

/// Runs a statement while the connection is watched: what the client sends meanwhile is kept for
/// later; if it goes away the statement is cancelled.
async fn attended<T>(
    wire: &mut Wire,
    ahead: &mut VecDeque<Result<PgWireFrontendMessage, PgWireError>>,
    cancel: &CancelHandle,
    running: impl Future<Output = T>,
) -> Attended<T> {
    tokio::pin!(running);
    loop {
        tokio::select! {
            biased;
            outcome = &mut running => return Attended::Ended(outcome),
            message = wire.next(), if ahead.len() < READ_AHEAD => match message {
                Some(message @ Ok(_)) => ahead.push_back(message),
                Some(Err(_)) | None => {
                    cancel.cancel();
                    // A commit under way is let to its end, for its outcome's sake.
                    return match tokio::time::timeout(LAST_STATEMENT, running).await {
                        Ok(_) | Err(_) => Attended::ClientGone,
                    };
                }
            },
        }
    }
}
