//! What the client library does not tell, read off the connection as it passes.
//!
//! The library tells how many rows a command changed, not its tag, and the tag alone says that a
//! `COMMIT` was none: a failed transaction answers it with `ROLLBACK`. It tells the names of columns,
//! not their types, and not whether a transaction is open. So the shell looks at the frames of the
//! protocol (one byte of type, four of length, the body) on their way to the library, and keeps what
//! `CommandComplete`, `RowDescription` and `ReadyForQuery` say.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Tags and descriptions that came and were not taken, at most this many of each; older ones go
/// first.
const MAX_HEARD: usize = 100_000;

/// The longest body that is kept; a longer one tells nothing.
const MAX_BODY: usize = 1 << 20;

/// Whether a transaction block is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Block {
    /// None is.
    #[default]
    Idle,
    /// One is.
    Open,
    /// One is that failed, and can only be ended.
    Failed,
}

/// What was heard on a connection. Cheap to clone: all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Heard(Arc<Mutex<Ears>>);

#[derive(Debug, Default)]
struct Ears {
    /// Tags, in the order of their commands. An empty query has an empty one.
    tags: VecDeque<String>,
    /// Types of the columns of each result with rows, by PostgreSQL's numbers.
    types: VecDeque<Vec<u32>>,
    block: Block,
}

impl Heard {
    fn ears(&self) -> MutexGuard<'_, Ears> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tag of the oldest command whose tag was not taken yet.
    pub fn take_tag(&self) -> Option<String> {
        self.ears().tags.pop_front()
    }

    /// The types of the columns of the oldest result whose types were not taken yet.
    pub fn take_types(&self) -> Option<Vec<u32>> {
        self.ears().types.pop_front()
    }

    /// Whether a transaction block is open, as the server said last.
    pub fn block(&self) -> Block {
        self.ears().block
    }

    /// Forgets what belongs to commands whose results nobody saw.
    pub fn clear(&self) {
        let mut ears = self.ears();
        ears.tags.clear();
        ears.types.clear();
    }
}

/// Adds to a queue that is never longer than [`MAX_HEARD`].
fn push<T>(queue: &mut VecDeque<T>, heard: T) {
    if queue.len() == MAX_HEARD {
        queue.pop_front();
    }
    queue.push_back(heard);
}

/// A stream from the server that is listened to.
#[derive(Debug)]
pub struct Tapped<S> {
    stream: S,
    frames: Frames,
}

impl<S> Tapped<S> {
    /// Listens to a stream from its first byte on.
    pub fn new(stream: S, heard: Heard) -> Tapped<S> {
        Tapped { stream, frames: Frames { head: Vec::new(), body: Vec::new(), missing: 0, heard } }
    }
}

/// Bytes of a frame's type and length.
const HEAD: usize = 5;

/// Where in the frames the stream is.
#[derive(Debug)]
struct Frames {
    /// Type and length, as far as they came.
    head: Vec<u8>,
    /// The body, as far as it came; only of those that are listened to.
    body: Vec<u8>,
    /// Bytes of the body that are still to come.
    missing: usize,
    heard: Heard,
}

impl Frames {
    fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.head.len() < HEAD {
                let (head, rest) = bytes.split_at(bytes.len().min(HEAD - self.head.len()));
                self.head.extend_from_slice(head);
                bytes = rest;
                if self.head.len() < HEAD {
                    return;
                }
                let length = self.head[1..].try_into().expect("four bytes");
                // The length counts itself.
                self.missing = (u32::from_be_bytes(length) as usize).saturating_sub(4);
            }
            let (body, rest) = bytes.split_at(bytes.len().min(self.missing));
            let kept = MAX_BODY.saturating_sub(self.body.len()).min(body.len());
            if matches!(self.head[0], b'C' | b'T' | b'Z') {
                self.body.extend_from_slice(&body[..kept]);
            }
            self.missing -= body.len();
            bytes = rest;
            if self.missing == 0 {
                self.end();
            }
        }
    }

    /// A frame is complete.
    fn end(&mut self) {
        let mut ears = self.heard.ears();
        match self.head[0] {
            b'C' => {
                let tag = String::from_utf8_lossy(&self.body);
                push(&mut ears.tags, tag.trim_end_matches('\0').to_owned());
            }
            b'I' => push(&mut ears.tags, String::new()),
            b'T' => push(&mut ears.types, column_types(&self.body)),
            b'Z' => {
                ears.block = match self.body.first() {
                    Some(b'T') => Block::Open,
                    Some(b'E') => Block::Failed,
                    _ => Block::Idle,
                }
            }
            _ => {}
        }
        drop(ears);
        self.head.clear();
        self.body.clear();
    }
}

/// The types that a `RowDescription` tells, as far as it was kept.
fn column_types(body: &[u8]) -> Vec<u32> {
    /// Table, number of the column, type, its size, its modifier, format: 18 bytes behind a name.
    const REST: usize = 18;
    const TYPE_AT: usize = 6;
    let mut types = Vec::new();
    let mut rest = body.get(2..).unwrap_or_default();
    while let Some(name) = rest.iter().position(|byte| *byte == 0) {
        let fields = &rest[name + 1..];
        let Some(bytes) = fields.get(TYPE_AT..TYPE_AT + 4) else { break };
        types.push(u32::from_be_bytes(bytes.try_into().expect("four bytes")));
        rest = fields.get(REST..).unwrap_or_default();
    }
    types
}

impl<S: AsyncRead + Unpin> AsyncRead for Tapped<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.frames.feed(&buffer.filled()[before..]);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tapped<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).expect("short");
        [&[kind], &length.to_be_bytes()[..], body].concat()
    }

    /// A column of a `RowDescription`.
    fn column(name: &str, ty: u32) -> Vec<u8> {
        let rest = [0, 0, 0, 9, 0, 1].into_iter().chain(ty.to_be_bytes()).chain([0; 8]);
        name.bytes().chain([0]).chain(rest).collect()
    }

    fn stream() -> Vec<u8> {
        let columns = [&[0, 2][..], &column("id", 20), &column("C", 25)].concat();
        [
            frame(b'R', &[0, 0, 0, 0]),
            frame(b'Z', b"T"),
            frame(b'T', &columns),
            frame(b'D', b"C\0\0\0\x08not a tag"),
            frame(b'C', b"INSERT 0 3\0"),
            frame(b'n', b""),
            frame(b'I', b""),
            frame(b'C', b"ROLLBACK\0"),
            frame(b'Z', b"E"),
        ]
        .concat()
    }

    #[test]
    fn what_is_heard_does_not_depend_on_how_the_stream_is_cut() {
        let stream = stream();
        for size in 1..=stream.len() {
            let heard = Heard::default();
            let mut tapped = Tapped::new(tokio::io::empty(), heard.clone());
            stream.chunks(size).for_each(|chunk| tapped.frames.feed(chunk));
            let seen: Vec<String> = std::iter::from_fn(|| heard.take_tag()).collect();
            assert_eq!(seen, ["INSERT 0 3", "", "ROLLBACK"], "in parts of {size} bytes");
            assert_eq!(heard.take_types(), Some(vec![20, 25]), "in parts of {size} bytes");
            assert_eq!((heard.take_types(), heard.block()), (None, Block::Failed));
        }
    }

    #[test]
    fn a_description_that_was_cut_tells_what_it_has() {
        let whole = [&[0, 2][..], &column("id", 20), &column("v", 25)].concat();
        for length in 0..whole.len() {
            assert!(column_types(&whole[..length]).len() <= 2);
        }
        assert_eq!(column_types(&whole[..whole.len() - 1]), [20, 25]);
    }
}
