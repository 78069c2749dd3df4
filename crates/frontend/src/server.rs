//! Accepting connections.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use sql::{
    Database, SessionOptions, SqlError, SqlState,
    contain::{Panicked, contain},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{sleep, timeout},
};

use crate::{
    budget::Budget,
    cancel::Cancels,
    connection::Connection,
    lanes::Lanes,
    lobby::{Lobby, Place},
    startup::{self, Greeted},
    wire::Wire,
};

/// How long a client's start-up may take before it is dropped.
const GREETING_PATIENCE: Duration = Duration::from_secs(10);
/// Pause after a failed accept (the process is out of file descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How a server is bounded.
#[derive(Clone, Debug)]
pub struct Options {
    /// Connections at a time; one more gets `53300`.
    pub max_connections: usize,
    /// Bytes that long messages of all clients may take. A message that finds no room gets `53200`.
    pub message_memory: usize,
    /// Seed of the secrets that cancel requests must name.
    pub secret_seed: u64,
    /// Where sessions go on that compute for long.
    pub lanes: Lanes,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            max_connections: 1000,
            message_memory: 128 << 20,
            secret_seed: 0,
            lanes: Lanes::default(),
        }
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
    let server = Server {
        database,
        cancels: Cancels::default(),
        lobby: Lobby::default(),
        places: Arc::new(Semaphore::new(options.max_connections)),
        budget: Budget::new(options.message_memory),
        seed: options.secret_seed,
    };
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = shutdown.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            // A connection belongs to the node: it stands still when the node does.
            Ok((stream, from)) => {
                let place = server.lobby.enter(from.ip());
                let connection = server.clone().connection(stream, from, place);
                connections.spawn(clock::inherit(options.lanes.run(connection)));
            }
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    connections.shutdown().await;
}

#[derive(Clone)]
struct Server {
    database: Database,
    cancels: Cancels,
    lobby: Lobby,
    /// Places of sessions.
    places: Arc<Semaphore>,
    budget: Budget,
    seed: u64,
}

/// A client that may have a session.
type Admitted = (SessionOptions, OwnedSemaphorePermit);

impl Server {
    async fn connection(self, stream: TcpStream, from: SocketAddr, place: Place) {
        let mut wire = match Wire::new(stream, self.budget.clone()) {
            Ok(wire) => wire,
            Err(error) => return tracing::debug!("{from} broke off: {error}"),
        };
        let mut stay = Stay::Lobby(place);
        let error = match contain(self.serve(&mut wire, &mut stay)).await {
            Ok(Ok(())) => return,
            Ok(Err(End::Left)) => return tracing::debug!("{from} came and went"),
            Ok(Err(End::Gone(error))) => return tracing::debug!("{from} broke off: {error}"),
            Ok(Err(End::Told(error))) => error,
            Err(Panicked(message)) => {
                let count = self.database.note_panic();
                tracing::error!("the session of {from} panicked ({count} so far): {message}");
                SqlError::new(SqlState::INTERNAL_ERROR, "the session failed").with_detail(message)
            }
        };
        // Its place is taken until it is gone, so that also those who are told are few.
        tokio::select! {
            biased;
            () = stay.ends() => {}
            () = wire.farewell(&error) => {}
        }
    }

    async fn serve(&self, wire: &mut Wire, stay: &mut Stay) -> Result<(), End> {
        let admission = timeout(GREETING_PATIENCE, self.admit(wire));
        let (options, place) = tokio::select! {
            biased;
            () = stay.ends() => return Err(End::Left),
            admitted = admission => admitted.unwrap_or(Err(End::Left))?,
        };
        *stay = Stay::Session(place);
        let session = self.database.session(options).map_err(End::Told)?;
        session.watch_client(wire.presence());
        let secret = self.secret(session.pid());
        Connection::new(wire, session, secret, &self.cancels).run().await
    }

    /// Greets a client and finds it a place.
    async fn admit(&self, wire: &mut Wire) -> Result<Admitted, End> {
        let options = match startup::greet(wire, &self.cancels).await? {
            Greeted::Session(options) => options,
            Greeted::Nothing => return Err(End::Left),
            Greeted::Refused(error) => return Err(End::Told(error)),
        };
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let message = "sorry, too many clients already";
            End::Told(SqlError::new(SqlState::TOO_MANY_CONNECTIONS, message))
        })?;
        Ok((options, permit))
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

/// What a connection takes up.
#[derive(Debug)]
enum Stay {
    /// A place in the lobby.
    Lobby(Place),
    /// A session's place.
    Session(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit),
}

impl Stay {
    /// Returns once somebody else has the place.
    async fn ends(&self) {
        match self {
            Stay::Lobby(place) => place.lost().await,
            Stay::Session(_) => std::future::pending().await,
        }
    }
}

/// How a conversation ends, if not by the client's goodbye.
#[derive(Debug)]
pub enum End {
    /// There was none: the client cancelled a statement, dawdled, or gave way to others.
    Left,
    /// The connection broke.
    Gone(io::Error),
    /// The client is told why.
    Told(SqlError),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        End::Gone(error)
    }
}

/// The error of a connection whose client is gone.
pub fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the client is gone")
}
