//! MD5 (RFC 1321), for SQL's `md5()`: a fingerprint that queries may compare with PostgreSQL's, not
//! a means of security.

use crate::text::hex;

/// How far each of the four steps of a round rotates, round by round.
const ROTATIONS: [[u32; 4]; 4] =
    [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// The digest in hexadecimal digits.
pub(crate) fn hex_digest(message: &[u8]) -> String {
    // The message, a one bit, zeros, and its length in bits: blocks of 64 bytes in all.
    let mut padded = message.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    let bits = (message.len() as u64).wrapping_mul(8);
    padded.extend_from_slice(&bits.to_le_bytes());
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    for block in padded.chunks(64) {
        mix(&mut state, block);
    }
    let digest: Vec<u8> = state.into_iter().flat_map(u32::to_le_bytes).collect();
    hex(&digest)
}

fn mix(state: &mut [u32; 4], block: &[u8]) {
    let words: Vec<u32> = block
        .chunks(4)
        .map(|word| u32::from_le_bytes(word.try_into().expect("a chunk of four")))
        .collect();
    let [mut a, mut b, mut c, mut d] = *state;
    for step in 0..64 {
        let (mixed, word) = match step / 16 {
            0 => ((b & c) | (!b & d), step),
            1 => ((d & b) | (!d & c), 5 * step + 1),
            2 => (b ^ c ^ d, 3 * step + 5),
            _ => (c ^ (b | !d), 7 * step),
        };
        // The constant of a step is 2^32 times the sine of its number in radians.
        let constant = (((step + 1) as f64).sin().abs() * 4_294_967_296.0) as u32;
        let sum = a.wrapping_add(mixed).wrapping_add(constant).wrapping_add(words[word % 16]);
        let rotated = sum.rotate_left(ROTATIONS[step / 16][step % 4]);
        (a, d, c, b) = (d, c, b, b.wrapping_add(rotated));
    }
    for (sum, part) in state.iter_mut().zip([a, b, c, d]) {
        *sum = sum.wrapping_add(part);
    }
}
