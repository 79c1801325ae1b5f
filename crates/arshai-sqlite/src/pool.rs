//! One connection that writes, some that read, and the way async callers reach them.
//!
//! All work runs on blocking threads. A task that was started goes on to its end when the caller's future is
//! dropped, and it owns the connection meanwhile, so a transaction is never left half done.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arshai_core::{Deadline, Effect, Error, ErrorKind, Result};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::{
    sync::{Mutex as AsyncMutex, Semaphore},
    task::spawn_blocking,
};

use crate::{
    SqliteConfig,
    error::{Failure, Outcome},
    schema,
    session::{Filters, Session},
    vectors::Caches,
};

/// After the deadline SQLite gives up by itself. When even that does not return (a file system that hangs), the
/// caller is let go after this much more.
const GRACE: Duration = Duration::from_secs(5);

/// The connections to one file.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) path: PathBuf,
    pub(crate) config: SqliteConfig,
    pub(crate) caches: Caches,
    idle: Mutex<Vec<Session>>,
    readers: Arc<Semaphore>,
    /// `None` after closing. Declared last: the last connection to go tidies the journal, and readers may not.
    writer: Arc<AsyncMutex<Option<Session>>>,
}

impl Pool {
    pub(crate) fn new(path: PathBuf, config: SqliteConfig, writer: Session) -> Self {
        Self {
            path,
            readers: Arc::new(Semaphore::new(config.readers)),
            config,
            caches: Caches::default(),
            idle: Mutex::default(),
            writer: Arc::new(AsyncMutex::new(Some(writer))),
        }
    }

    /// Runs `work` on a connection that only reads.
    pub(crate) async fn read<T, F>(self: &Arc<Self>, operation: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Session, &Self) -> Outcome<T> + Send + 'static,
    {
        self.read_until(operation, Deadline::current_or(self.config.timeout), work).await
    }

    /// The same with a deadline of its own.
    pub(crate) async fn read_until<T, F>(
        self: &Arc<Self>,
        operation: &'static str,
        deadline: Deadline,
        work: F,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Session, &Self) -> Outcome<T> + Send + 'static,
    {
        // Most of the time nobody has to be waited for, and then no timer is needed.
        let permit = match Arc::clone(&self.readers).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let wait =
                    async { Arc::clone(&self.readers).acquire_owned().await.map_err(|_| closed(operation)) };
                deadline.run(operation, Effect::NotApplied, wait).await?
            }
        };
        let pool = Arc::clone(self);
        let task = spawn_blocking(move || {
            let _permit = permit;
            let outcome = pool.take_reader().and_then(|mut session| {
                session.arm(deadline)?;
                let outcome = work(&mut session, &pool);
                pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
                outcome
            });
            outcome.map_err(|failure| failure.into_error(operation, &pool.path))
        });
        join(task, operation, deadline, Effect::NotApplied).await
    }

    /// Runs `work` in a transaction that begins by taking the write lock, and commits it when `work` succeeds.
    pub(crate) async fn write<T, F>(self: &Arc<Self>, operation: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>, &Filters) -> Outcome<T> + Send + 'static,
    {
        self.write_then(operation, work, |_, _| {}).await
    }

    /// The same, and `then` runs after the commit, also when nobody waits for the result any more.
    pub(crate) async fn write_then<T, F>(
        self: &Arc<Self>,
        operation: &'static str,
        work: F,
        then: impl FnOnce(&T, &Self) + Send + 'static,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>, &Filters) -> Outcome<T> + Send + 'static,
    {
        let deadline = Deadline::current_or(self.config.timeout);
        let mut guard = match Arc::clone(&self.writer).try_lock_owned() {
            Ok(guard) => guard,
            Err(_) => {
                let wait = async { Ok(Arc::clone(&self.writer).lock_owned().await) };
                deadline.run(operation, Effect::NotApplied, wait).await?
            }
        };
        let pool = Arc::clone(self);
        let task = spawn_blocking(move || {
            let session = guard.as_mut().ok_or_else(|| closed(operation))?;
            transact(session, deadline, &pool.path, work)
                .inspect(|value| then(value, &pool))
                .map_err(|failure| failure.into_error(operation, &pool.path))
        });
        join(task, operation, deadline, Effect::Unknown).await
    }

    /// Runs `work` at once, in the caller's thread, on the connection that writes: only for a lookup whose pages
    /// this connection has read or written lately and so has in memory. `None` when that is not possible without
    /// waiting; the caller then takes the long way.
    pub(crate) fn peek<T>(&self, work: impl FnOnce(&Connection) -> Outcome<T>) -> Option<T> {
        let guard = self.writer.try_lock().ok()?;
        let session = guard.as_ref()?;
        session.refuse_to_wait().ok()?;
        work(&session.connection).ok()
    }

    fn take_reader(&self) -> Outcome<Session> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(session) = idle {
            return Ok(session);
        }
        let session = Session::open(&self.path)?;
        session.arm(Deadline::after(self.config.timeout))?;
        schema::prepare_reader(&session.connection)?;
        Ok(session)
    }

    /// Waits until no write is under way.
    pub(crate) async fn drain(&self, operation: &'static str) -> Result<()> {
        let deadline = Deadline::current_or(self.config.timeout);
        deadline
            .run(operation, Effect::NotApplied, async {
                let _writer = self.writer.lock().await;
                Ok(())
            })
            .await
    }

    /// Waits for what is under way, lets nothing new begin meanwhile, and closes the connections. Until everything
    /// has ended nothing is closed, so a caller who gives up waiting leaves the file open.
    pub(crate) async fn close(self: &Arc<Self>, operation: &'static str) -> Result<()> {
        let deadline = Deadline::current_or(self.config.timeout);
        let all = u32::try_from(self.config.readers).unwrap_or(u32::MAX);
        let readers = Arc::clone(&self.readers);
        let permits = deadline
            .run(operation, Effect::NotApplied, async {
                // An error means that it was closed before, and then nobody reads.
                Ok(readers.acquire_many_owned(all).await.ok())
            })
            .await?;
        let writer = Arc::clone(&self.writer);
        let mut guard =
            deadline.run(operation, Effect::NotApplied, async { Ok(writer.lock_owned().await) }).await?;
        self.readers.close();
        let pool = Arc::clone(self);
        let task = spawn_blocking(move || {
            drop(permits);
            pool.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
            pool.caches.clear();
            let Some(session) = guard.take() else { return Ok(()) };
            match session.connection.close() {
                Ok(()) => Ok(()),
                Err((_, error)) => Err(Failure::from(error).into_error(operation, &pool.path)),
            }
        });
        join(task, operation, deadline, Effect::NotApplied).await
    }
}

