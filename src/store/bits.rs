//! A set of numbers below 65,536, and the bytes it is stored as: a sorted list while it is small, else a bit for each.

/// Numbers of one set.
pub const SIZE: i64 = 1 << 16;
const WORDS: usize = (SIZE / 64) as usize;
/// From here on a bit for each number is shorter than a list.
const LIST_MAX: usize = WORDS * 8 / 2;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bits(Vec<u64>);

impl Bits {
    pub fn none() -> Self {
        Self(vec![0; WORDS])
    }

    /// The numbers from `from` on and below `to`.
    pub fn between(from: i64, to: i64) -> Self {
        let mut bits = Self::none();
        for (word, n) in bits.0.iter_mut().zip((0..).step_by(64)) {
            let (from, to) = ((from - n).clamp(0, 64), (to - n).clamp(0, 64));
            if from < to {
                *word = (u64::MAX >> (64 - (to - from))) << from;
            }
        }
        bits
    }

    /// Adds what a set was stored as; `None` for bytes that no set was stored as.
    pub fn or_bytes(&mut self, bytes: &[u8]) -> Option<()> {
        if bytes.len() == WORDS * 8 {
            let words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
            self.0.iter_mut().zip(words).for_each(|(a, b)| *a |= b);
            return Some(());
        }
        if bytes.len() >= 2 * LIST_MAX {
            return None;
        }
        self.or_list(bytes)
    }

    /// Adds the numbers of several lists, one behind the other.
    pub fn or_list(&mut self, bytes: &[u8]) -> Option<()> {
        let (numbers, rest) = bytes.as_chunks::<2>();
        numbers.iter().for_each(|number| self.insert(u16::from_le_bytes(*number)));
        rest.is_empty().then_some(())
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        if self.count() < LIST_MAX {
            self.iter().flat_map(u16::to_le_bytes).collect()
        } else {
            self.0.iter().flat_map(|word| word.to_le_bytes()).collect()
        }
    }

    pub fn insert(&mut self, n: u16) {
        self.0[usize::from(n / 64)] |= 1 << (n % 64);
    }

    pub fn remove(&mut self, n: u16) {
        self.0[usize::from(n / 64)] &= !(1 << (n % 64));
    }

    pub fn and(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a &= b);
    }

    pub fn or(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a |= b);
    }

    pub fn and_not(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a &= !b);
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// From the smallest on.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.0.iter().zip((0u16..).step_by(64)).flat_map(|(word, first)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros() as u16)?;
                rest &= rest - 1;
                Some(first + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn bits(numbers: &BTreeSet<u16>) -> Bits {
        let mut bits = Bits::none();
        numbers.iter().for_each(|n| bits.insert(*n));
        bits
    }

    proptest! {
        #[test]
        fn as_the_sets_of_the_standard_library(
            a in prop::collection::btree_set(any::<u16>(), 0..300), b in prop::collection::btree_set(0u16..900, 0..300),
            from in -10i64..70_000, to in -10i64..70_000,
        ) {
            let all = |bits: &Bits| bits.iter().collect::<BTreeSet<u16>>();
            prop_assert_eq!(all(&bits(&a)), a.clone());
            let (mut and, mut or, mut not) = (bits(&a), bits(&a), bits(&a));
            and.and(&bits(&b));
            or.or(&bits(&b));
            not.and_not(&bits(&b));
            prop_assert_eq!(all(&and), &a & &b);
            prop_assert_eq!(all(&or), &a | &b);
            prop_assert_eq!(all(&not), &a - &b);
            let between = (0..SIZE).filter(|n| (from..to).contains(n)).map(|n| n as u16).collect();
            prop_assert_eq!(all(&Bits::between(from, to)), between);
            let mut less = or.clone();
            b.iter().for_each(|n| less.remove(*n));
            prop_assert_eq!(less, not);
        }
    }

    #[test]
    fn stored_and_read() {
        for to in [0, 1, 4_095, 4_096, 4_097, SIZE] {
            let set = Bits::between(0, to);
            let bytes = set.to_bytes();
            assert_eq!(bytes.len(), if to < 4_096 { 2 * to as usize } else { 8_192 });
            assert_eq!((set.count(), set.is_empty()), (to as usize, to == 0));
            let mut read = Bits::none();
            assert_eq!((read.or_bytes(&bytes), read), (Some(()), set));
        }
        let mut both = Bits::between(3, 5);
        assert_eq!(
            (both.or_list(&[9, 0, 4, 0, 9, 0]), both.iter().collect::<Vec<_>>()),
            (Some(()), vec![3, 4, 9])
        );
        assert_eq!(Bits::none().or_bytes(&[1]), None);
        assert_eq!(Bits::none().or_bytes(&[0; 8_194]), None);
    }
}
