//! A tiny random generator (xorshift64*), so that the world looks thrown and yet is the same every time.
//!
//! Not for secrets.

/// A generator with its state.
pub(super) struct Dice(u64);

impl Dice {
    /// One that depends on the text alone.
    pub(super) fn of(text: &str) -> Dice {
        let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let mut dice = Dice(text.bytes().fold(0xcbf2_9ce4_8422_2325, fnv) | 1);
        // The first draws still look like the text.
        (0..8).for_each(|_| _ = dice.next());
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// From `low` up to, but not including, `high`, which must be larger.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % high.abs_diff(low).max(1)) as i64
    }

    /// True that often in a hundred.
    pub(super) fn percent(&mut self, chance: i64) -> bool {
        self.between(0, 100) < chance
    }

    /// One of a list that is not empty.
    pub(super) fn one<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.between(0, list.len() as i64) as usize]
    }
}
