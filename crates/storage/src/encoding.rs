//! Keys inside keys: an encoding that keeps order and shows where the inner key ends.
//!
//! A stored key is often a user key followed by something else (a timestamp, a transaction id).
//! Just gluing them together would mix up the order as soon as one user key is a prefix of another,
//! so the user key is escaped and terminated:
//!
//! ```text
//! byte 0x00 of the user key   ->  0x00 0xff
//! every other byte            ->  itself
//! end of the user key         ->  0x00 0x01
//!
//! user key      encoded                     why the order holds
//! ""            00 01
//! "a"           61 00 01                    the terminator is below ...
//! "a\0"         61 00 ff 00 01              ... an escaped zero (01 < ff) ...
//! "a\x01"       61 01 00 01                 ... and below any other byte (00 < 01)
//! "ab"          61 62 00 01
//! ```
//!
//! 1. `a < b` exactly if `encode(a) < encode(b)`; asserted by the property test
//!    `encoding_keeps_order`.
//! 2. No encoded key is a prefix of another one, so all stored keys that begin with `encode(k)`
//!    belong to `k`, and they are neighbours.
//!
//! What this module deliberately does not know: what follows the terminator.

/// Escapes a zero byte of the inner key when it follows a zero byte.
const ESCAPED_ZERO: u8 = 0xff;
/// Ends the inner key when it follows a zero byte.
const TERMINATOR: u8 = 0x01;

/// Appends the encoding of `key` to `out`.
pub fn encode_into(key: &[u8], out: &mut Vec<u8>) {
    for &byte in key {
        out.push(byte);
        if byte == 0 {
            out.push(ESCAPED_ZERO);
        }
    }
    out.extend_from_slice(&[0, TERMINATOR]);
}

/// The encoding of `key`, with room for `extra` bytes behind it.
#[must_use]
pub fn encode(key: &[u8], extra: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + 2 + extra);
    encode_into(key, &mut out);
    out
}

/// Replaces the content of `out` by the key that `stored` begins with, and returns how many bytes
/// of `stored` it took. `None` if `stored` does not begin with an encoded key; `out` is then
/// unspecified.
#[must_use]
pub fn decode_into(stored: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    out.clear();
    let mut rest = stored;
    loop {
        let zero = rest.iter().position(|&byte| byte == 0)?;
        match *rest.get(zero + 1)? {
            ESCAPED_ZERO => out.extend_from_slice(&rest[..=zero]),
            TERMINATOR => {
                out.extend_from_slice(&rest[..zero]);
                return Some(stored.len() - rest.len() + zero + 2);
            }
            _ => return None,
        }
        rest = &rest[zero + 2..];
    }
}

/// How many bytes of `stored` the encoded key takes that it begins with; `None` if there is none.
/// The first so many bytes are what a bloom filter remembers, the same for all versions of a key.
#[must_use]
pub fn encoded_len(stored: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let zero = at + stored[at..].iter().position(|&byte| byte == 0)?;
        match *stored.get(zero + 1)? {
            ESCAPED_ZERO => at = zero + 2,
            TERMINATOR => return Some(zero + 2),
            _ => return None,
        }
    }
}

/// Whether these bytes end as an encoded key does: a cheap check against wrong bytes.
#[must_use]
pub fn ends_encoded(bytes: &[u8]) -> bool {
    bytes.ends_with(&[0, TERMINATOR])
}

/// Turns an encoded key into the least byte string above all stored keys that begin with it.
pub fn make_successor(encoded: &mut [u8]) {
    assert!(ends_encoded(encoded), "not an encoded key: {}", encoded.escape_ascii());
    *encoded.last_mut().expect("it has a terminator") = TERMINATOR + 1;
}

#[cfg(test)]
mod tests;
