//! One client's conversation: its loop, simple queries, and what is told when something fails.

use std::sync::Arc;

use expr::{SqlError, SqlState};
use sql::{CancelHandle, Execution, ResultColumn, Row, Session, TxnStatus};

use crate::{
    answer::Status,
    cancel::{Cancels, Registration},
    errors::{self, Severity},
    intake::Intake,
    message::{Kind, Message},
    rows::{self, Format},
    server::End,
    store::Store,
    wire::{Broken, Frame, Wire},
};

/// A connection with its session.
pub struct Connection<'a> {
    pub(crate) intake: Intake<'a>,
    pub(crate) session: Session,
    pub(crate) store: Store,
    /// After an error in the extended protocol: everything up to Sync is skipped.
    skipping: bool,
    secret: i32,
    /// Cancels this session's statement when its client is gone.
    pub(crate) cancel: CancelHandle,
    /// Settings as the client knows them.
    told: Arc<[(String, String)]>,
    _cancels: Registration,
}

/// What a handler ends with: the connection's end, or the statement's.
pub(crate) enum Trouble {
    /// The connection is over.
    Connection(End),
    /// The statement failed; the text is what places are counted in.
    Statement(SqlError, Option<String>),
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Trouble {
        Trouble::Connection(error.into())
    }
}

impl From<SqlError> for Trouble {
    fn from(error: SqlError) -> Trouble {
        Trouble::Statement(error, None)
    }
}

pub(crate) type Handled = Result<(), Trouble>;

