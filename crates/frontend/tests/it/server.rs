//! A server on a free port over `txn`'s naive cluster, and a client that sees every byte.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use frontend::Options;
use futures::{FutureExt, future::BoxFuture};
use keys::{NodeId, SchemaVersion};
use kv::{Descriptor, RangeSender};
use sql::{ClockInfo, Cluster, Config, Database, NodeInfo, Placement, SqlError};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};
use txn::{Router, RouterConfig, naive::NaiveCluster};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A server; it stops when dropped.
pub struct Server {
    pub port: u16,
    pub database: Database,
    /// While it is true, asking for the regions panics.
    pub cursed: Arc<AtomicBool>,
    _stop: watch::Sender<bool>,
}

impl Server {
    pub async fn start() -> Server {
        Server::with(Options::default()).await
    }

    pub async fn with(options: Options) -> Server {
        Server::of(options, Config::default()).await
    }

    /// A server that keeps to these limits.
    pub async fn of(options: Options, config: Config) -> Server {
        let factory = Arc::new(expr::pushdown::Programs);
        let naive = NaiveCluster::new(1, &[], Some(factory));
        let sender: Arc<dyn RangeSender> = naive.clone();
        let router = Router::new(sender, naive.clock(), RouterConfig::default(), 1);
        let cursed = Arc::new(AtomicBool::new(false));
        let cluster = Arc::new(FakeCluster { naive: naive.clone(), cursed: cursed.clone() });
        let config = Config { seed: 7, ..config };
        let database = Database::new(naive.coordinator(), router, cluster, config);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let (stop, stopping) = watch::channel(false);
        tokio::spawn(frontend::serve(listener, database.clone(), options, stopping));
        Server { port, database, cursed, _stop: stop }
    }

    /// A client in a session.
    pub async fn client(&self) -> Client {
        let mut client = self.stranger().await;
        client.start_up(&[("user", "root"), ("database", "meridian")]).await;
        let greeting = client.until_ready().await;
        assert_eq!(greeting[0].0, 'R', "the server greets: {greeting:?}");
        client
    }

    /// A client that has said nothing yet.
    pub async fn stranger(&self) -> Client {
        Client(TcpStream::connect(("127.0.0.1", self.port)).await.expect("the server listens"))
    }
}

/// One node that knows nothing about others.
#[derive(Debug)]
struct FakeCluster {
    naive: Arc<NaiveCluster>,
    cursed: Arc<AtomicBool>,
}

impl Cluster for FakeCluster {
    fn node_id(&self) -> NodeId {
        NodeId(1)
    }

    fn region(&self) -> String {
        "here".to_owned()
    }

    fn nodes(&self) -> Vec<NodeInfo> {
        assert!(!self.cursed.load(Ordering::Relaxed), "cursed");
        Vec::new()
    }

    fn clocks(&self) -> BoxFuture<'static, Vec<ClockInfo>> {
        async { Vec::new() }.boxed()
    }

    fn place(&self, _leader_region: Option<&str>) -> Placement {
        Placement { voters: vec![NodeId(1)], preferred_leader: NodeId(1) }
    }

    fn create_range(&self, range: Descriptor) -> BoxFuture<'static, Result<(), SqlError>> {
        self.naive.create_range(range);
        async { Ok(()) }.boxed()
    }

    fn adopt_schema(
        &self,
        _gateway: NodeId,
        _version: SchemaVersion,
        _patience: Duration,
    ) -> BoxFuture<'static, bool> {
        async { true }.boxed()
    }
}

/// A message from the server: its type and its body.
pub type Message = (char, Vec<u8>);

/// A client of the protocol, byte by byte.
pub struct Client(pub TcpStream);

impl Client {
    /// Sends bytes as they are.
    pub async fn raw(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("the server reads");
    }

    /// Sends a start-up packet with these parameters.
    pub async fn start_up(&mut self, parameters: &[(&str, &str)]) {
        let mut body = (3_i32 << 16).to_be_bytes().to_vec();
        for (name, value) in parameters {
            body.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
        }
        body.push(0);
        self.raw(&packet(&body)).await;
    }

