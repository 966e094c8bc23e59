//! "All that match" but for single posts, left out on whichever page of the list they stand (ui.md §2.1).

use std::collections::BTreeSet;

/// Posts that can be left out; whoever has more to leave out narrows the filters.
pub const LEFT_OUT_MAX: usize = 200;

/// A post by its tenant's id and its own.
pub type PostKey = (String, String);

/// All posts that a filter of the posts list matches, but for some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    pub id: String,
    /// The filter as a query string.
    pub filter: String,
    pub left_out: BTreeSet<PostKey>,
}

impl Selection {
    /// Takes over one page of the list as it was sent: of the posts shown there, those that are not ticked are left out. What
    /// was left out on other pages stays so.
    pub fn take_page(&mut self, shown: &[PostKey], ticked: &[PostKey]) {
        for post in shown {
            if ticked.contains(post) {
                self.left_out.remove(post);
            } else {
                self.left_out.insert(post.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_page_decides_about_its_own_posts() {
        let key = |n: usize| ("t".to_owned(), n.to_string());
        let keys = |ns: &[usize]| ns.iter().map(|n| key(*n)).collect::<Vec<_>>();
        let set = |ns: &[usize]| keys(ns).into_iter().collect::<BTreeSet<_>>();
        let mut selection = Selection { id: "s".into(), filter: String::new(), left_out: BTreeSet::new() };
        selection.take_page(&keys(&[1, 2, 3]), &keys(&[1, 3]));
        selection.take_page(&keys(&[4, 5]), &keys(&[]));
        assert_eq!(selection.left_out, set(&[2, 4, 5]));
        // Back on the first page: ticked again. What is ticked without having been shown is nobody's.
        selection.take_page(&keys(&[1, 2, 3]), &keys(&[2, 3, 4]));
        assert_eq!(selection.left_out, set(&[1, 4, 5]));
        selection.take_page(&[], &[]);
        assert_eq!(selection.left_out, set(&[1, 4, 5]));
    }
}
