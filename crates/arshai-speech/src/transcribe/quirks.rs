//! What a server turned out not to give.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A server may be mended, or serve another model: what it refused once is asked for again after this time.
const REMEMBERED: Duration = Duration::from_secs(600);

/// How much less than everything is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Lessons {
    /// So many forms of replies with times are not given.
    pub(super) timed: usize,
    /// So many forms of replies without times are not given.
    pub(super) plain: usize,
    pub(super) no_granularities: bool,
    pub(super) no_stream: bool,
}

impl Lessons {
    fn and(self, other: Self) -> Self {
        Self {
            timed: self.timed.max(other.timed),
            plain: self.plain.max(other.plain),
            no_granularities: self.no_granularities || other.no_granularities,
            no_stream: self.no_stream || other.no_stream,
        }
    }
}

/// The lessons that hold.
#[derive(Debug, Default)]
pub(super) struct Quirks {
    learnt: Mutex<Option<(Lessons, Instant)>>,
}

impl Quirks {
    /// What is known, twice: to compare with, and to add to.
    pub(super) fn lessons(&self) -> (Lessons, Lessons) {
        let known = self.known(Instant::now());
        (known, known)
    }

    /// Remembers what led to a reply. A refusal alone is not remembered: it may have been about the recording, and have
    /// named a field by the way.
    pub(super) fn learn(&self, known: Lessons, lessons: Lessons) {
        if lessons != known {
            self.suspect(lessons);
        }
    }

    /// Remembers what nobody could try.
    pub(super) fn suspect(&self, lessons: Lessons) {
        self.remember(lessons, Instant::now());
    }

    fn known(&self, now: Instant) -> Lessons {
        let mut learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        learnt.take_if(|(_, since)| now.saturating_duration_since(*since) >= REMEMBERED);
        learnt.map(|(lessons, _)| lessons).unwrap_or_default()
    }

    fn remember(&self, lessons: Lessons, now: Instant) {
        let lessons = self.known(now).and(lessons);
        *self.learnt.lock().unwrap_or_else(PoisonError::into_inner) = Some((lessons, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lessons_are_added_up_and_do_not_hold_for_ever() {
        let (quirks, start) = (Quirks::default(), Instant::now());
        let timed = Lessons { timed: 1, ..Lessons::default() };
        quirks.remember(timed, start);
        quirks.remember(Lessons { no_stream: true, ..Lessons::default() }, start + REMEMBERED / 2);
        let known = quirks.known(start + REMEMBERED);
        assert_eq!(known, Lessons { timed: 1, no_stream: true, ..Lessons::default() });
        assert_eq!(quirks.known(start + REMEMBERED * 2), Lessons::default());
    }

    #[test]
    fn what_was_known_before_is_not_made_younger() {
        let quirks = Quirks::default();
        let lessons = Lessons { plain: 1, ..Lessons::default() };
        quirks.learn(lessons, lessons);
        assert_eq!(quirks.lessons().0, Lessons::default());
        quirks.learn(Lessons::default(), lessons);
        assert_eq!(quirks.lessons().0, lessons);
    }
}
