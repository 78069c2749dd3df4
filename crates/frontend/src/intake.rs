//! Messages of one client, also those that arrive while a statement runs.
//!
//! What arrives meanwhile is read ahead, but not all of it: at [`AHEAD_BYTES`], or at the header of
//! a long message, reading stops. Long messages share memory with all clients of the node, and one
//! that waits for a statement to end would keep the others from theirs for as long. The rest waits in
//! the socket; whether the client hung up behind it is looked for all the time.
//!
//! HAZARD: a client's going stands behind what it sent. If that is more than the sockets' buffers
//! take, it cannot be seen before its statement ends, at its `statement_timeout` at the latest.

use std::{collections::VecDeque, io, time::Duration};

use sql::CancelHandle;
use tokio::time::timeout;

use crate::{
    message::Kind,
    server::gone,
    wire::{Ahead, Broken, Frame, Wire},
};

/// Memory of messages read ahead while a statement runs, in bytes; then the client has to wait.
const AHEAD_BYTES: usize = 256 * 1024;
/// How long a statement of a client that went away may take to end after it was cancelled.
const LAST_STATEMENT: Duration = Duration::from_secs(60);

/// How long the message behind an Execute is waited for. A client sends it at once, unless it has
/// forgotten it, or wants to see first what the statement does.
const PIPELINE_PATIENCE: Duration = Duration::from_millis(10);

/// The messages of a client.
#[derive(Debug)]
pub struct Intake<'a> {
    /// Its socket.
    pub wire: &'a mut Wire,
    /// Messages that arrived while a statement ran.
    ahead: VecDeque<Frame>,
    /// Their memory.
    ahead_bytes: usize,
    /// What came behind them and was none.
    broken: Option<Broken>,
}

impl<'a> Intake<'a> {
    /// Of a client that was greeted.
    pub fn new(wire: &'a mut Wire) -> Intake<'a> {
        Intake { wire, ahead: VecDeque::new(), ahead_bytes: 0, broken: None }
    }

    /// The next message; `None`: the client left.
    ///
    /// # Errors
    /// What arrived is none, or the connection broke.
    pub async fn next(&mut self) -> Result<Option<Frame>, Broken> {
        if let Some(frame) = self.ahead.pop_front() {
            self.ahead_bytes -= frame.size();
            return Ok(Some(frame));
        }
        match self.broken.take() {
            Some(broken) => Err(broken),
            None => self.wire.frame().await,
        }
    }

    /// Reads one message ahead; `false`: what comes next is not read ahead.
    async fn look_ahead(&mut self) -> io::Result<bool> {
        match self.wire.ahead().await {
            Ok(Ahead::Whole(frame)) => {
                self.ahead_bytes += frame.size();
                self.ahead.push_back(frame);
                Ok(true)
            }
            Ok(Ahead::Long) => Ok(false),
            Ok(Ahead::Left) => Err(gone()),
            Err(Broken::Connection(error)) => Err(error),
            Err(broken @ Broken::Protocol(_)) => {
                self.broken = Some(broken);
                Ok(false)
            }
        }
    }

    /// Whether anything but `Sync` comes next, so that the statement about to run is not the only one
    /// of its pipeline: only that one is a transaction of its own, retried after conflicts (X10).
    ///
    /// Waits a moment for the next message if there is none yet. That delays hardly anybody: without
    /// `Flush` or `Sync` the client is owed no answer. If none comes, more may.
    ///
    /// # Errors
    /// The client is gone.
    pub async fn more_follows(&mut self) -> io::Result<bool> {
        timeout(PIPELINE_PATIENCE, self.look_for_more()).await.unwrap_or(Ok(true))
    }

    async fn look_for_more(&mut self) -> io::Result<bool> {
        let mut next = 0;
        loop {
            match self.ahead.get(next).map(|frame| frame.kind) {
                Some(Kind::Close) => next += 1,
                Some(Kind::Sync) => return Ok(false),
                Some(_) => return Ok(true),
                // No Sync is long.
                None if self.is_full() || !self.look_ahead().await? => return Ok(true),
                None => {}
            }
        }
    }

    /// Runs a statement while the connection is watched: what the client sends meanwhile is kept
    /// for later; if it goes away the statement is cancelled.
    ///
    /// # Errors
    /// The client is gone.
    pub async fn attend<T>(
        &mut self,
        cancel: &CancelHandle,
        running: impl Future<Output = T>,
    ) -> io::Result<T> {
        tokio::pin!(running);
        let error = tokio::select! {
            biased;
            outcome = &mut running => return Ok(outcome),
            error = self.watch() => error,
        };
        cancel.cancel();
        // A commit under way is let to its end, for its outcome's sake.
        drop(timeout(LAST_STATEMENT, running).await);
        Err(error)
    }

    /// Reads ahead what may be, and returns once the client is gone.
    async fn watch(&mut self) -> io::Error {
        loop {
            let read = if self.is_full() { Ok(false) } else { self.look_ahead().await };
            match read {
                Ok(true) => {}
                Ok(false) => {
                    self.wire.hung_up().await;
                    return gone();
                }
                Err(error) => return error,
            }
        }
    }

    /// Whether nothing more is read ahead, whatever comes.
    fn is_full(&self) -> bool {
        self.broken.is_some() || self.ahead_bytes >= AHEAD_BYTES
    }
}
