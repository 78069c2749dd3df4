//! Probes: statements of a scenario that must succeed in time at one node, or must fail.
//!
//! A history tells what was wrong, never what did not happen. A probe tells that a node in a
//! partition's minority serves nothing, or that a range is back so soon after its leader died.

use serde::Deserialize;
use timer::{Instant, sleep, timeout};

use super::{
    client::{Client, Failure},
    faults::Span,
    world::World,
};

/// A statement and what must come of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Probe {
    /// When, from the beginning of the run.
    pub at: Span,
    /// Where.
    pub node: u32,
    /// What.
    pub sql: String,
    /// How long it may take.
    pub within: Span,
    /// Whether it must fail, or not be answered in time.
    #[serde(default)]
    pub fails: bool,
    /// The SQLSTATE it must fail with, in time; implies `fails`.
    #[serde(default)]
    pub sqlstate: Option<String>,
}

impl Probe {
    /// Asks at its time. Answers what was otherwise than it must be.
    pub async fn ask(&self, mut client: Client, world: &World) -> Option<String> {
        sleep(self.at.0).await;
        let begun = Instant::now();
        let heard = match world.node(keys::NodeId(self.node)) {
            None => Err((String::new(), "the node is down".to_owned())),
            Some(_) => match timeout(self.within.0, client.execute_all(&self.sql)).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(Failure::Sql(error))) => {
                    Err((error.sqlstate.code().to_owned(), error.message.to_string()))
                }
                Ok(Err(Failure::Unreachable | Failure::Silent(_))) => {
                    Err((String::new(), "no answer".to_owned()))
                }
                Err(_) => Err((String::new(), format!("no answer within {}", self.within))),
            },
        };
        let took = clock::format_duration(begun.elapsed());
        let fails = self.fails || self.sqlstate.is_some();
        let heard = match (heard, &self.sqlstate) {
            (Ok(()), _) => fails.then(|| format!("it should fail, and succeeded in {took}")),
            (Err((code, why)), Some(wanted)) => {
                (code != *wanted).then(|| format!("it should fail with {wanted}: {code} {why}"))
            }
            (Err((_, why)), None) => (!fails).then_some(why),
        };
        heard.map(|why| format!("{} at n{} at {}: {why}", self.sql, self.node, self.at))
    }
}
