//! Choices that come from the input and from nothing else.

/// A stream of numbers (SplitMix64).
#[derive(Clone, Debug)]
pub struct Draw(u64);

impl Draw {
    /// Returns the numbers that belong to these bytes (their FNV-1a hash is the seed).
    pub fn of(bytes: &[u8]) -> Self {
        let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        Self(bytes.iter().fold(0xcbf2_9ce4_8422_2325, hash))
    }

    /// Returns the numbers of this seed.
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Returns a number below `limit` (0 if that is 0).
    pub fn below(&mut self, limit: usize) -> usize {
        (self.number() % limit.max(1) as u64) as usize
    }

    /// Returns true once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// Picks one of these.
    ///
    /// # Panics
    /// There are none.
    pub fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.below(from.len())]
    }

    /// Cuts a stream into chunks: tiny, small or large ones, or all three.
    pub fn cut<'s>(&mut self, stream: &'s [u8]) -> Vec<&'s [u8]> {
        let most = [2, 7, 64, 600, 9000];
        let fixed = (!self.once_in(3)).then(|| *self.pick(&most));
        let (mut rest, mut chunks) = (stream, Vec::new());
        while !rest.is_empty() {
            let most = fixed.unwrap_or_else(|| *self.pick(&most));
            let (chunk, after) = rest.split_at((1 + self.below(most)).min(rest.len()));
            chunks.push(chunk);
            rest = after;
        }
        chunks
    }
}
