//! Pseudorandom numbers that are the same in each run.

/// The splitmix64 generator.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Self {
        Self(0x05ee_d0fd_00da_3d00)
    }

    /// Returns a generator with numbers of its own for each seed.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xd134_2543_de82_ef95))
    }

    /// Returns a number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    /// Returns `count` letters.
    pub(crate) fn letters(&mut self, count: usize) -> String {
        (0..count).map(|_| char::from(b"ABCDEFGHabcdefghijkmnopqrstuvwxy"[self.below(32) as usize])).collect()
    }
}
