//! A cursor over a tree, within bounds.

use std::ops::Bound;

use super::tree::{Place, Tree};
use crate::{Cursor, EngineError, Scan};

/// A cursor over the tree as it was when the cursor was made.
pub(super) struct MemCursor<'a> {
    tree: Tree,
    scan: Scan<'a>,
    /// Within the bounds; `None` behind the end.
    place: Option<Place>,
}

impl<'a> MemCursor<'a> {
    pub(super) fn new(tree: Tree, scan: Scan<'a>) -> MemCursor<'a> {
        let first =
            if scan.reverse { tree.at_or_below(scan.end) } else { tree.at_or_above(scan.start) };
        let mut cursor = MemCursor { tree, scan, place: None };
        cursor.set(first);
        cursor
    }

    pub(super) fn visit(
        mut self,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), EngineError> {
        while let Some((key, value)) = self.entry() {
            if !visit(key, value) {
                break;
            }
            self.advance()?;
        }
        Ok(())
    }

    fn set(&mut self, place: Option<Place>) {
        let scan = &self.scan;
        self.place = place.filter(|place| {
            let key = place.entry().0;
            is_above(scan.start, key) && is_below(scan.end, key)
        });
    }
}

impl Cursor for MemCursor<'_> {
    fn entry(&self) -> Option<(&[u8], &[u8])> {
        self.place.as_ref().map(Place::entry)
    }

    fn advance(&mut self) -> Result<(), EngineError> {
        let place = self.place.take();
        let next =
            place.and_then(|place| if self.scan.reverse { place.below() } else { place.above() });
        self.set(next);
        Ok(())
    }

    fn seek(&mut self, key: &[u8]) -> Result<(), EngineError> {
        let found = match self.scan.reverse {
            false if is_above(self.scan.start, key) => self.tree.at_or_above(Bound::Included(key)),
            false => self.tree.at_or_above(self.scan.start),
            true if is_below(self.scan.end, key) => self.tree.at_or_below(Bound::Included(key)),
            true => self.tree.at_or_below(self.scan.end),
        };
        self.set(found);
        Ok(())
    }

    fn status(&self) -> Result<(), EngineError> {
        Ok(())
    }
}

fn is_above(start: Bound<&[u8]>, key: &[u8]) -> bool {
    match start {
        Bound::Included(start) => start <= key,
        Bound::Excluded(start) => start < key,
        Bound::Unbounded => true,
    }
}

fn is_below(end: Bound<&[u8]>, key: &[u8]) -> bool {
    match end {
        Bound::Included(end) => key <= end,
        Bound::Excluded(end) => key < end,
        Bound::Unbounded => true,
    }
}
