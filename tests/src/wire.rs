//! The PostgreSQL protocol byte by byte, for what client libraries hide: the transaction status in
//! each `ReadyForQuery`, what is skipped until `Sync`, how a portal stops.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The protocol's version 3.0, as the start-up packet writes it.
const PROTOCOL: i32 = 3 << 16;

/// A message's type and body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its type, such as `T`, `D`, `C`, `E`, `Z`.
    pub kind: char,
    /// Its body, without the length.
    pub body: Vec<u8>,
}

/// A connection.
#[derive(Debug)]
pub struct Wire(TcpStream);

impl Wire {
    /// Connects as root and waits until the server is ready.
    ///
    /// # Panics
    /// If it is not.
    pub async fn connect(port: u16) -> Wire {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the node listens");
        let mut wire = Wire(stream);
        let mut body = PROTOCOL.to_be_bytes().to_vec();
        body.extend_from_slice(b"user\0root\0database\0meridian\0\0");
        wire.send_packet(&[], &body).await;
        let greeting = wire.until_ready().await;
        assert_eq!(greeting[0].kind, 'R', "the server greets: {greeting:?}");
        wire
    }

    /// The socket, for bytes that are no messages.
    #[must_use]
    pub fn into_stream(self) -> TcpStream {
        self.0
    }

    /// Sends one message.
    pub async fn send(&mut self, kind: char, body: &[u8]) {
        let kind = u8::try_from(kind).expect("types are ASCII");
        self.send_packet(&[kind], body).await;
    }

    async fn send_packet(&mut self, kind: &[u8], body: &[u8]) {
        let length = i32::try_from(body.len() + 4).expect("short");
        let packet = [kind, &length.to_be_bytes(), body].concat();
        self.0.write_all(&packet).await.expect("the server reads");
    }

    /// The next message.
    ///
    /// # Panics
    /// If the server hangs up.
    pub async fn receive(&mut self) -> Message {
        let mut head = [0; 5];
        self.0.read_exact(&mut head).await.expect("the server answers");
        let [kind, length @ ..] = head;
        let length = usize::try_from(i32::from_be_bytes(length)).expect("a length");
        let mut body = vec![0; length - 4];
        self.0.read_exact(&mut body).await.expect("the whole message");
        Message { kind: char::from(kind), body }
    }

    /// All messages up to `ReadyForQuery`, which is the last.
    pub async fn until_ready(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            messages.push(self.receive().await);
            if messages.last().is_some_and(|message| message.kind == 'Z') {
                return messages;
            }
        }
    }

    /// The next so many messages.
    pub async fn receive_some(&mut self, count: usize) -> Vec<Message> {
        let mut messages = Vec::new();
        for _ in 0..count {
            messages.push(self.receive().await);
        }
        messages
    }

    /// Runs a simple query: the types of the answers in one word, the status at its end
    /// (`TDC/I`: a row outside a transaction).
    pub async fn query(&mut self, sql: &str) -> String {
        self.send('Q', format!("{sql}\0").as_bytes()).await;
        summary(&self.until_ready().await)
    }
}

/// Types of messages in one word, and the status that the last one tells.
#[must_use]
pub fn summary(messages: &[Message]) -> String {
    let mut text: String = messages.iter().map(|message| message.kind).collect();
    if text.ends_with('Z') {
        let status = messages.last().and_then(|ready| ready.body.first().copied());
        text.pop();
        text.push('/');
        text.push(status.map_or('?', char::from));
    }
    text
}
