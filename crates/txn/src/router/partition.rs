//! Splits what a request wants over the ranges that hold it.

use std::sync::Arc;

use keys::{Key, Span};
use kv::Descriptor;
use timer::Instant;

use super::Router;
use crate::TxnError;

/// Items by the range that holds them, in key order.
#[derive(Debug)]
pub(crate) struct Partition<T> {
    groups: Vec<(Arc<Descriptor>, T)>,
    /// The group used last: items mostly come in key order.
    last: usize,
}

impl<T: Default> Partition<T> {
    pub fn new() -> Partition<T> {
        Partition { groups: Vec::new(), last: 0 }
    }

    /// The group of the range that holds the key.
    pub async fn at(
        &mut self,
        router: &Router,
        key: &Key,
        deadline: Instant,
    ) -> Result<(&Descriptor, &mut T), TxnError> {
        let known = |group: &(Arc<Descriptor>, T)| group.0.span.contains(key);
        if !self.groups.get(self.last).is_some_and(known) {
            self.last = match self.groups.iter().position(known) {
                Some(position) => position,
                None => self.open(router.range_of(key, deadline).await?),
            };
        }
        let (descriptor, items) = &mut self.groups[self.last];
        Ok((descriptor, items))
    }

    /// Hands each part of a span to `put`, with the group of the range that holds it.
    pub async fn split(
        &mut self,
        router: &Router,
        span: &Span,
        deadline: Instant,
        mut put: impl FnMut(&mut T, Span),
    ) -> Result<(), TxnError> {
        let mut rest = span.clone();
        while !rest.is_empty() {
            let (descriptor, items) = self.at(router, &rest.start, deadline).await?;
            let end = rest.end.clone().min(descriptor.span.end.clone());
            put(items, Span { start: rest.start, end: end.clone() });
            rest.start = end;
        }
        Ok(())
    }

    /// The groups, in key order of their ranges.
    pub fn into_groups(self) -> Vec<(Arc<Descriptor>, T)> {
        let mut groups = self.groups;
        groups.sort_by(|(a, _), (b, _)| a.span.start.cmp(&b.span.start));
        groups
    }

    fn open(&mut self, range: Arc<Descriptor>) -> usize {
        self.groups.push((range, T::default()));
        self.groups.len() - 1
    }
}