impl<'a> Connection<'a> {
    /// A connection whose client was greeted.
    pub fn new(
        wire: &'a mut Wire,
        session: Session,
        secret: i32,
        cancels: &Cancels,
    ) -> Connection<'a> {
        let cancel = session.cancel_handle();
        let registration = cancels.register(session.pid(), secret, cancel.clone());
        Connection {
            intake: Intake::new(wire),
            session,
            store: Store::default(),
            skipping: false,
            secret,
            cancel,
            told: Arc::default(),
            _cancels: registration,
        }
    }

    /// Serves the client until it leaves; then its transaction is rolled back.
    ///
    /// # Errors
    /// How it ends otherwise.
    pub async fn run(mut self) -> Result<(), End> {
        let ended = self.converse().await;
        self.session.close().await;
        ended
    }

    async fn converse(&mut self) -> Result<(), End> {
        self.welcome().await?;
        loop {
            let frame = match self.next().await? {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(()),
                Err(Broken::Connection(error)) => return Err(End::Gone(error)),
                Err(Broken::Protocol(error)) => return Err(End::Told(error)),
            };
            let (kind, body, _charge) = frame.into_parts();
            if self.skipping && !kind.ends_skipping() {
                continue;
            }
            let handled = match body.and_then(|body| Message::decode(kind, body)) {
                Ok(Message::Terminate) => return Ok(()),
                Ok(message) => self.message(message).await,
                Err(error) => Err(error.into()),
            };
            match handled {
                // A client may send for ever without asking for an answer.
                Ok(()) => self.intake.wire.flush_if_full().await?,
                Err(Trouble::Connection(end)) => return Err(end),
                Err(Trouble::Statement(error, text)) => {
                    self.tell(&error, text.as_deref(), kind).await?;
                }
            }
        }
    }

    /// The next message, unless the client is idle for longer than its settings allow.
    async fn next(&mut self) -> Result<Result<Option<Frame>, Broken>, End> {
        let effective = self.session.effective();
        let (limit, state, message) = match self.session.status() {
            TxnStatus::Idle => (
                effective.idle_timeout,
                SqlState::IDLE_SESSION_TIMEOUT,
                "terminating connection due to idle-session timeout",
            ),
            TxnStatus::InTransaction | TxnStatus::Failed => (
                effective.idle_in_transaction_timeout,
                SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
                "terminating connection due to idle-in-transaction timeout",
            ),
        };
        let next = self.intake.next();
        match limit {
            None => Ok(next.await),
            Some(limit) => tokio::time::timeout(limit, next)
                .await
                .map_err(|_| End::Told(SqlError::new(state, message))),
        }
    }

    async fn welcome(&mut self) -> Result<(), End> {
        let answers = &mut self.intake.wire.answers;
        answers.welcome();
        self.told = self.session.effective().reported.clone();
        for (name, value) in &*self.told {
            answers.parameter_status(name, value);
        }
        answers.backend_key(self.session.pid(), self.secret);
        self.ready().await
    }

    async fn message(&mut self, message: Message) -> Handled {
        match message {
            Message::Query(text) => self.query(&text).await,
            Message::Parse(parse) => self.parse(parse).await,
            Message::Bind(bind) => self.bind(bind),
            Message::Describe(target) => self.describe(&target),
            Message::Execute(portal, max_rows) => self.execute(&portal, max_rows).await,
            Message::Close(target) => self.close(&target),
            Message::Flush => Ok(self.intake.wire.flush().await?),
            Message::Sync => self.sync().await,
            Message::Call => Err(SqlError::unsupported("the function call protocol").into()),
            Message::Copy | Message::Terminate => Ok(()),
        }
    }

    /// Tells an error at once: the client may wait for it before it sends anything more. What
    /// follows depends on the protocol's part it happened in.
    async fn tell(&mut self, error: &SqlError, text: Option<&str>, kind: Kind) -> Result<(), End> {
        self.session.fail().await;
        self.notices();
        errors::error(&mut self.intake.wire.answers, error, Severity::Error, text);
        match kind {
            Kind::Sync => {
                self.skipping = false;
                self.ready().await
            }
            Kind::Query | Kind::Call => self.ready().await,
            Kind::Parse
            | Kind::Bind
            | Kind::Describe
            | Kind::Execute
            | Kind::Close
            | Kind::Flush => {
                self.skipping = true;
                Ok(self.intake.wire.flush().await?)
            }
            Kind::Copy | Kind::Terminate => Ok(self.intake.wire.flush().await?),
        }
    }

    async fn ready(&mut self) -> Result<(), End> {
        self.changed_settings();
        let status = match self.session.status() {
            TxnStatus::Idle => Status::Idle,
            TxnStatus::InTransaction => Status::InTransaction,
            TxnStatus::Failed => Status::Failed,
        };
        if status == Status::Idle {
            self.close_portals();
        }
        self.intake.wire.answers.ready(status);
        Ok(self.intake.wire.flush().await?)
    }

    /// Notices, before the result they belong to.
    pub(crate) fn notices(&mut self) {
        for notice in self.session.take_notices() {
            errors::notice(&mut self.intake.wire.answers, &notice);
        }
    }

    /// Settings that the client knows otherwise: told before it may go on, as PostgreSQL does.
    fn changed_settings(&mut self) {
        let now = self.session.effective().reported.clone();
        if Arc::ptr_eq(&now, &self.told) {
            return;
        }
        for (known, now) in self.told.iter().zip(&*now) {
            if known != now {
                self.intake.wire.answers.parameter_status(&now.0, &now.1);
            }
        }
        self.told = now;
    }

    async fn query(&mut self, text: &str) -> Handled {
        let at = |error| Trouble::Statement(error, Some(text.to_owned()));
        let statements = self.session.parse(text).map_err(at)?;
        if statements.is_empty() {
            self.intake.wire.answers.empty_query();
        }
        for (number, statement) in statements.iter().enumerate() {
            let running = self.session.step(statement, statements.len());
            let execution = self.intake.attend(&self.cancel, running).await?.map_err(at)?;
            self.forget_what_the_statement_dropped(&execution, None);
            self.notices();
            let tag = self.rows(execution).await?;
            if number + 1 == statements.len() {
                // What the statements share is committed before the last one is called done.
                let ending = self.session.end_pipeline();
                self.intake.attend(&self.cancel, ending).await?.map_err(at)?;
                self.notices();
            }
            self.intake.wire.answers.command_complete(&tag);
            self.intake.wire.flush_if_full().await?;
        }
        self.ready().await.map_err(Trouble::Connection)
    }

    /// The rows of a result of the simple protocol, in text, if it has any; answers with its tag.
    async fn rows(&mut self, execution: Execution) -> Result<String, Trouble> {
        let (columns, rows, tag) = match execution {
            Execution::Done { tag } => return Ok(tag),
            Execution::Rows { columns, rows, tag } => (columns, rows, tag),
        };
        let formats = vec![Format::Text; columns.len()];
        rows::description(&mut self.intake.wire.answers, &columns, &formats)?;
        self.send(&mut rows.into_iter(), &columns, &formats).await?;
        Ok(tag)
    }

    /// Sends rows; each is dropped as it is written.
    pub(crate) async fn send(
        &mut self,
        rows: &mut (dyn Iterator<Item = Row> + Send),
        columns: &[ResultColumn],
        formats: &[Format],
    ) -> Handled {
        let context = self.session.context();
        for row in rows {
            rows::data_row(&mut self.intake.wire.answers, &row, columns, formats, &context)?;
            self.intake.wire.flush_if_full().await?;
        }
        Ok(())
    }

    /// The end of a pipeline: what its statements share is committed. After an error nothing is left
    /// to commit.
    async fn sync(&mut self) -> Handled {
        self.skipping = false;
        let ending = self.session.end_pipeline();
        self.intake.attend(&self.cancel, ending).await??;
        self.notices();
        self.ready().await.map_err(Trouble::Connection)
    }

    /// The transaction is over, and its portals with it.
    fn close_portals(&mut self) {
        self.store.close_portals();
        self.session.portals().clear();
    }
}
