//! Where the randomness comes from.

use std::env;

/// The seed, unless `THULIUM_SEED` says another one.
const SEED: u64 = 0x7468_756c_6975_6d21;

/// A stream of random numbers (SplitMix64) that a seed determines.
#[derive(Clone, Debug)]
pub struct Chance {
    seed: u64,
    state: u64,
}

impl Chance {
    /// The stream of this name, for the seed that `THULIUM_SEED` says, or a fixed one. Each test has a name of its own.
    ///
    /// # Panics
    /// If `THULIUM_SEED` is not a whole number.
    pub fn of(stream: &str) -> Self {
        let seed = match env::var("THULIUM_SEED") {
            Ok(seed) => seed.parse().unwrap_or_else(|_| {
                panic!("THULIUM_SEED={seed}: not a number of 64 bits; leave it out or write one like {SEED}")
            }),
            Err(_) => SEED,
        };
        // FNV-1a: streams of one seed differ from each other.
        let name = stream
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Self { seed, state: seed ^ name }
    }

    /// What `THULIUM_SEED` has to say for the same stream.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound as u64) as usize
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of `choices`, of which there is at least one.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Any byte.
    pub fn byte(&mut self) -> u8 {
        self.number() as u8
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..count.div_ceil(8)).flat_map(|_| self.number().to_le_bytes()).collect();
        bytes.truncate(count);
        bytes
    }
}
