//! The threads that carry out long reads, and their virtual twin.
//!
//! A read that may be done needs neither its range's state nor its turn any more: what is long of it
//! is done here, on a view of the store, while the shards of the store go on. Jobs take turns, a slice
//! each, so a short one does not wait for a long one to end. One whose caller is gone is let go.
//!
//! What jobs have found so far is in memory, up to an answer's limit for each. So no more than
//! [`MAX_BEGUN`] are begun at a time; the others wait with nothing but a view.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use kv::{KvError, Reply};
use range::{Job, Slice};
use storage::EngineError;

/// Jobs that are carried out or wait at a time; further ones are refused.
pub const MAX_JOBS: usize = 4_096;

/// Jobs that are begun and not done, at most, but for one for each thread.
pub const MAX_BEGUN: usize = 64;

/// What a job came to.
pub type Answer = Result<Result<Reply, KvError>, EngineError>;

/// A job, and who waits for it.
pub struct Task {
    /// What is to be done.
    pub job: Job,
    /// Set when nobody waits for it any more.
    pub gone: Arc<AtomicBool>,
    /// Told the answer, unless it is gone.
    pub done: Box<dyn FnOnce(Answer) + Send>,
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.job.fmt(f)
    }
}

/// Carries out long reads without holding up the caller.
pub trait Readers: Send + Sync + fmt::Debug + 'static {
    /// Takes a job. Without room for it, it comes back.
    ///
    /// # Errors
    /// If [`MAX_JOBS`] are under way.
    fn take(&self, task: Task) -> Result<(), Box<Task>>;
}

