//! A copy in memory that many read, and that is brought up to date by whoever first needs a later one.

use std::{
    sync::{RwLock, TryLockError, TryLockResult},
    time::Duration,
};

use arshai_core::{Deadline, Effect};
use rusqlite::Connection;

use super::collection::Stored;
use crate::error::{Failure, Outcome};

/// How long a thread sleeps before it tries again to get a lock.
const NAP: Duration = Duration::from_millis(1);

/// A copy that can be brought up to a later generation.
pub(super) trait Refresh: Default {
    /// The generation it shows; −1 for one that was never filled.
    fn generation(&self) -> i64;

    /// Brings it to the generation that `connection`'s transaction sees. The generation changes last. After an
    /// error of SQLite, what was applied may be applied again; after any other it is thrown away.
    fn refresh(&mut self, connection: &Connection, stored: &Stored) -> Outcome<()>;
}

/// How long to wait for a copy, and which.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait {
    pub(super) deadline: Deadline,
    pub(super) later: Later,
}

/// What becomes of a copy that shows later writes than the reader's transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Later {
    /// [`Failure::Overtaken`].
    Refused,
    /// It is used.
    Accepted,
}

/// The copy, shared.
#[derive(Debug, Default)]
pub(super) struct Copied<T>(RwLock<Held<T>>);

#[derive(Debug, Default)]
struct Held<T> {
    copy: T,
    /// The latest generation of which it shows anything; later than the copy's own after a refresh that was interrupted.
    latest: i64,
}

impl<T: Refresh> Copied<T> {
    /// Runs `work` with a copy that shows at least what `connection`'s transaction sees.
    pub(super) fn with<R>(
        &self,
        connection: &Connection,
        stored: &Stored,
        wait: Wait,
        work: impl FnOnce(&T) -> Outcome<R>,
    ) -> Outcome<R> {
        loop {
            {
                let held = lock(wait.deadline, || self.0.try_read())?;
                if held.copy.generation() >= stored.generation {
                    if held.latest > stored.generation && wait.later == Later::Refused {
                        return Err(Failure::Overtaken);
                    }
                    return work(&held.copy);
                }
            }
            lock(wait.deadline, || self.0.try_write())?.refresh(connection, stored)?;
        }
    }
}

impl<T: Refresh> Held<T> {
    fn refresh(&mut self, connection: &Connection, stored: &Stored) -> Outcome<()> {
        let before = self.copy.generation();
        // Somebody else may have done it while we waited.
        if before >= stored.generation {
            return Ok(());
        }
        self.latest = self.latest.max(stored.generation);
        let refreshed = self.copy.refresh(connection, stored);
        if let Err(failure) = &refreshed {
            let filled = before >= 0 && self.copy.generation() == before;
            if !filled || !matches!(failure, Failure::Sqlite(_)) {
                *self = Self { copy: T::default(), latest: 0 };
            }
        }
        refreshed
    }
}

/// Waits for a lock, but not past the deadline.
fn lock<G>(deadline: Deadline, mut attempt: impl FnMut() -> TryLockResult<G>) -> Outcome<G> {
    loop {
        match attempt() {
            Ok(guard) => return Ok(guard),
            Err(TryLockError::Poisoned(poisoned)) => return Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) if deadline.is_past() => {
                return Err(Deadline::error("vectors.search", Effect::NotApplied).into());
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(NAP),
        }
    }
}

#[cfg(test)]
mod tests {
    use arshai_core::{Error, ErrorKind};

    use super::*;

    /// A copy of nothing that can be told to fail.
    #[derive(Debug)]
    struct Fake {
        generation: i64,
        refreshed: u32,
        failure: Option<fn() -> Failure>,
    }

    impl Default for Fake {
        fn default() -> Self {
            Self { generation: -1, refreshed: 0, failure: None }
        }
    }

    impl Refresh for Fake {
        fn generation(&self) -> i64 {
            self.generation
        }

        fn refresh(&mut self, _: &Connection, stored: &Stored) -> Outcome<()> {
            if self.generation < stored.cleared {
                *self = Self { failure: self.failure.take(), ..Self::default() };
            }
            self.refreshed += 1;
            match self.failure.take() {
                Some(failure) => Err(failure()),
                None => {
                    self.generation = stored.generation;
                    Ok(())
                }
            }
        }
    }

    fn stored(generation: i64, cleared: i64) -> Stored {
        let spec = arshai_core::vector::CollectionSpec::new("c");
        Stored { key: 1, spec, generation, cleared, chunks: 0, dense_chunks: 0, terms: 0, next_id: 1 }
    }

    /// How often what is read now was refreshed since it was empty.
    fn read(copied: &Copied<Fake>, stored: &Stored, later: Later) -> Outcome<u32> {
        let connection = Connection::open_in_memory().unwrap();
        let wait = Wait { deadline: Deadline::after(Duration::from_millis(50)), later };
        copied.with(&connection, stored, wait, |fake| Ok(fake.refreshed))
    }

    fn fail(copied: &Copied<Fake>, failure: fn() -> Failure) {
        copied.0.write().unwrap().copy.failure = Some(failure);
    }

    #[test]
    fn an_interrupted_refresh_keeps_a_good_copy_and_no_other() {
        let interrupted = || {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_INTERRUPT);
            Failure::Sqlite(rusqlite::Error::SqliteFailure(code, None))
        };
        let copied = Copied::default();
        assert_eq!(read(&copied, &stored(1, 0), Later::Refused).unwrap(), 1);
        fail(&copied, interrupted);
        assert!(read(&copied, &stored(2, 0), Later::Refused).is_err());
        // It shows something of 2 by now.
        assert!(matches!(read(&copied, &stored(1, 0), Later::Refused), Err(Failure::Overtaken)));
        assert_eq!(read(&copied, &stored(2, 0), Later::Refused).unwrap(), 3);
        fail(&copied, interrupted);
        assert!(read(&copied, &stored(3, 3), Later::Refused).is_err());
        assert_eq!(read(&copied, &stored(3, 3), Later::Refused).unwrap(), 1, "it had been emptied");
        fail(&copied, || Error::new(ErrorKind::Exhausted, "full").into());
        assert!(read(&copied, &stored(4, 3), Later::Refused).is_err());
        assert_eq!(read(&copied, &stored(4, 3), Later::Refused).unwrap(), 1, "half a record may be in it");
    }

    #[test]
    fn a_later_copy_is_refused_until_it_is_accepted() {
        let copied = Copied::default();
        read(&copied, &stored(2, 0), Later::Refused).unwrap();
        assert!(matches!(read(&copied, &stored(1, 0), Later::Refused), Err(Failure::Overtaken)));
        assert_eq!(read(&copied, &stored(1, 0), Later::Accepted).unwrap(), 1);
    }

    #[test]
    fn a_lock_is_waited_for_until_the_deadline() {
        let copied = Copied::default();
        let _writing = copied.0.write().unwrap();
        match read(&copied, &stored(0, 0), Later::Refused) {
            Err(Failure::Ours(error)) => {
                assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::NotApplied));
            }
            other => panic!("{other:?}"),
        }
    }
}
