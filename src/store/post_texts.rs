//! Posts by their text. PostgreSQL finds it by its trigrams, where it has them, and plans for itself; on SQLite there is an index of
//! trigrams beside the posts, kept by triggers, and when to use it is said here.

use super::{
    Db, Result, Tx,
    post_filter::{Through, WALKED},
    posts::PostFilter,
};
use std::{collections::BTreeSet, time::Duration};

/// Trigrams that are asked for: with so many, few posts are found that do not have the text.
const ASKED: usize = 32;
/// Pages that one step of [`Db::forget_gone_texts`] merges, and the pause after it: others write as well.
const STEP: i64 = 200;
const PAUSE: Duration = Duration::from_millis(20);

impl Db {
    pub(super) async fn through(&self, workspace_id: &str, filter: &PostFilter) -> Result<Through> {
        let Some(text) = filter.text.as_deref().filter(|_| self.is_embedded()) else {
            return Ok(Through::Posts);
        };
        // Few are read sooner than a text is looked up that half of all posts may have.
        let rest = PostFilter { text: None, ..filter.clone() };
        if self.count_through(workspace_id, &rest, &Through::Posts, Some(WALKED)).await? < WALKED {
            return Ok(Through::Posts);
        }
        Ok(trigrams(text).map_or(Through::Scan, Through::Texts))
    }

    /// Makes SQLite's index of the texts forget what is no longer the text of a post. It is not found there any more from the
    /// moment it is gone, but what it was made of stays in the file until the index is written anew; here that is done, in
    /// steps of some 50 ms. On PostgreSQL that is the work of `VACUUM`.
    pub async fn forget_gone_texts(&self) -> Result<()> {
        if !self.is_embedded() {
            return Ok(());
        }
        // Negative: all parts of the index become one, as they stand now; further steps go on with that.
        let mut pages = -STEP;
        loop {
            let mut tx = self.begin().await?;
            let before = tx.changes().await?;
            tx.sql("INSERT INTO posts_by_text (posts_by_text, rank) VALUES ('merge', $1)")
                .bind(pages)
                .run()
                .await?;
            let done = tx.changes().await? - before < 2;
            tx.commit().await?;
            if done {
                return Ok(());
            }
            pages = STEP;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Tx {
    /// How many rows this connection to SQLite has changed since it was opened, those of indexes such as ours included.
    async fn changes(&mut self) -> Result<i64> {
        self.sql("SELECT total_changes()").value().await
    }
}

/// What SQLite's index is asked for: posts with all of the text's trigrams. `None` if it has none. The index ignores the case of
/// more letters than a comparison of texts does, so what it finds is all there is, and more.
fn trigrams(text: &str) -> Option<String> {
    // NUL never comes to the database (`sql.rs`).
    let letters: Vec<char> = text.chars().filter(|c| *c != '\0').collect();
    let trigrams: BTreeSet<&[char]> = letters.windows(3).take(ASKED).collect();
    let quoted: Vec<String> = trigrams
        .into_iter()
        .map(|three| format!("\"{}\"", three.iter().collect::<String>().replace('"', "\"\"")))
        .collect();
    (!quoted.is_empty()).then(|| quoted.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trigrams_are_quoted_and_each_asked_for_once() {
        for text in ["", "ab", "a\0b", "日本"] {
            assert_eq!(trigrams(text), None, "{text:?}");
        }
        assert_eq!(trigrams("abc").as_deref(), Some("\"abc\""));
        assert_eq!(trigrams("aaaa").as_deref(), Some("\"aaa\""));
        assert_eq!(trigrams("a\"*b").as_deref(), Some("\"\"\"*b\" \"a\"\"*\""));
        assert_eq!(trigrams("日本語").as_deref(), Some("\"日本語\""));
        let long: String = ('a'..='z').chain('A'..='Z').collect();
        assert_eq!(trigrams(&long).unwrap().split(' ').count(), ASKED);
    }
}
