//! Clients that work all the time, each on a row of its own, and how long their statements take.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hdrhistogram::Histogram;
use meridian_tests::{demo::Demo, sql::Sql};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::NODES;

/// Clients, spread over the gateways.
const CLIENTS: u16 = 8;
/// Their pause between two statements: they are a load, not an overload.
const PAUSE: Duration = Duration::from_millis(5);
/// The fewest statements they must have got done beside anything.
const LEAST: u64 = CLIENTS as u64;

/// Microseconds that statements took.
pub struct Took {
    name: String,
    reads: Histogram<u64>,
    writes: Histogram<u64>,
}

impl Took {
    fn new(name: &str) -> Took {
        // Up to ten minutes; whatever takes longer is told as that.
        let empty = || Histogram::new_with_bounds(1, 600_000_000, 3).expect("fine bounds");
        Took { name: name.to_owned(), reads: empty(), writes: empty() }
    }

    /// What to complain of if one in a hundred may not take longer than this.
    pub fn above(&self, p99: Option<Duration>) -> Option<String> {
        let worst = self.reads.value_at_quantile(0.99).max(self.writes.value_at_quantile(0.99));
        p99.is_some_and(|most| Duration::from_micros(worst) > most).then(|| self.to_string())
    }
}

impl std::fmt::Display for Took {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:<44}", self.name)?;
        for (what, took) in [("SELECT", &self.reads), ("UPDATE", &self.writes)] {
            let ms = |micros: u64| micros as f64 / 1_000.0;
            let quantile = |q| ms(took.value_at_quantile(q));
            write!(
                f,
                "  {what} {:5} p50 {:6.1} p99 {:7.1} max {:7.1} ms",
                took.len(),
                quantile(0.5),
                quantile(0.99),
                ms(took.max())
            )?;
        }
        Ok(())
    }
}

/// The clients at work.
pub struct Steady {
    took: Arc<Mutex<Took>>,
    stop: watch::Sender<bool>,
    clients: JoinSet<()>,
}

impl Steady {
    /// Starts them.
    pub async fn start(demo: &Demo) -> Steady {
        let took = Arc::new(Mutex::new(Took::new("")));
        let (stop, stopped) = watch::channel(false);
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let sql = demo.connect(number % NODES).await;
            clients.spawn(client(sql, number, Arc::clone(&took), stopped.clone()));
        }
        Steady { took, stop, clients }
    }

    /// Does something while they work; how long their statements took meanwhile, which is printed.
    pub async fn during(&self, name: &str, work: impl Future<Output = ()>) -> Took {
        self.replace(name);
        work.await;
        // Those that wait now tell how long when they are done.
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.done() < LEAST {
            assert!(Instant::now() < deadline, "beside {name} the others do not go on");
            sleep(PAUSE).await;
        }
        let took = self.replace("");
        println!("{took}");
        took
    }

    /// Ends them.
    ///
    /// # Panics
    /// If a statement of theirs failed.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("its statements succeed");
        }
    }

    fn replace(&self, name: &str) -> Took {
        let mut took = self.took.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut took, Took::new(name))
    }

    fn done(&self) -> u64 {
        assert_eq!(self.clients.len(), usize::from(CLIENTS));
        let took = self.took.lock().unwrap_or_else(PoisonError::into_inner);
        took.reads.len() + took.writes.len()
    }
}

async fn client(sql: Sql, number: u16, took: Arc<Mutex<Took>>, stopped: watch::Receiver<bool>) {
    let read = format!("SELECT v FROM own WHERE k = {number}");
    let write = format!("UPDATE own SET v = v + 1 WHERE k = {number}");
    let mut written = 0;
    while !*stopped.borrow() {
        let begun = Instant::now();
        let found = sql.value(&read).await;
        assert_eq!(found, Ok(written.to_string()), "{read}");
        let read_for = begun.elapsed();
        let begun = Instant::now();
        sql.run(&write).await.unwrap_or_else(|error| panic!("{write}: {error:?}"));
        let wrote_for = begun.elapsed();
        written += 1;
        {
            let mut took = took.lock().unwrap_or_else(PoisonError::into_inner);
            took.reads.saturating_record(u64::try_from(read_for.as_micros()).unwrap_or(u64::MAX));
            took.writes.saturating_record(u64::try_from(wrote_for.as_micros()).unwrap_or(u64::MAX));
        }
        sleep(PAUSE).await;
    }
}
