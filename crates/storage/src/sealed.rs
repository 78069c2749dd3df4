//! Checksums on what is stored: wrong bytes are reported, never used and never skipped (S3).
//!
//! A sealed value is `crc32c (4 bytes, little-endian) ++ body`. The checksum covers the column
//! family and the key as well as the body, so a value that turns up under another key is as
//! wrong as one with a flipped bit. The store below has block checksums of its own; these here
//! also catch what happens above the disk, travel with a range to other replicas, and make the
//! in-memory engine testable in the same way.

use bytes::Bytes;

use crate::{Cf, EngineError};

/// Length of the checksum in front of a body, in bytes.
pub const CHECKSUM_BYTES: usize = 4;

/// The value to store under `key`: a checksum and then the parts of the body.
#[must_use]
pub fn seal(cf: Cf, key: &[u8], body: &[&[u8]]) -> Bytes {
    let len: usize = body.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(CHECKSUM_BYTES + len);
    out.extend_from_slice(&[0; CHECKSUM_BYTES]);
    for part in body {
        out.extend_from_slice(part);
    }
    let crc = checksum(cf, key, &out[CHECKSUM_BYTES..]);
    out[..CHECKSUM_BYTES].copy_from_slice(&crc.to_le_bytes());
    out.into()
}

/// The body of a sealed value.
///
/// # Errors
/// With `corruption` set, if the checksum does not fit.
pub fn open<'a>(cf: Cf, key: &[u8], stored: &'a [u8]) -> Result<&'a [u8], EngineError> {
    let Some((crc, body)) = stored.split_first_chunk::<CHECKSUM_BYTES>() else {
        return Err(corrupted(cf, key, format!("{} bytes are too short", stored.len())));
    };
    let (said, found) = (u32::from_le_bytes(*crc), checksum(cf, key, body));
    if said != found {
        let cause = format!("checksum is {found:08x}, stored was {said:08x}");
        return Err(corrupted(cf, key, cause));
    }
    Ok(body)
}

/// The error for stored bytes that cannot be what was written.
#[must_use]
pub fn corrupted(cf: Cf, key: &[u8], cause: impl Into<String>) -> EngineError {
    EngineError {
        doing: format!("reading {} \"{}\"", cf.name(), key.escape_ascii()),
        cause: cause.into(),
        corruption: true,
    }
}

/// The length of the key goes in, so that no byte can move between key and body unnoticed.
fn checksum(cf: Cf, key: &[u8], body: &[u8]) -> u32 {
    let mut head = [0; 5];
    head[0] = cf as u8;
    let key_len = u32::try_from(key.len()).expect("keys are far below 4 GiB");
    head[1..].copy_from_slice(&key_len.to_le_bytes());
    let crc = crc32c::crc32c(&head);
    crc32c::crc32c_append(crc32c::crc32c_append(crc, key), body)
}