    /// Sends messages at once: types and bodies.
    pub async fn send(&mut self, messages: &[(char, &[u8])]) {
        let bytes: Vec<u8> =
            messages.iter().flat_map(|(kind, body)| message(*kind, body)).collect();
        self.raw(&bytes).await;
    }

    /// The next message.
    pub async fn receive(&mut self) -> Message {
        self.next().await.expect("the server answers")
    }

    /// The next message; `None`: the server hung up.
    pub async fn next(&mut self) -> Option<Message> {
        let read = async {
            let mut head = [0; 5];
            self.0.read_exact(&mut head).await.ok()?;
            let [kind, length @ ..] = head;
            let length = usize::try_from(i32::from_be_bytes(length)).expect("a length");
            let mut body = vec![0; length - 4];
            self.0.read_exact(&mut body).await.ok()?;
            Some((char::from(kind), body))
        };
        timeout(PATIENCE, read).await.expect("an answer in time")
    }

    /// All messages up to `ReadyForQuery`, which is the last.
    pub async fn until_ready(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            messages.push(self.receive().await);
            if messages.last().is_some_and(|(kind, _)| *kind == 'Z') {
                return messages;
            }
        }
    }

    /// The types of all messages up to `ReadyForQuery`, and its status: `TDC/I`.
    pub async fn answer(&mut self) -> String {
        summary(&self.until_ready().await)
    }

    /// Runs a simple query: the types of the answers, and the status.
    pub async fn query(&mut self, sql: &str) -> String {
        self.send(&[('Q', format!("{sql}\0").as_bytes())]).await;
        self.answer().await
    }

    /// The one value of a query, as text.
    pub async fn value(&mut self, sql: &str) -> String {
        self.send(&[('Q', format!("{sql}\0").as_bytes())]).await;
        let messages = self.until_ready().await;
        let row = messages.iter().find(|(kind, _)| *kind == 'D');
        let (_, body) = row.unwrap_or_else(|| panic!("{sql}: {}", told(&messages)));
        String::from_utf8_lossy(&body[6..]).into_owned()
    }

    /// The next message is an error: its severity and state.
    pub async fn error(&mut self) -> String {
        let (kind, body) = self.receive().await;
        assert_eq!(kind, 'E', "an error: {}", String::from_utf8_lossy(&body));
        severity_and_state(&body)
    }

    /// The server hangs up, and says nothing more.
    pub async fn is_hung_up_on(&mut self) {
        assert_eq!(self.next().await, None);
    }
}

/// A packet from before the conversation.
pub fn packet(body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(body.len() + 4).expect("short");
    [&length.to_be_bytes()[..], body].concat()
}

/// A message of a client.
pub fn message(kind: char, body: &[u8]) -> Vec<u8> {
    [&[u8::try_from(kind).expect("types are ASCII")], &packet(body)[..]].concat()
}

/// Types in one word, and the status that the last message tells.
pub fn summary(messages: &[Message]) -> String {
    let mut text: String = messages.iter().map(|(kind, _)| *kind).collect();
    if text.pop() == Some('Z') {
        let (_, body) = messages.last().expect("there is one");
        return format!("{text}/{}", char::from(body[0]));
    }
    panic!("no ReadyForQuery: {}", told(messages));
}

/// `ERROR 42601`.
pub fn severity_and_state(body: &[u8]) -> String {
    format!("{} {}", field(body, 'V'), field(body, 'C'))
}

/// A field of an error.
pub fn field(body: &[u8], letter: char) -> String {
    let text = String::from_utf8_lossy(body);
    let found = text.split('\0').find_map(|field| field.strip_prefix(letter));
    found.unwrap_or_else(|| panic!("no {letter} in {text:?}")).to_owned()
}

/// Messages for people.
pub fn told(messages: &[Message]) -> String {
    let one = |(kind, body): &Message| format!("{kind} {}", String::from_utf8_lossy(body));
    messages.iter().map(one).collect::<Vec<_>>().join("\n")
}
