//! Figures that look like life and are the same every time: made of names, not of chance.

use std::ops::Range;

use aws_lc_rs::digest::{SHA256, digest};

/// A number of that range, which must not be empty, for those names.
pub(super) fn figure(names: &[&str], range: Range<i64>) -> i64 {
    let digest = digest(&SHA256, names.join("\n").as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest.as_ref()[..8]);
    let width = range.end.abs_diff(range.start).max(1);
    range.start + (u64::from_be_bytes(first) % width) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_within_bounds_and_spread() {
        let all: Vec<i64> = (0..200).map(|n| figure(&["a", &n.to_string()], 5..15)).collect();
        assert!((5..15).all(|number| all.contains(&number)), "{all:?}");
        assert!(all.iter().all(|number| (5..15).contains(number)));
        assert_eq!(figure(&["a", "b"], 0..1000), figure(&["a", "b"], 0..1000));
    }
}
