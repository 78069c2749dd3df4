//! Golden scripts of the routing cache, and the cache against a list that is searched.

use std::error::Error;

use goldenscript::{Command, Context, Runner};
use keys::{Key, NodeId, RangeId, Span};
use kv::Descriptor;
use proptest::prelude::*;

use super::RoutingCache;

/// What a script can do. After each command that changes something, the entries are printed.
#[derive(Debug, Command)]
enum Do {
    /// Takes in a descriptor: `learn RANGE START END GENERATION`.
    Learn(u64, String, String, u64),
    /// Forgets a range: `forget RANGE`.
    Forget(u64),
    /// Which range holds a key: `find KEY`.
    Find(String),
    /// Remembers a leader: `leader RANGE [NODE]`.
    Leader(u64, Option<u32>),
}

/// The cache under a script.
struct Script(RoutingCache);

fn descriptor(id: u64, start: &str, end: &str, generation: u64) -> Descriptor {
    Descriptor {
        id: RangeId(id),
        span: Span::new(start, end),
        generation,
        voters: vec![NodeId(1), NodeId(2), NodeId(3)],
        preferred_leader: NodeId(1),
    }
}

impl Script {
    fn entries(&self) -> String {
        let lines = self.0.entries().map(|route| {
            let Descriptor { id, span, generation, .. } = &*route.descriptor;
            let (start, end) = (span.start.escape_ascii(), span.end.escape_ascii());
            let leader = route.leader.map_or(String::new(), |node| format!(" led by {node}"));
            format!("{id} [{start} - {end}) gen {generation}{leader}\n")
        });
        lines.collect()
    }
}

impl Runner for Script {
    type Command = Do;

    fn run(&mut self, command: &Do, _: &Context) -> Result<String, Box<dyn Error>> {
        match command {
            Do::Learn(id, start, end, generation) => {
                if !self.0.learn(descriptor(*id, start, end, *generation)) {
                    return Ok("ignored".to_owned());
                }
            }
            Do::Forget(id) => self.0.forget(RangeId(*id)),
            Do::Leader(id, node) => self.0.set_leader(RangeId(*id), node.map(NodeId)),
            Do::Find(key) => {
                let route = self.0.find(&key.as_str().into());
                return Ok(route.map_or("nothing".to_owned(), |r| r.descriptor.id.to_string()));
            }
        }
        Ok(self.entries())
    }
}

#[test]
fn scripts() {
    crate::scripts::run_all("testscripts/cache", || Script(RoutingCache::new(4)));
}

fn key(n: u8) -> Key {
    Key::from_vec(vec![n])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Ranges split at random; what is learnt of them comes late, twice, or not at all. Whatever
    /// was heard, entries never overlap, and of two that do the newer generation is kept.
    #[test]
    fn late_news_never_replaces_newer_news(
        splits in proptest::collection::vec(1..60u8, 1..20),
        heard in proptest::collection::vec(any::<prop::sample::Index>(), 0..60),
    ) {
        let mut now = vec![(1u64, 0u8, 60u8, 1u64)];
        let mut all = now.clone();
        for (i, at) in splits.iter().enumerate() {
            let parent = now.iter_mut().find(|(_, start, end, _)| start < at && at < end);
            let Some((_, _, end, generation)) = parent else { continue };
            *generation += 1;
            let child = (i as u64 + 2, *at, *end, *generation);
            *end = *at;
            now.push(child);
            all = all.into_iter().chain(now.iter().copied()).collect();
        }
        all.dedup();
        let mut cache = RoutingCache::new(1_000);
        let mut learnt: Vec<(u64, u8, u8, u64)> = Vec::new();
        for index in heard {
            let (id, start, end, generation) = *index.get(&all);
            let news = Descriptor {
                span: Span::new(key(start), key(end)),
                ..descriptor(id, "a", "b", generation)
            };
            let newer = |known: &(u64, u8, u8, u64)| {
                (known.0 == id || known.1 < end && start < known.2) && known.3 > generation
            };
            let expected = !learnt.iter().any(newer);
            prop_assert_eq!(cache.learn(news), expected);
            if expected {
                learnt.retain(|known| known.0 != id && (known.2 <= start || end <= known.1));
                learnt.push((id, start, end, generation));
            }
            for n in 0..60 {
                let found = cache.find(&key(n)).map(|route| route.descriptor.id.0);
                let expected = learnt.iter().find(|known| known.1 <= n && n < known.2);
                prop_assert_eq!(found, expected.map(|known| known.0));
            }
        }
    }
}
