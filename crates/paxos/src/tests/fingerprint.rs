//! 128 bits that stand for a state.
//!
//! Among ten million states the chance that two share a fingerprint, so that one is taken for
//! visited, is below one in 10^24.

use std::hash::{Hash, Hasher};

/// What stands for a value.
pub(super) type Fingerprint = u128;

/// Of a value.
pub(super) fn fingerprint<T: Hash + ?Sized>(value: &T) -> Fingerprint {
    let mut mixer = Mixer(SEED);
    value.hash(&mut mixer);
    mixer.end()
}

/// Digits of pi and of e, odd.
const SEED: u128 = 0x2436_a885_8a30_8d31_3198_a2e0_3707_3449;
const FACTOR: u128 = 0xadf8_5458_a2bb_4a9a_afdc_5620_273d_3cf1;

/// Multiplies and rotates, a word at a time.
struct Mixer(u128);

impl Mixer {
    fn mix(&mut self, word: u128) {
        self.0 = (self.0.rotate_left(59) ^ word).wrapping_mul(FACTOR);
    }

    fn end(mut self) -> Fingerprint {
        self.0 ^= self.0 >> 67;
        self.mix(1);
        self.0 ^ (self.0 >> 61)
    }
}

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        unreachable!("asked for 128 bits")
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(16) {
            let mut word = [0; 16];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u128::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, word: u8) {
        self.mix(u128::from(word));
    }

    fn write_u32(&mut self, word: u32) {
        self.mix(u128::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        self.mix(u128::from(word));
    }

    fn write_u128(&mut self, word: u128) {
        self.mix(word);
        self.mix(word >> 64);
    }

    fn write_usize(&mut self, word: usize) {
        self.mix(word as u128);
    }

    fn write_isize(&mut self, word: isize) {
        self.mix(word as u128);
    }
}
