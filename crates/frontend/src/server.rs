//! Accepting connections.

use std::{io, sync::Arc, time::Duration};

use sql::{Database, SqlError, SqlState};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};

use crate::{cancel::Cancels, connection::Connection, startup};

/// How a client's start-up may take before it is dropped.
const GREETING_PATIENCE: Duration = Duration::from_secs(30);
/// Pause after a failed accept (the process is out of file descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections beyond the limit that are told so at the same time; still more are dropped.
const REFUSALS: usize = 64;

/// How a server is bounded.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Connections at a time; one more gets `53300`.
    pub max_connections: usize,
    /// Seed of the secrets that cancel requests must name.
    pub secret_seed: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options { max_connections: 1000, secret_seed: 0 }
    }
}

/// Serves clients until `shutdown` turns true, then drops their connections: their transactions are
/// rolled back.
pub async fn serve(
    listener: TcpListener,
    database: Database,
    options: Options,
    mut shutdown: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(options.max_connections));
    let refusals = Arc::new(Semaphore::new(REFUSALS));
    let server = Server { database, cancels: Cancels::default(), seed: options.secret_seed };
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = shutdown.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let server = server.clone();
        if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
            // A connection belongs to the node: it stands still when the node does.
            connections.spawn(clock::inherit(async move {
                let _place = place;
                server.connection(stream).await;
            }));
        } else if let Ok(place) = Arc::clone(&refusals).try_acquire_owned() {
            connections.spawn(async move {
                let _place = place;
                server.turn_away(stream).await;
            });
        }
    }
    connections.shutdown().await;
}

#[derive(Clone)]
struct Server {
    database: Database,
    cancels: Cancels,
    seed: u64,
}

impl Server {
    async fn connection(&self, stream: TcpStream) {
        let greeted = timeout(GREETING_PATIENCE, startup::greet(stream, &self.cancels)).await;
        let (wire, options) = match greeted {
            Ok(Ok(Some(greeted))) => greeted,
            // It cancelled, was refused, broke off or dawdled.
            Ok(Ok(None)) | Err(_) => return,
            Ok(Err(error)) => return tracing::debug!("a client broke off: {error}"),
        };
        let ended = match self.database.session(options) {
            Ok(session) => {
                let secret = self.secret(session.pid());
                Connection::new(wire, session, secret, &self.cancels).run().await
            }
            Err(error) => startup::refuse::<()>(wire, &error).await.map(|_| ()),
        };
        if let Err(error) = ended {
            tracing::debug!("a client broke off: {error}");
        }
    }

    /// Beyond the limit: cancel requests are still served, everybody else is told.
    async fn turn_away(&self, stream: TcpStream) {
        let greeted = timeout(GREETING_PATIENCE, startup::greet(stream, &self.cancels)).await;
        if let Ok(Ok(Some((wire, _)))) = greeted {
            let error =
                SqlError::new(SqlState::TOO_MANY_CONNECTIONS, "sorry, too many clients already");
            // If it does not listen, it learns by the closed connection.
            drop(startup::refuse::<()>(wire, &error).await);
        }
    }

    /// A number that a stranger does not guess: the seed and the pid, mixed (splitmix64).
    fn secret(&self, pid: i32) -> i32 {
        let mut z = self.seed.wrapping_add(u64::from(pid.cast_unsigned()) << 32 | 0x9e37_79b9);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let secret = ((z ^ (z >> 31)) >> 32) as u32;
        secret.cast_signed()
    }
}

/// The error of a connection whose client is gone.
pub fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the client is gone")
}
