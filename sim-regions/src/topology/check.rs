//! The self-check: is the simulated network as slow as its file says?

use std::{collections::BTreeMap, fmt, time::Duration};

use clock::format_duration;
use futures::future;
use keys::NodeId;
use net::{MeasureError, SimWan};

use super::{NodeSpec, Topology};

/// Probes per path; the fastest half decides nothing, the median does.
const SAMPLES: usize = 5;

/// How far a median may be off, beside jitter and a twentieth of the round trip: what a busy
/// machine adds.
const SLACK: Duration = Duration::from_millis(2);

/// A path as it was measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// The node that asked.
    pub from: NodeSpec,
    /// The node that was asked.
    pub to: NodeSpec,
    /// The round trip in the file.
    pub wanted: Duration,
    /// The median of the round trips measured.
    pub median: Duration,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Measured { from, to, wanted, median } = self;
        let micros = Duration::from_micros(u64::try_from(median.as_micros()).unwrap_or(u64::MAX));
        write!(
            f,
            "{}/{} - {}/{}: {}, measured {}",
            from.region,
            from.zone,
            to.region,
            to.zone,
            format_duration(*wanted),
            format_duration(micros)
        )
    }
}

/// Why the network is not what its file says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelfCheckError {
    /// A path could not be measured.
    #[error("cannot measure the round trip between {from} and {to}: {error}")]
    Lost {
        /// The node that asked.
        from: NodeId,
        /// The node that was asked.
        to: NodeId,
        /// Why.
        error: MeasureError,
    },
    /// A path is too fast or too slow.
    #[error("the network is not as its topology says: {0}")]
    Wrong(Measured),
}

impl Topology {
    /// Measures one path between each two regions, and one between zones of each region. The
    /// network is armed and the nodes are attached.
    ///
    /// # Errors
    /// If a path cannot be measured, or its median is off by more than its jitter, five per cent
    /// and two milliseconds.
    pub async fn self_check(
        &self,
        wan: &SimWan,
        nodes: &[NodeSpec],
    ) -> Result<Vec<Measured>, SelfCheckError> {
        let pairs = sample_pairs(nodes);
        let measurements = pairs.iter().map(|(from, to)| self.measure(wan, from, to));
        future::try_join_all(measurements).await
    }

    async fn measure(
        &self,
        wan: &SimWan,
        from: &NodeSpec,
        to: &NodeSpec,
    ) -> Result<Measured, SelfCheckError> {
        let path = self.path(from, to);
        let mut samples = Vec::with_capacity(SAMPLES);
        for _ in 0..SAMPLES {
            let sample = wan
                .measure_rtt(from.id, to.id)
                .await
                .map_err(|error| SelfCheckError::Lost { from: from.id, to: to.id, error })?;
            samples.push(sample);
        }
        samples.sort_unstable();
        let (wanted, median) = (path.rtt, samples[SAMPLES / 2]);
        let measured = Measured { from: from.clone(), to: to.clone(), wanted, median };
        let allowed = path.jitter + wanted / 20 + SLACK;
        if median.abs_diff(wanted) > allowed {
            Err(SelfCheckError::Wrong(measured))
        } else {
            Ok(measured)
        }
    }
}

/// One pair of nodes for each pair of regions, and for each region one pair in different zones.
fn sample_pairs(nodes: &[NodeSpec]) -> Vec<(&NodeSpec, &NodeSpec)> {
    let mut pairs: BTreeMap<(&str, &str), (&NodeSpec, &NodeSpec)> = BTreeMap::new();
    for (index, from) in nodes.iter().enumerate() {
        for to in &nodes[index + 1..] {
            if from.region != to.region || from.zone != to.zone {
                pairs.entry((&from.region, &to.region)).or_insert((from, to));
            }
        }
    }
    pairs.into_values().collect()
}