fn transact<T>(
    session: &mut Session,
    deadline: Deadline,
    path: &Path,
    work: impl FnOnce(&Transaction<'_>, &Filters) -> Outcome<T>,
) -> Outcome<T> {
    session.arm(deadline)?;
    let filters = session.filters();
    let transaction = session.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let value = work(&transaction, &filters)?;
    transaction.commit().map_err(|error| Failure::commit(error, path))?;
    Ok(value)
}

async fn join<T>(
    task: tokio::task::JoinHandle<Result<T>>,
    operation: &'static str,
    deadline: Deadline,
    effect: Effect,
) -> Result<T> {
    match tokio::time::timeout(deadline.remaining().saturating_add(GRACE), task).await {
        Ok(Ok(result)) => result,
        Ok(Err(lost)) if effect == Effect::Unknown => Err(unknown(operation).with_source(lost)),
        Ok(Err(lost)) => Err(Error::internal("the work on the SQLite file was lost").with_source(lost)),
        Err(_elapsed) if effect == Effect::Unknown => Err(unknown(operation)),
        Err(_elapsed) => Err(Deadline::error(operation, effect)),
    }
}

/// For a write that went on without us, or whose thread is no more.
fn unknown(operation: &'static str) -> Error {
    Error::new(
        ErrorKind::OutcomeUnknown,
        "it is not known whether the write to the SQLite file happened; read before writing again",
    )
    .with_operation(operation)
}

pub(crate) fn closed(operation: &'static str) -> Error {
    Error::new(ErrorKind::Closed, "the SQLite file was closed").with_operation(operation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_write_that_was_lost_may_have_happened_and_a_read_has_changed_nothing() {
        for (effect, kind) in
            [(Effect::Unknown, ErrorKind::OutcomeUnknown), (Effect::NotApplied, ErrorKind::Internal)]
        {
            let task = tokio::spawn(std::future::pending::<Result<()>>());
            task.abort();
            let deadline = Deadline::after(Duration::from_secs(5));
            let error = join(task, "x.put", deadline, effect).await.unwrap_err();
            assert_eq!((error.kind(), error.effect()), (kind, effect), "{error}");
        }
    }
}
