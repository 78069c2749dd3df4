//! What happens behind answers: locks and intents that a transaction left in ranges are let go.
//!
//! Nothing depends on it but time: whoever meets a lock or an intent that stayed asks the record
//! (X7). So it is tried until a deadline, and then forgotten.

use std::sync::Arc;

use futures::future::join_all;
use keys::{Key, Span, TxnId};
use kv::{Descriptor, KvError, Outcome, Request, Resolution, Resolve, TxnMeta};
use timer::Instant;

use super::ask_record;
use crate::{Coordinator, Router, TxnError, router::Partition};

/// How a transaction takes leave of the ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// Nothing was ever prepared: its locks can simply go.
    Release,
    /// The record has spoken; the commit timestamp is told with it (R1a).
    Resolve(Resolution),
    /// The record has to be asked first (X8).
    AskAndResolve,
}

/// Where a transaction may have left something.
#[derive(Debug)]
pub(crate) struct Traces {
    /// The transaction.
    pub txn: TxnId,
    /// `None`: it has no anchor, so nothing of it was ever prepared.
    pub meta: Option<TxnMeta>,
    /// Written keys.
    pub keys: Vec<Key>,
    /// Spans that were validated.
    pub spans: Vec<Span>,
    /// Keys that were locked at read time.
    pub locked: Vec<Key>,
}

/// What is left in one range.
#[derive(Debug, Default)]
struct Left {
    keys: Vec<Key>,
    /// Only to find the ranges again if this one was split.
    spans: Vec<Span>,
}

impl Traces {
    /// Lets go of everything, as far as ranges answer.
    pub async fn settle(self, coordinator: Arc<Coordinator>, farewell: Farewell) {
        let deadline = Instant::now() + coordinator.config().background_timeout;
        let txn = self.txn;
        let farewell = match (farewell, &self.meta) {
            (Farewell::AskAndResolve, Some(meta)) => {
                match ask_record(&coordinator, meta, deadline).await {
                    Ok(Outcome::Committed(at)) => Farewell::Resolve(Resolution::Commit(at)),
                    Ok(Outcome::Aborted | Outcome::Forgotten) => {
                        Farewell::Resolve(Resolution::Abort)
                    }
                    Ok(Outcome::Pending) | Err(_) => return,
                }
            }
            (Farewell::AskAndResolve, None) => Farewell::Release,
            (Farewell::Release | Farewell::Resolve(_), _) => farewell,
        };
        let told = self.tell(coordinator.router(), farewell, deadline).await;
        if let Err(error) = told {
            tracing::debug!(%txn, %error, "what it left will be found by others");
        }
    }

    async fn tell(
        mut self,
        router: &Router,
        farewell: Farewell,
        deadline: Instant,
    ) -> Result<(), TxnError> {
        self.spans.extend(std::mem::take(&mut self.locked).into_iter().map(Span::point));
        for moves in 0..=router.config().max_moves {
            let mut groups = self.divide(router, deadline).await?.into_groups();
            groups.retain(|(range, _)| !self.knows(farewell, range));
            let told = groups.iter().map(|(range, left)| {
                router.send_to_leader(range, self.words(farewell, left), deadline)
            });
            let answers = join_all(told).await;
            for ((range, left), answer) in groups.into_iter().zip(answers) {
                if let Err(KvError::WrongRange { .. }) = answer {
                    router.follow(&range, moves, deadline).await;
                    self.keys.extend(left.keys);
                    self.spans.extend(left.spans);
                }
            }
            if self.keys.is_empty() && self.spans.is_empty() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The range that decided to commit has let go already.
    fn knows(&self, farewell: Farewell, range: &Descriptor) -> bool {
        let decided = matches!(farewell, Farewell::Resolve(Resolution::Commit(_)));
        decided && self.meta.as_ref().is_some_and(|meta| range.span.contains(&meta.anchor))
    }

    async fn divide(
        &mut self,
        router: &Router,
        deadline: Instant,
    ) -> Result<Partition<Left>, TxnError> {
        let mut parts: Partition<Left> = Partition::new();
        for key in std::mem::take(&mut self.keys) {
            let (_, left) = parts.at(router, &key, deadline).await?;
            left.keys.push(key);
        }
        for span in std::mem::take(&mut self.spans) {
            let put = |left: &mut Left, span| left.spans.push(span);
            parts.split(router, &span, deadline, put).await?;
        }
        Ok(parts)
    }

    fn words(&self, farewell: Farewell, left: &Left) -> Request {
        let txn = self.txn;
        match farewell {
            Farewell::Release => Request::Release { txn },
            Farewell::Resolve(outcome) => {
                Request::Resolve(Resolve { txn, outcome, keys: left.keys.clone() })
            }
            Farewell::AskAndResolve => unreachable!("the record has been asked"),
        }
    }
}
