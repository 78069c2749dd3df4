//! Messages of one client, also those that arrive while a statement runs.

use std::{collections::VecDeque, io, time::Duration};

use sql::CancelHandle;

use crate::{
    message::Kind,
    server::gone,
    wire::{Broken, Frame, Wire},
};

/// Memory of messages read ahead while a statement runs, in bytes; then the client has to wait.
const AHEAD_BYTES: usize = 256 * 1024;
/// How long a statement of a client that went away may take to end after it was cancelled.
const LAST_STATEMENT: Duration = Duration::from_secs(60);

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

    /// Reads one message ahead; whether there was one.
    async fn look_ahead(&mut self) -> io::Result<bool> {
        match self.wire.frame().await {
            Ok(Some(frame)) => {
                self.ahead_bytes += frame.size();
                self.ahead.push_back(frame);
                Ok(true)
            }
            Ok(None) => Err(gone()),
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
    /// Waits for the next message if there is none yet. That delays nobody: without `Flush` or
    /// `Sync` the client is owed no answer.
    ///
    /// # Errors
    /// The client is gone.
    pub async fn more_follows(&mut self) -> io::Result<bool> {
        let mut next = 0;
        loop {
            match self.ahead.get(next).map(|frame| frame.kind) {
                Some(Kind::Close) => next += 1,
                Some(Kind::Sync) => return Ok(false),
                Some(_) => return Ok(true),
                None if self.ahead_bytes >= AHEAD_BYTES => return Ok(true),
                None => {
                    if self.broken.is_some() || !self.look_ahead().await? {
                        return Ok(true);
                    }
                }
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
        loop {
            let watching = self.broken.is_none() && self.ahead_bytes < AHEAD_BYTES;
            let heard = tokio::select! {
                biased;
                outcome = &mut running => return Ok(outcome),
                heard = self.look_ahead(), if watching => heard,
            };
            if let Err(error) = heard {
                cancel.cancel();
                // A commit under way is let to its end, for its outcome's sake.
                drop(tokio::time::timeout(LAST_STATEMENT, running).await);
                return Err(error);
            }
        }
    }
}