/// What the threads share.
#[derive(Debug, Default)]
struct Pool {
    tasks: Mutex<Tasks>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Tasks {
    turns: Turns<Task>,
    /// Those that are carried out at the moment.
    at_work: usize,
    closed: bool,
}

/// Threads of a process that read for all its nodes.
///
/// Dropping it lets all jobs go and waits for the threads: nothing of them holds an engine then.
#[derive(Debug)]
pub struct ReadPool {
    pool: Arc<Pool>,
    threads: Vec<JoinHandle<()>>,
}

impl ReadPool {
    /// Starts so many threads.
    ///
    /// # Errors
    /// If the system has none left.
    pub fn start(threads: usize) -> std::io::Result<ReadPool> {
        let pool = Arc::new(Pool::default());
        let mut started = ReadPool { pool: Arc::clone(&pool), threads: Vec::new() };
        for index in 0..threads.max(1) {
            let pool = Arc::clone(&pool);
            let thread = std::thread::Builder::new().name(format!("read-{index}"));
            started.threads.push(thread.spawn(move || pool.work())?);
        }
        Ok(started)
    }
}

impl Readers for ReadPool {
    fn take(&self, task: Task) -> Result<(), Box<Task>> {
        let mut tasks = self.pool.lock();
        if tasks.turns.len() + tasks.at_work >= MAX_JOBS {
            return Err(Box::new(task));
        }
        tasks.turns.waiting.push_back(task);
        drop(tasks);
        self.pool.news.notify_one();
        Ok(())
    }
}

impl Drop for ReadPool {
    fn drop(&mut self) {
        let left = {
            let mut tasks = self.pool.lock();
            tasks.closed = true;
            std::mem::take(&mut tasks.turns)
        };
        drop(left);
        self.pool.news.notify_all();
        for thread in self.threads.drain(..) {
            // A reader that panicked has told so by itself.
            drop(thread.join());
        }
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Tasks> {
        // Nothing panics while it holds the lock.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread: a slice of each job in turn.
    fn work(&self) {
        while let Some(mut task) = self.next() {
            let gone = task.gone.load(Ordering::Acquire);
            let answer = if gone { None } else { task.job.go_on(Slice::OF_JOB) };
            let unfinished = answer.is_none() && !gone;
            {
                let mut tasks = self.lock();
                tasks.at_work -= 1;
                if unfinished && !tasks.closed {
                    tasks.turns.begun.push_back(task);
                    continue;
                }
            }
            if let Some(answer) = answer {
                (task.done)(answer);
            }
        }
    }

    /// The job whose turn it is; `None`: there are no more.
    fn next(&self) -> Option<Task> {
        let mut tasks = self.lock();
        loop {
            if tasks.closed {
                return None;
            }
            if let Some(task) = tasks.turns.next() {
                tasks.at_work += 1;
                return Some(task);
            }
            tasks = self.news.wait(tasks).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Who waits for its turn.
#[derive(Debug)]
struct Turns<T> {
    /// Not begun.
    waiting: VecDeque<T>,
    /// Begun, and waiting for the next slice.
    begun: VecDeque<T>,
    /// The last turn was a new one's.
    was_new: bool,
}

impl<T> Default for Turns<T> {
    fn default() -> Turns<T> {
        Turns { waiting: VecDeque::new(), begun: VecDeque::new(), was_new: false }
    }
}

impl<T> Turns<T> {
    fn len(&self) -> usize {
        self.waiting.len() + self.begun.len()
    }

    /// Who has its turn: a new one and a begun one alternately, so that neither waits for ever, and none
    /// that is new while enough are begun.
    fn next(&mut self) -> Option<T> {
        let room = self.begun.len() < MAX_BEGUN;
        self.was_new = room && (!self.was_new || self.begun.is_empty()) && !self.waiting.is_empty();
        if self.was_new {
            return self.waiting.pop_front();
        }
        let begun = self.begun.pop_front();
        begun.or_else(|| self.waiting.pop_front())
    }
}

/// In virtual time: a job is carried out at once, and its answer comes after as long as a simulation
/// says that each of its slices takes.
#[derive(Debug, Default)]
pub struct VirtualReaders {
    /// How long a slice takes.
    pub slice: Duration,
}

impl Readers for VirtualReaders {
    fn take(&self, mut task: Task) -> Result<(), Box<Task>> {
        let each = self.slice;
        tokio::spawn(clock::inherit(async move {
            let mut slices = 1;
            let answer = loop {
                match task.job.go_on(Slice::OF_JOB) {
                    Some(answer) => break answer,
                    None => slices += 1,
                }
            };
            if !each.is_zero() {
                timer::sleep(each * slices).await;
            }
            if !task.gone.load(Ordering::Acquire) {
                (task.done)(answer);
            }
        }));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Jobs of so many slices each; when each ended, in slices of all, and how many were begun at most.
    fn carried_out(jobs: &[u32]) -> (Vec<u32>, usize) {
        let mut turns = Turns::default();
        turns.waiting.extend(jobs.iter().copied().enumerate());
        let (mut ended, mut most) = (vec![0; jobs.len()], 0);
        let mut now = 0;
        while let Some((job, slices)) = turns.next() {
            now += 1;
            match slices {
                1 => ended[job] = now,
                left => turns.begun.push_back((job, left - 1)),
            }
            most = most.max(turns.begun.len());
        }
        (ended, most)
    }

    #[test]
    fn few_jobs_are_begun_at_a_time_and_all_end() {
        let jobs: Vec<u32> = (0..1_000).map(|job| 1 + job % 7).collect();
        let (ended, most) = carried_out(&jobs);
        assert!(ended.iter().all(|at| *at > 0), "each has ended");
        assert_eq!(most, MAX_BEGUN);
    }

    #[test]
    fn a_short_job_does_not_wait_for_long_ones_to_end() {
        let mut jobs = vec![10_000; MAX_BEGUN - 1];
        jobs.push(1);
        let (ended, _) = carried_out(&jobs);
        // One slice of each that came before it, and one of a begun one between any two.
        assert_eq!(ended[MAX_BEGUN - 1] as usize, 2 * MAX_BEGUN - 1);
    }

    #[test]
    fn a_long_job_does_not_wait_for_short_ones_that_keep_coming() {
        let mut turns = Turns::default();
        turns.begun.push_back("long");
        let mut slices = 0;
        for _ in 0..1_000 {
            turns.waiting.push_back("short");
            if turns.next() == Some("long") {
                slices += 1;
                turns.begun.push_back("long");
            }
        }
        assert_eq!(slices, 500);
    }
}
