//! Keys and half-open spans of keys.

use std::{borrow::Borrow, fmt, ops::Deref};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A key: bytes, ordered bytewise. Cheap to clone.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key(pub Bytes);

impl Key {
    /// The least key.
    pub const MIN: Key = Key(Bytes::new());

    /// The key made of these bytes.
    #[must_use]
    pub fn from_vec(bytes: Vec<u8>) -> Key {
        Key(Bytes::from(bytes))
    }

    /// The least key above this one: `self` and a zero byte.
    #[must_use]
    pub fn next(&self) -> Key {
        let mut bytes = Vec::with_capacity(self.0.len() + 1);
        bytes.extend_from_slice(&self.0);
        bytes.push(0);
        Key(bytes.into())
    }

    /// The least key above all keys that start with this one. All bytes `0xff`: no such key exists
    /// and the result is eight more `0xff`, above every key Meridian makes.
    #[must_use]
    pub fn prefix_end(&self) -> Key {
        let mut bytes = self.0.to_vec();
        while let Some(last) = bytes.pop() {
            if last < 0xff {
                bytes.push(last + 1);
                return Key(bytes.into());
            }
        }
        let mut bytes = self.0.to_vec();
        bytes.extend_from_slice(&[0xff; 8]);
        Key(bytes.into())
    }
}

impl Deref for Key {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for Key {
    fn from(bytes: &[u8]) -> Key {
        Key(Bytes::copy_from_slice(bytes))
    }
}

impl<const N: usize> From<&[u8; N]> for Key {
    fn from(bytes: &[u8; N]) -> Key {
        Key(Bytes::copy_from_slice(bytes))
    }
}

impl From<Vec<u8>> for Key {
    fn from(bytes: Vec<u8>) -> Key {
        Key(bytes.into())
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Key {
        Key(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::pretty::key(&self.0))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::pretty::key(&self.0))
    }
}

/// The keys `start <= key < end`. Never built with `end < start`; `start == end` is empty.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Ends")]
pub struct Span {
    /// The first key of the span.
    pub start: Key,
    /// The first key behind the span.
    pub end: Key,
}

/// A span as it is read from outside, not looked at yet.
#[derive(Deserialize)]
struct Ends {
    start: Key,
    end: Key,
}

impl TryFrom<Ends> for Span {
    type Error = &'static str;

    fn try_from(Ends { start, end }: Ends) -> Result<Span, &'static str> {
        if start <= end { Ok(Span { start, end }) } else { Err("a span ends before it starts") }
    }
}

impl Span {
    /// The span `[start, end)`.
    ///
    /// # Panics
    /// If `end < start`.
    #[must_use]
    pub fn new(start: impl Into<Key>, end: impl Into<Key>) -> Span {
        let (start, end) = (start.into(), end.into());
        assert!(start <= end, "span ends before it starts: {start} .. {end}");
        Span { start, end }
    }

    /// The span that holds this key alone.
    #[must_use]
    pub fn point(key: Key) -> Span {
        let end = key.next();
        Span { start: key, end }
    }

    /// The span of all keys with this prefix.
    #[must_use]
    pub fn prefix(prefix: Key) -> Span {
        let end = prefix.prefix_end();
        Span { start: prefix, end }
    }

    /// Whether the span holds no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Whether the span is exactly one key, as [`Span::point`] builds it.
    #[must_use]
    pub fn is_point(&self) -> bool {
        self.end.len() == self.start.len() + 1
            && self.end.last() == Some(&0)
            && self.end.starts_with(&self.start)
    }

    /// Whether the key lies in the span.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        *self.start <= *key && *key < *self.end
    }

    /// Whether every key of `other` lies in the span.
    #[must_use]
    pub fn covers(&self, other: &Span) -> bool {
        other.is_empty() || (self.start <= other.start && other.end <= self.end)
    }

    /// Whether some key lies in both.
    #[must_use]
    pub fn overlaps(&self, other: &Span) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// The keys that lie in both; `None` if there are none.
    #[must_use]
    pub fn intersect(&self, other: &Span) -> Option<Span> {
        let start = self.start.clone().max(other.start.clone());
        let end = self.end.clone().min(other.end.clone());
        (start < end).then_some(Span { start, end })
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::pretty::span(self))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::pretty::span(self))
    }
}
