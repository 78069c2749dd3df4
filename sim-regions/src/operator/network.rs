//! The knobs of the network: cuts, and how slow and lossy links are.

use std::{collections::BTreeMap, fmt::Write as _};

use clock::format_duration;
use keys::NodeId;
use net::LinkSpec;
use sql::{
    SqlError,
    control::{ClusterSetting, LinkChange, Place, Turned, Way},
};

use super::{Operator, not_now};
use crate::NodeSpec;

impl Operator {
    /// The links from one place to another, each way in turn.
    fn links(&self, from: &Place, to: &Place, way: Way) -> Result<Vec<(NodeId, NodeId)>, SqlError> {
        let inside = |place: &Place, spec: &NodeSpec| match place {
            Place::Region(region) => spec.region == *region,
            Place::Node(id) => spec.id == *id,
        };
        let layout = self.cluster.layout();
        let mut links = Vec::new();
        for a in layout.iter().filter(|spec| inside(from, spec)) {
            for b in layout.iter().filter(|spec| inside(to, spec) && spec.id != a.id) {
                links.push((a.id, b.id));
                if way == Way::Both {
                    links.push((b.id, a.id));
                }
            }
        }
        if links.is_empty() {
            return Err(not_now(format!("there is no link between {from} and {to}")));
        }
        Ok(links)
    }

    pub(super) fn cut(&mut self, from: &Place, to: &Place, way: Way) -> Result<Turned, SqlError> {
        for (a, b) in self.links(from, to, way)? {
            self.cluster.wan().cut(a, b);
            self.cuts.insert((a, b));
        }
        Ok(Turned::default())
    }

    pub(super) fn heal(&mut self) -> Turned {
        self.cluster.wan().heal_all();
        self.cuts.clear();
        Turned::default()
    }

    pub(super) fn set_link(
        &mut self,
        from: &Place,
        to: &Place,
        change: LinkChange,
    ) -> Result<Turned, SqlError> {
        let links = self.links(from, to, Way::Both)?;
        for (a, b) in links {
            let spec = changed(self.cluster.wan().link(a, b), change);
            self.cluster.wan().set_link(a, b, spec);
        }
        Ok(Turned::default())
    }

    pub(super) fn reset_links(&mut self) -> Turned {
        for (a, b) in self.pairs() {
            self.cluster.wan().set_link(a.id, b.id, self.as_specified(&a, &b));
        }
        Turned::default()
    }

    fn pairs(&self) -> Vec<(NodeSpec, NodeSpec)> {
        let layout = self.cluster.layout();
        let pairs = layout.iter().flat_map(|a| layout.iter().map(move |b| (a, b)));
        pairs.filter(|(a, b)| a.id != b.id).map(|(a, b)| (a.clone(), b.clone())).collect()
    }

    fn as_specified(&self, a: &NodeSpec, b: &NodeSpec) -> LinkSpec {
        self.cluster.topology().path(a, b).one_way()
    }

    /// What is not as the topology has it: per pair of regions where all their links are alike,
    /// else per pair of nodes.
    pub(super) fn changed_links(&self) -> Vec<ClusterSetting> {
        let mut regions: BTreeMap<(String, String), Vec<Link>> = BTreeMap::new();
        for (a, b) in self.pairs() {
            let cut = self.cuts.contains(&(a.id, b.id));
            let now = words(self.cluster.wan().link(a.id, b.id), cut);
            let was = words(self.as_specified(&a, &b), false);
            let of_regions = regions.entry((a.region.clone(), b.region.clone())).or_default();
            of_regions.push(Link { ends: (a.id, b.id), now, was });
        }
        let mut rows = Vec::new();
        let mut row = |scope: String, now: &str, was: &str| {
            if now != was {
                rows.push(ClusterSetting {
                    name: "net.link".to_owned(),
                    scope,
                    value: now.to_owned(),
                    default: was.to_owned(),
                    is_unsafe: false,
                });
            }
        };
        for ((from, to), links) in regions {
            let first = &links[0];
            let alike = |link: &Link| (&link.now, &link.was) == (&first.now, &first.was);
            if links.iter().all(alike) {
                row(format!("{from} -> {to}"), &first.now, &first.was);
            } else {
                for Link { ends: (a, b), now, was } in links {
                    row(format!("{a} -> {b}"), &now, &was);
                }
            }
        }
        rows
    }
}

/// One direction between two nodes, in words.
struct Link {
    ends: (NodeId, NodeId),
    now: String,
    was: String,
}

/// One direction of a link: half of a round trip.
fn changed(spec: LinkSpec, change: LinkChange) -> LinkSpec {
    LinkSpec {
        delay: change.rtt.map_or(spec.delay, |rtt| rtt / 2),
        jitter: change.jitter.map_or(spec.jitter, |jitter| jitter / 2),
        loss: change.loss.unwrap_or(spec.loss),
        duplicate: change.duplicate.unwrap_or(spec.duplicate),
        reorder: change.reorder.unwrap_or(spec.reorder),
        bandwidth_bytes_per_s: change.bandwidth_bytes_per_s.or(spec.bandwidth_bytes_per_s),
    }
}

/// A link as `set_link` takes it.
fn words(spec: LinkSpec, cut: bool) -> String {
    let mut text = if cut { "cut ".to_owned() } else { String::new() };
    // Writing into a text cannot fail.
    let _never = write!(text, "rtt={}", format_duration(spec.delay * 2));
    if !spec.jitter.is_zero() {
        let _never = write!(text, " jitter={}", format_duration(spec.jitter * 2));
    }
    for (name, share) in
        [("loss", spec.loss), ("duplicate", spec.duplicate), ("reorder", spec.reorder)]
    {
        if share > 0.0 {
            let _never = write!(text, " {name}={}%", share * 100.0);
        }
    }
    if let Some(bytes) = spec.bandwidth_bytes_per_s {
        let _never = write!(text, " bandwidth={}mbit", bytes / 125_000);
    }
    text
}
