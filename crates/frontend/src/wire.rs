//! A client's socket: frames in, answers out.
//!
//! The length of a message is judged when its header has arrived, before a byte is kept for it: a
//! start-up packet has [`MAX_PACKET`] bytes at most, a message what its [`Kind`] allows. Short ones
//! wait in a buffer of the connection; long ones get memory from the node's [`Budget`] as they
//! arrive. What is refused is skipped as it arrives, so the conversation goes on behind it.
//!
//! Reading is cancel-safe: everything that has arrived is in `self`.
//!
//! A client that takes nothing of its answers for [`OUTPUT_PATIENCE`] is gone as far as anybody can
//! tell; its connection ends, and with it its transaction.

mod socket;
#[cfg(test)]
mod tests;

use std::{io, time::Duration};

use bytes::{Buf, BufMut};
use expr::{SqlError, SqlState};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::{
    answer::Answers,
    budget::{Budget, Charge},
    errors::{self, Severity, protocol_violation},
    message::{Kind, MAX_BODY, Verdict},
};
use socket::Socket;

/// Answers gather up to this many bytes before they are sent without being waited for.
pub const OUTPUT_BYTES: usize = 64 * 1024;
/// The longest packet before the conversation begins (PostgreSQL's own limit).
const MAX_PACKET: usize = 10_000;
/// What a connection buffers of its own; longer messages are charged to the node's budget.
const INPUT_BYTES: usize = 10 * 1024;
/// What a long message gets at least at a time.
const FIRST_BYTES: usize = 64 * 1024;
/// How long a client may take nothing of what it is sent.
const OUTPUT_PATIENCE: Duration = Duration::from_secs(60);
/// How often a socket that is not read is looked at for its client's going.
const WATCH_PAUSE: Duration = Duration::from_millis(100);
/// How long the last words to a client may take, and its own last words are listened to: a socket
/// closed with something unread takes back what was sent.
const FAREWELL: Duration = Duration::from_secs(1);

/// A whole message, or one that was refused as it arrived.
#[derive(Debug)]
pub struct Frame {
    /// Its type.
    pub kind: Kind,
    /// Its body, or why it was skipped.
    pub body: Result<Vec<u8>, SqlError>,
    /// What it holds of the node's budget.
    charge: Option<Charge>,
}

impl Frame {
    /// Its size in memory.
    pub fn size(&self) -> usize {
        size_of::<Frame>() + self.body.as_ref().map_or(0, Vec::capacity)
    }

    /// Its parts; the last is kept until the message has been worked on.
    pub fn into_parts(self) -> (Kind, Result<Vec<u8>, SqlError>, Option<Charge>) {
        (self.kind, self.body, self.charge)
    }
}

/// What came while nobody waited for it.
#[derive(Debug)]
pub enum Ahead {
    /// A message that takes no memory of others.
    Whole(Frame),
    /// A long one begins; nothing of its body is read.
    Long,
    /// Nothing more: the client left.
    Left,
}

/// Why nothing more can be read.
#[derive(Debug)]
pub enum Broken {
    /// The connection is.
    Connection(io::Error),
    /// The client does not speak the protocol.
    Protocol(SqlError),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Broken {
        Broken::Connection(error)
    }
}

/// What is arriving.
#[derive(Debug)]
enum Arriving {
    /// The header of a message.
    Header,
    /// A body that fits into the buffer.
    Short(Kind, usize),
    /// A body with memory of its own: its length, what is there, and what it is charged.
    Long(Kind, usize, Vec<u8>, Charge),
    /// The rest of a body that is skipped, and why.
    Skipped(Kind, usize, SqlError),
}

/// A client's socket.
#[derive(Debug)]
pub struct Wire {
    socket: Socket,
    budget: Budget,
    /// What has arrived and is not taken; from `taken` on.
    input: Vec<u8>,
    taken: usize,
    arriving: Arriving,
    /// What is to be sent.
    pub answers: Answers,
}

impl Wire {
    /// A socket that was just accepted.
    ///
    /// # Errors
    /// The socket's.
    pub fn new(stream: TcpStream, budget: Budget) -> io::Result<Wire> {
        Ok(Wire {
            socket: Socket::new(stream)?,
            budget,
            input: Vec::with_capacity(INPUT_BYTES),
            taken: 0,
            arriving: Arriving::Header,
            answers: Answers::default(),
        })
    }

