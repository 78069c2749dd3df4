//! Two engines that must agree: everything is done to both, and every answer is compared.
//!
//! For tests: [`Mirror`] is an [`Engine`], so a whole node can run on it. A difference is a bug of
//! ours in one of the two and panics with what was asked. Only for one writer at a time: reads
//! beside a write of another thread would compare different moments.

use bytes::Bytes;

use crate::{Cf, Cursor, Engine, EngineError, Reader, Scan, Snapshot, WriteBatch};

/// Two engines as one.
#[derive(Debug)]
pub struct Mirror {
    one: Box<dyn Engine>,
    two: Box<dyn Engine>,
}

impl Mirror {
    /// Mirrors two engines with the same content.
    #[must_use]
    pub fn new(one: Box<dyn Engine>, two: Box<dyn Engine>) -> Mirror {
        Mirror { one, two }
    }

    /// The two engines, to crash or reopen them.
    #[must_use]
    pub fn into_parts(self) -> (Box<dyn Engine>, Box<dyn Engine>) {
        (self.one, self.two)
    }
}

impl Reader for Mirror {
    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        both_get(&*self.one, &*self.two, cf, key)
    }

    fn scan(
        &self,
        scan: Scan<'_>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), EngineError> {
        both_scan(&*self.one, &*self.two, scan, visit)
    }

    fn cursor<'a>(&'a self, scan: Scan<'a>) -> Box<dyn Cursor + 'a> {
        both_cursor(&*self.one, &*self.two, scan)
    }
}

impl Engine for Mirror {
    fn write(&self, batch: WriteBatch) -> Result<(), EngineError> {
        same("write", self.one.write(batch.clone()), self.two.write(batch))
    }

    fn sync(&self) -> Result<(), EngineError> {
        same("sync", self.one.sync(), self.two.sync())
    }

    fn snapshot(&self) -> Box<dyn Snapshot> {
        Box::new(MirrorSnapshot { one: self.one.snapshot(), two: self.two.snapshot() })
    }

    fn name(&self) -> &'static str {
        "mirror"
    }
}

struct MirrorSnapshot {
    one: Box<dyn Snapshot>,
    two: Box<dyn Snapshot>,
}

impl Reader for MirrorSnapshot {
    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        both_get(&*self.one, &*self.two, cf, key)
    }

    fn scan(
        &self,
        scan: Scan<'_>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), EngineError> {
        both_scan(&*self.one, &*self.two, scan, visit)
    }

    fn cursor<'a>(&'a self, scan: Scan<'a>) -> Box<dyn Cursor + 'a> {
        both_cursor(&*self.one, &*self.two, scan)
    }
}

impl Snapshot for MirrorSnapshot {}

fn both_get<R: Reader + ?Sized>(
    one: &R,
    two: &R,
    cf: Cf,
    key: &[u8],
) -> Result<Option<Bytes>, EngineError> {
    same(&format!("get {cf:?} {}", key.escape_ascii()), one.get(cf, key), two.get(cf, key))
}

/// The first scans, a cursor of the second follows. Made first, the cursor sees the same moment as
/// the scan, also if the visitor writes.
fn both_scan<R: Reader + ?Sized>(
    one: &R,
    two: &R,
    scan: Scan<'_>,
    visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> Result<(), EngineError> {
    let what = format!("{scan:?}");
    let mut follower = two.cursor(scan.clone());
    let mut following = follower.status();
    let mut stopped = false;
    let scanned = one.scan(scan, &mut |key, value| {
        assert_eq!(follower.entry(), Some((key, value)), "{what}: engines differ");
        following = follower.advance();
        stopped = !visit(key, value);
        !stopped && following.is_ok()
    });
    if scanned.is_ok() && following.is_ok() && !stopped {
        assert_eq!(follower.entry(), None, "{what}: engines differ");
    }
    same(&what, scanned, following)
}

fn both_cursor<'a, R: Reader + ?Sized>(
    one: &'a R,
    two: &'a R,
    scan: Scan<'a>,
) -> Box<dyn Cursor + 'a> {
    let cursor = MirrorCursor { one: one.cursor(scan.clone()), two: two.cursor(scan) };
    cursor.check("cursor");
    Box::new(cursor)
}

struct MirrorCursor<'a> {
    one: Box<dyn Cursor + 'a>,
    two: Box<dyn Cursor + 'a>,
}

impl MirrorCursor<'_> {
    fn check(&self, what: &str) {
        assert_eq!(self.one.entry(), self.two.entry(), "{what}: engines differ");
    }
}

impl Cursor for MirrorCursor<'_> {
    fn entry(&self) -> Option<(&[u8], &[u8])> {
        self.one.entry()
    }

    fn advance(&mut self) -> Result<(), EngineError> {
        let result = same("advance", self.one.advance(), self.two.advance());
        self.check("advance");
        result
    }

    fn seek(&mut self, key: &[u8]) -> Result<(), EngineError> {
        let what = format!("seek {}", key.escape_ascii());
        let result = same(&what, self.one.seek(key), self.two.seek(key));
        self.check(&what);
        result
    }

    fn status(&self) -> Result<(), EngineError> {
        same("status", self.one.status(), self.two.status())
    }
}

/// Both results, if they agree. Errors are the environment's: the first one found is passed on.
fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    one: Result<T, EngineError>,
    two: Result<T, EngineError>,
) -> Result<T, EngineError> {
    let (one, two) = (one?, two?);
    assert_eq!(one, two, "{what}: engines differ");
    Ok(one)
}
