//! The file itself.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arshai_core::{Deadline, Effect, Error, ErrorKind, Result};

use crate::{
    SqliteConfig, SqliteMemory, SqliteVectors, backup,
    error::Outcome,
    pool::{Pool, closed},
    schema,
    session::Session,
};

/// Copying a large file takes longer than an ordinary operation may.
const BACKUP_TIMEOUT: Duration = Duration::from_secs(600);

/// One SQLite file with collections and memory in it. Clones share its connections.
///
/// Several of these, in one process or many, may stand on the same file at once.
#[derive(Debug, Clone)]
pub struct SqliteFile {
    pub(crate) pool: Arc<Pool>,
}

impl SqliteFile {
    /// Opens the file, creating it and its folder for their owner alone when absent, and migrates an older one.
    ///
    /// # Errors
    ///
    /// * [`ErrorKind::Corrupt`]: it is not a SQLite database, damaged or cut short.
    /// * [`ErrorKind::Unsupported`]: a newer version of arshai wrote it.
    /// * [`ErrorKind::AlreadyExists`]: it is another program's SQLite database.
    /// * [`ErrorKind::Io`]: folder or file cannot be created, read or written.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave an empty or a complete file.
    pub async fn open(config: SqliteConfig) -> Result<Self> {
        const OPERATION: &str = "sqlite.open";
        config.validate()?;
        let path = std::path::absolute(&config.path)
            .map_err(|error| Error::from(error).with_operation(OPERATION))?;
        let deadline = Deadline::current_or(config.timeout);
        let task = tokio::task::spawn_blocking(move || {
            create(&path).map_err(|error| io_error(error, &path))?;
            let writer = open_writer(&path, &config, deadline)
                .map_err(|failure| failure.into_error(OPERATION, &path))?;
            Ok(Self { pool: Arc::new(Pool::new(path, config, writer)) })
        });
        deadline
            .run(OPERATION, Effect::NotApplied, async {
                task.await
                    .map_err(|lost| Error::internal("opening the SQLite file was lost").with_source(lost))?
            })
            .await
            .map_err(|error| error.with_operation(OPERATION))
    }

    /// Where the file is, as an absolute path.
    pub fn path(&self) -> &Path {
        &self.pool.path
    }

    /// Its collections.
    pub fn vectors(&self) -> SqliteVectors {
        SqliteVectors::new(Handle::new(&self.pool))
    }

    /// Its conversation memories.
    pub fn memory(&self) -> SqliteMemory {
        SqliteMemory::new(Handle::new(&self.pool))
    }

    /// Copies the file, as it stands at one moment, while others go on reading and writing. The copy is written
    /// beside `to` and renamed when complete; a file that is there is replaced. Default deadline: ten minutes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] when `to` is the file itself; [`ErrorKind::AlreadyExists`] when a program has `to`
    /// open as a database; [`ErrorKind::Io`] when it cannot be written.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the old or the complete new copy at `to`.
    pub async fn backup(&self, to: &Path) -> Result<()> {
        const OPERATION: &str = "sqlite.backup";
        let to = std::path::absolute(to).map_err(|error| Error::from(error).with_operation(OPERATION))?;
        let deadline = Deadline::current_or(BACKUP_TIMEOUT);
        self.pool
            .read_until(OPERATION, deadline, move |session, pool| {
                backup::run(session, &pool.path, &to, deadline)
            })
            .await
    }

    /// Whether the file can be read.
    ///
    /// # Errors
    ///
    /// What keeps it from being read.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn health(&self) -> Result<()> {
        health(&self.pool, "sqlite.health").await
    }

    /// Waits for what is under way and closes the connections, for every store on this file. Later calls fail with
    /// [`ErrorKind::Closed`]. Closing twice is fine.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`] when what is under way does not end in time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the file open or closed.
    pub async fn close(&self) -> Result<()> {
        self.pool.close("sqlite.close").await
    }
}

pub(crate) async fn health(pool: &Arc<Pool>, operation: &'static str) -> Result<()> {
    pool.read(operation, |session, _| {
        session.connection.query_row("SELECT count(*) FROM collection", [], |row| row.get::<_, i64>(0))?;
        Ok(())
    })
    .await
}

/// A store's hold on the file: closing the store lets go of it.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    pool: Arc<Mutex<Option<Arc<Pool>>>>,
}

impl Handle {
    fn new(pool: &Arc<Pool>) -> Self {
        Self { pool: Arc::new(Mutex::new(Some(Arc::clone(pool)))) }
    }

    /// The connections, unless the store was closed.
    pub(crate) fn pool(&self, operation: &'static str) -> Result<Arc<Pool>> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(|| closed(operation))
    }

    /// Lets go; whoever lets go last closes the connections.
    pub(crate) async fn close(&self, operation: &'static str) -> Result<()> {
        let pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner).take();
        match pool {
            None => Ok(()),
            Some(pool) if Arc::strong_count(&pool) == 1 => pool.close(operation).await,
            Some(pool) => pool.drain(operation).await,
        }
    }
}

/// Makes folder and file for their owner alone. SQLite gives its journal the same mode as the file.
fn create(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder)?;
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn io_error(error: std::io::Error, path: &Path) -> Error {
    Error::new(ErrorKind::Io, "the SQLite file cannot be created; look at its folder and permissions")
        .with_context("path", path.display())
        .with_source(error)
}

fn open_writer(path: &Path, config: &SqliteConfig, deadline: Deadline) -> Outcome<Session> {
    let mut session = Session::open(path)?;
    session.arm(deadline)?;
    schema::prepare_writer(&mut session.connection, path, deadline)?;
    if let Some(bytes) = config.max_bytes {
        let page: i64 = session.connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let pages = i64::try_from(bytes).unwrap_or(i64::MAX) / page.max(1);
        let set = pages.clamp(1, i64::from(u32::MAX - 1));
        session.connection.pragma_update_and_check(None, "max_page_count", set, |_| Ok(()))?;
    }
    Ok(session)
}