    /// A packet from before the conversation, without its length; `None`: the client left.
    ///
    /// # Errors
    /// A length that cannot be, and the socket's.
    pub async fn packet(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        loop {
            let mut waiting = self.waiting();
            if waiting.len() >= 4 {
                let length = usize::try_from(waiting.get_i32()).ok();
                let body = length.and_then(|length| length.checked_sub(4));
                let body =
                    body.filter(|body| (4..=MAX_PACKET).contains(body)).ok_or_else(|| {
                        Broken::Protocol(protocol_violation("invalid length of startup packet"))
                    })?;
                if let Some(packet) = waiting.get(..body) {
                    let packet = packet.to_vec();
                    self.take(4 + body);
                    return Ok(Some(packet));
                }
            }
            if self.read_input().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// The first byte that waits, if any.
    pub fn first_byte(&self) -> Option<u8> {
        self.waiting().first().copied()
    }

    /// The next message; `None`: the client left.
    ///
    /// # Errors
    /// A type or length that cannot be, and the socket's.
    pub async fn frame(&mut self) -> Result<Option<Frame>, Broken> {
        loop {
            if let Some(frame) = self.whole_frame()? {
                return Ok(Some(frame));
            }
            let read = match &self.arriving {
                Arriving::Header | Arriving::Short(..) | Arriving::Skipped(..) => {
                    self.read_input().await?
                }
                Arriving::Long(..) => self.read_long().await?,
            };
            if read == 0 {
                return Ok(None);
            }
        }
    }

    /// The next message, unless it is a long one: nothing is taken of the node's budget.
    ///
    /// # Errors
    /// As [`Wire::frame`].
    pub async fn ahead(&mut self) -> Result<Ahead, Broken> {
        loop {
            if let Some(frame) = self.whole_frame()? {
                return Ok(Ahead::Whole(frame));
            }
            if matches!(self.arriving, Arriving::Long(..)) {
                return Ok(Ahead::Long);
            }
            if self.read_input().await? == 0 {
                return Ok(Ahead::Left);
            }
        }
    }

    /// Something that tells at once whether the client is there, also while this is not looked at.
    pub fn presence(&self) -> impl Fn() -> bool + Send + Sync + 'static {
        let socket = self.socket.clone();
        move || socket.is_there()
    }

    /// Returns once the client has hung up, though there may be something of it to read before.
    pub async fn hung_up(&self) {
        // What can be read makes the socket ready at once and tells nothing: hence the pauses.
        while let Ok(ready) = self.socket.ready_to_read().await {
            if ready.is_read_closed() {
                return;
            }
            sleep(WATCH_PAUSE).await;
        }
    }

    /// A message that is whole with what has arrived.
    fn whole_frame(&mut self) -> Result<Option<Frame>, Broken> {
        if matches!(self.arriving, Arriving::Header) {
            let Some(begun) = self.header()? else { return Ok(None) };
            self.arriving = begun;
        }
        let (kind, body, charge) = match std::mem::replace(&mut self.arriving, Arriving::Header) {
            Arriving::Header => unreachable!("it was just replaced"),
            Arriving::Short(kind, length) => match self.waiting().get(..length) {
                Some(body) => {
                    let body = body.to_vec();
                    self.take(length);
                    (kind, Ok(body), None)
                }
                None => {
                    self.arriving = Arriving::Short(kind, length);
                    return Ok(None);
                }
            },
            Arriving::Long(kind, length, mut body, charge) => {
                let more = self.waiting().len().min(body.capacity() - body.len());
                let more = more.min(length - body.len());
                body.extend_from_slice(&self.waiting()[..more]);
                self.take(more);
                if body.len() < length {
                    self.arriving = Arriving::Long(kind, length, body, charge);
                    return Ok(None);
                }
                charge.arrived();
                (kind, Ok(body), Some(charge))
            }
            Arriving::Skipped(kind, left, error) => {
                let here = self.waiting().len().min(left);
                self.take(here);
                if here < left {
                    self.arriving = Arriving::Skipped(kind, left - here, error);
                    return Ok(None);
                }
                (kind, Err(error), None)
            }
        };
        Ok(Some(Frame { kind, body, charge }))
    }

    /// What a header says will arrive; `None`: it is not whole.
    fn header(&mut self) -> Result<Option<Arriving>, Broken> {
        let broken = |message: String| Err(Broken::Protocol(protocol_violation(message)));
        let mut header = self.waiting();
        // A wrong type is told before its length is there.
        let Some(&byte) = header.first() else { return Ok(None) };
        let Some(kind) = Kind::from_byte(byte) else {
            return broken(format!("invalid frontend message type {byte}"));
        };
        if header.len() < 5 {
            return Ok(None);
        }
        header.advance(1);
        let arriving = match kind.judge(header.get_i32()) {
            Verdict::Take(length) if length + 5 <= INPUT_BYTES => Arriving::Short(kind, length),
            Verdict::Take(length) => {
                Arriving::Long(kind, length, Vec::new(), self.budget.arrival())
            }
            Verdict::Skip(length) => Arriving::Skipped(kind, length, too_long(length)),
            Verdict::Broken => return broken("invalid message length".to_owned()),
        };
        self.take(5);
        Ok(Some(arriving))
    }

    /// Reads more of a long message; it gets more memory, or is skipped from here on.
    async fn read_long(&mut self) -> io::Result<usize> {
        let Arriving::Long(_, length, body, charge) = &mut self.arriving else {
            unreachable!("only asked for while one arrives");
        };
        if body.len() == body.capacity() {
            let more = body.len().max(FIRST_BYTES).min(*length - body.len());
            if !charge.grow(more).await {
                return Ok(self.skip_the_rest());
            }
            body.reserve_exact(more);
            // What is in the buffer comes first.
            if self.taken < self.input.len() {
                return Ok(1);
            }
        }
        let room = body.capacity().min(*length) - body.len();
        let mut target = body.limit(room);
        let read = tokio::select! {
            biased;
            () = charge.has_to_give_way() => None,
            read = self.socket.read(&mut target) => Some(read?),
        };
        Ok(read.unwrap_or_else(|| self.skip_the_rest()))
    }

    /// There is no memory for the message that arrives. Answers with a number that is not zero.
    fn skip_the_rest(&mut self) -> usize {
        if let Arriving::Long(kind, length, body, _) = &self.arriving {
            let message = "the node has no memory left for long messages";
            let error = SqlError::new(SqlState::OUT_OF_MEMORY, message)
                .with_hint("Send it again later, or send less at a time.");
            self.arriving = Arriving::Skipped(*kind, length - body.len(), error);
        }
        1
    }

    fn waiting(&self) -> &[u8] {
        &self.input[self.taken..]
    }

    fn take(&mut self, bytes: usize) {
        self.taken += bytes;
        if self.taken == self.input.len() {
            self.input.clear();
            self.taken = 0;
        }
    }

    /// Reads into the connection's own buffer, which has room: whatever fits is taken before.
    async fn read_input(&mut self) -> io::Result<usize> {
        if self.input.len() == INPUT_BYTES {
            self.input.drain(..self.taken);
            self.taken = 0;
        }
        let room = INPUT_BYTES - self.input.len();
        assert!(room > 0, "a header or a short body fits into the buffer");
        self.socket.read(&mut (&mut self.input).limit(room)).await
    }

    /// Sends what has gathered if it is much.
    ///
    /// # Errors
    /// As [`Wire::flush`].
    pub async fn flush_if_full(&mut self) -> io::Result<()> {
        if self.answers.len() >= OUTPUT_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Sends everything.
    ///
    /// # Errors
    /// The socket's; also when the client takes nothing for too long.
    pub async fn flush(&mut self) -> io::Result<()> {
        let mut rest = self.answers.bytes();
        while !rest.is_empty() {
            let written = timeout(OUTPUT_PATIENCE, self.socket.write(rest)).await;
            let written = written.map_err(|_| {
                io::Error::new(io::ErrorKind::TimedOut, "the client takes no answers")
            })??;
            rest = &rest[written..];
        }
        self.answers.clear();
        Ok(())
    }

    /// Sends single bytes that are no message.
    ///
    /// # Errors
    /// The socket's.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = &rest[self.socket.write(rest).await?..];
        }
        Ok(())
    }

    /// Tells the client why the connection ends, and ends it. If it does not listen, it learns by
    /// the closed connection.
    pub async fn farewell(mut self, error: &SqlError) {
        let deadline = Instant::now() + FAREWELL;
        self.answers.forget_partial();
        errors::error(&mut self.answers, error, Severity::Fatal, None);
        if !matches!(timeout_at(deadline, self.flush()).await, Ok(Ok(()))) {
            return;
        }
        let listen = async {
            self.socket.end_sending()?;
            self.input.clear();
            self.taken = 0;
            while self.read_input().await? > 0 {
                self.input.clear();
            }
            Ok::<(), io::Error>(())
        };
        // Whatever comes of it, the connection is over.
        drop(timeout_at(deadline, listen).await);
    }
}

fn too_long(length: usize) -> SqlError {
    SqlError::new(
        SqlState::PROGRAM_LIMIT_EXCEEDED,
        format!("a message of {length} bytes is longer than the {MAX_BODY} bytes allowed"),
    )
}
