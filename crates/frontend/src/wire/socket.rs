//! A connected socket that two hold: whoever reads and writes it, and whoever asks in the midst of a
//! long computation whether anybody is at the other end.

use std::{io, sync::Arc};

use bytes::BufMut;
use rustix::{
    io::Errno,
    net::{self, RecvFlags, Shutdown},
};
use tokio::{
    io::{Interest, Ready},
    net::TcpStream,
};

/// A client's last message.
const TERMINATE: [u8; 5] = *b"X\0\0\0\x04";

/// A connected socket; it is closed when its last holder is gone.
#[derive(Clone, Debug)]
pub struct Socket(Arc<TcpStream>);

impl Socket {
    /// A socket that was just accepted.
    ///
    /// # Errors
    /// The system's.
    pub fn new(stream: TcpStream) -> io::Result<Socket> {
        stream.set_nodelay(true)?;
        Ok(Socket(Arc::new(stream)))
    }

    /// Waits for bytes and appends them, as far as there is room; 0: the client will send no more.
    /// Nothing is lost if this is dropped.
    ///
    /// # Errors
    /// The system's.
    pub async fn read(&self, target: &mut impl BufMut) -> io::Result<usize> {
        loop {
            self.0.readable().await?;
            match self.0.try_read_buf(target) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }

    /// Sends as many of the bytes as the system takes, at least one.
    ///
    /// # Errors
    /// The system's.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.0.writable().await?;
            match self.0.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                written => return written,
            }
        }
    }

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    /// The system's.
    pub fn end_sending(&self) -> io::Result<()> {
        Ok(net::shutdown(&*self.0, Shutdown::Write)?)
    }

    /// Waits until there is something to read, or until there never will be.
    ///
    /// # Errors
    /// The system's.
    pub async fn ready_to_read(&self) -> io::Result<Ready> {
        self.0.ready(Interest::READABLE).await
    }

    /// Whether the client is there. Of one that left more than its goodbye to read one cannot tell:
    /// it counts as there.
    pub fn is_there(&self) -> bool {
        let mut next = [0; TERMINATE.len() + 1];
        match net::recv(&*self.0, &mut next, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Ok((bytes, _)) => bytes > 0 && next[..bytes] != TERMINATE,
            Err(error) => matches!(error, Errno::AGAIN | Errno::INTR),
        }
    }
}
