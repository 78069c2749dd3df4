//! Command tags, read off the connection as they pass.
//!
//! The client library tells how many rows a command changed, not its tag, and the tag alone says
//! that a `COMMIT` was none: a failed transaction answers it with `ROLLBACK`. So the shell looks at
//! the frames of the protocol (one byte of type, four of length, the body) on their way to the
//! library, and keeps what `CommandComplete` says.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Tags that came and were not taken, at most this many; older ones go first.
const MAX_TAGS: usize = 100_000;

/// The tags of a connection, in the order of their commands. An empty query has an empty one.
#[derive(Clone, Debug, Default)]
pub struct Tags(Arc<Mutex<VecDeque<String>>>);

impl Tags {
    /// The tag of the oldest command whose tag was not taken yet.
    pub fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Forgets tags of commands whose results nobody saw.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn push(&self, tag: String) {
        let mut tags = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tags.len() == MAX_TAGS {
            tags.pop_front();
        }
        tags.push_back(tag);
    }
}

/// A stream from the server that tells the tags it carries.
#[derive(Debug)]
pub struct Tapped<S> {
    stream: S,
    frames: Frames,
}

impl<S> Tapped<S> {
    /// Listens to a stream from its first byte.
    pub fn new(stream: S, tags: Tags) -> Tapped<S> {
        Tapped { stream, frames: Frames { head: Vec::new(), body: Vec::new(), missing: 0, tags } }
    }
}

/// Bytes of a frame's type and length.
const HEAD: usize = 5;

/// Where in the frames the stream is.
#[derive(Debug)]
struct Frames {
    /// Type and length, as far as they came.
    head: Vec<u8>,
    /// The body of a `CommandComplete`, as far as it came; other bodies are not kept.
    body: Vec<u8>,
    /// Bytes of the body that are still to come.
    missing: usize,
    tags: Tags,
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
            if self.head[0] == b'C' {
                self.body.extend_from_slice(body);
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
        match self.head[0] {
            b'C' => {
                let tag = String::from_utf8_lossy(&self.body);
                self.tags.push(tag.trim_end_matches('\0').to_owned());
            }
            b'I' => self.tags.push(String::new()),
            _ => {}
        }
        self.head.clear();
        self.body.clear();
    }
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

    #[test]
    fn tags_are_found_however_the_stream_is_cut() {
        let stream = [
            frame(b'R', &[0, 0, 0, 0]),
            frame(b'D', b"C\0\0\0\x08not a tag"),
            frame(b'C', b"INSERT 0 3\0"),
            frame(b'n', b""),
            frame(b'I', b""),
            frame(b'C', b"ROLLBACK\0"),
            frame(b'Z', b"I"),
        ]
        .concat();
        for size in 1..=stream.len() {
            let tags = Tags::default();
            let mut tapped = Tapped::new(tokio::io::empty(), tags.clone());
            stream.chunks(size).for_each(|chunk| tapped.frames.feed(chunk));
            let seen: Vec<String> = std::iter::from_fn(|| tags.take()).collect();
            assert_eq!(seen, ["INSERT 0 3", "", "ROLLBACK"], "in parts of {size} bytes");
        }
    }
}
