//! Where a test makes the Nth commit or upstream call fail, to see what is left behind. Each database has its own, so that
//! tests side by side do not meet. Without the feature `failpoints` there is nothing here but empty functions: a release
//! has none of it.

use crate::{store, upstream};

/// A place that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// The commit is refused: nothing was written.
    BeforeCommit,
    /// The commit is made, and its confirmation lost.
    AfterCommit,
    /// There is no connection to upstream.
    BeforeSend,
    /// Upstream's answer is lost.
    AfterAnswer,
}

/// The failpoints of one database and all that works with it. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Failpoints(#[cfg(feature = "failpoints")] std::sync::Arc<armed::Counter>);

impl Failpoints {
    /// A commit is about to be made.
    ///
    /// # Errors
    /// Where a test has asked for it.
    pub(crate) fn before_commit(&self) -> store::Result<()> {
        if self.fails(Point::BeforeCommit) { Err(lost("before it was made")) } else { Ok(()) }
    }

    /// A commit has been made.
    ///
    /// # Errors
    /// Where a test has asked for it.
    pub(crate) fn after_commit(&self) -> store::Result<()> {
        if self.fails(Point::AfterCommit) { Err(lost("after it was made")) } else { Ok(()) }
    }

    /// A call is about to be sent.
    ///
    /// # Errors
    /// Where a test has asked for it.
    pub(crate) fn before_send(&self) -> Result<(), upstream::Error> {
        if self.fails(Point::BeforeSend) {
            return Err(upstream::Error::Unreachable("a failpoint".into()));
        }
        Ok(())
    }

    /// An answer has been read.
    ///
    /// # Errors
    /// Where a test has asked for it.
    pub(crate) fn after_answer(&self) -> Result<(), upstream::Error> {
        if self.fails(Point::AfterAnswer) {
            return Err(upstream::Error::Broken("a failpoint".into()));
        }
        Ok(())
    }

    #[cfg(not(feature = "failpoints"))]
    fn fails(&self, _: Point) -> bool {
        false
    }
}

fn lost(when: &str) -> store::Error {
    store::Error::Unavailable(format!("a failpoint: the commit was lost {when}"))
}

#[cfg(feature = "failpoints")]
mod armed {
    use super::{Failpoints, Point};
    use std::sync::{Mutex, PoisonError};

    /// Counts the points passed since it was armed.
    #[derive(Debug, Default)]
    pub struct Counter(Mutex<Armed>);

    #[derive(Debug, Default)]
    struct Armed {
        /// The one to fail, counted from 1; 0 is none.
        at: u64,
        passed: u64,
        failed: Option<Point>,
    }

    impl Failpoints {
        /// The Nth point from now on fails, once.
        pub fn arm(&self, n: u64) {
            *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) =
                Armed { at: n, passed: 0, failed: None };
        }

        /// No further point fails. Tells which has, if any.
        pub fn disarm(&self) -> Option<Point> {
            std::mem::take(&mut *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)).failed
        }

        pub(super) fn fails(&self, point: Point) -> bool {
            let mut armed = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
            armed.passed += 1;
            let fails = armed.passed == armed.at;
            if fails {
                armed.failed = Some(point);
            }
            fails
        }
    }
}
