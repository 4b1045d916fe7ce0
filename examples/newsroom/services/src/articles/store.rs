//! The articles' database: makes it on first start, lends connections, counts queries.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Params, Row, TransactionBehavior};
use time::OffsetDateTime;

use super::generate;

/// A writer waits this long for another one before it gives up.
const BUSY_WAIT: Duration = Duration::from_secs(2);
/// The file is read in place: with a cache of its own for each connection, the front page takes three times as long.
const MAPPED_BYTES_MAX: i64 = 256 << 20;

pub struct Store {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    queries: AtomicU64,
}

impl Store {
    /// Opens the database in `folder`; writes it first if it is missing.
    pub fn open(folder: &Path, articles: u32) -> io::Result<Arc<Store>> {
        let path = folder.join("articles.db");
        fs::create_dir_all(folder)?;
        // Of several instances that start at once, one writes and the others wait for it.
        let lock = File::create(folder.join("articles.lock"))?;
        lock.lock()?;
        if !path.exists() {
            let started = Instant::now();
            let unfinished = folder.join("articles.db.new");
            // Left by a start that was killed half-way.
            if unfinished.exists() {
                fs::remove_file(&unfinished)?;
            }
            generate_into(&unfinished, articles).map_err(io::Error::other)?;
            File::open(&unfinished)?.sync_all()?;
            fs::rename(&unfinished, &path)?;
            println!(
                "articles: wrote {articles} articles in {:.1} s",
                started.elapsed().as_secs_f32()
            );
        }
        Ok(Arc::new(Store { path, idle: Mutex::default(), queries: AtomicU64::new(0) }))
    }

    pub fn queries(&self) -> u64 {
        self.queries.load(Relaxed)
    }

    /// Reads one row, uncounted: health checks are not what a cache saves.
    pub async fn ready(self: &Arc<Self>) -> rusqlite::Result<()> {
        self.read(|session| {
            session.connection.query_row("SELECT 1 FROM articles LIMIT 1", [], |_| Ok(()))
        })
        .await
    }

    /// Runs `work` in one transaction on a thread that may block: all it reads is of one moment.
    pub async fn read<T, W>(self: &Arc<Self>, work: W) -> rusqlite::Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&Session<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        self.run(TransactionBehavior::Deferred, work).await
    }

    /// As `read`, for work that changes something: all of it happens, or nothing.
    pub async fn write<T, W>(self: &Arc<Self>, work: W) -> rusqlite::Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&Session<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        self.run(TransactionBehavior::Immediate, work).await
    }

    async fn run<T, W>(
        self: &Arc<Self>,
        behavior: TransactionBehavior,
        work: W,
    ) -> rusqlite::Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&Session<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let store = Arc::clone(self);
        let task = move || {
            let mut connection = store.take()?;
            let transaction = connection.transaction_with_behavior(behavior)?;
            let result = work(&Session { connection: &transaction, queries: &store.queries })?;
            transaction.commit()?;
            store.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            Ok(result)
        };
        tokio::task::spawn_blocking(task).await.expect("work on the store does not panic")
    }

    fn take(&self) -> rusqlite::Result<Connection> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| connect(&self.path), Ok)
    }
}

/// A connection in a transaction. Every statement goes through here, so the count is true.
pub struct Session<'s> {
    connection: &'s Connection,
    queries: &'s AtomicU64,
}

impl Session<'_> {
    pub fn rows<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.queries.fetch_add(1, Relaxed);
        self.connection.prepare_cached(sql)?.query_map(params, read)?.collect()
    }

    /// The first row, if there is one.
    pub fn row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        self.queries.fetch_add(1, Relaxed);
        self.connection.prepare_cached(sql)?.query_row(params, read).optional()
    }

    /// The number of rows changed.
    pub fn change(&self, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
        self.queries.fetch_add(1, Relaxed);
        self.connection.prepare_cached(sql)?.execute(params)
    }

    pub fn last_id(&self) -> i64 {
        self.connection.last_insert_rowid()
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // Not creating: a database removed under a running service is an error, not an empty newspaper.
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(BUSY_WAIT)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "mmap_size", MAPPED_BYTES_MAX)?;
    Ok(connection)
}

fn generate_into(unfinished: &Path, articles: u32) -> rusqlite::Result<()> {
    let mut database = Connection::open(unfinished)?;
    // Nothing to roll back to: a killed start begins anew.
    database.pragma_update(None, "journal_mode", "OFF")?;
    database.pragma_update(None, "synchronous", "OFF")?;
    generate::fill(&mut database, articles, OffsetDateTime::now_utc())?;
    // Kept in the file: readers do not wait for a writer.
    database.pragma_update(None, "journal_mode", "WAL")
}

/// A store of its own for a test, in memory.
#[cfg(test)]
pub mod sample {
    use super::*;
    use time::macros::datetime;

    pub const NOW: OffsetDateTime = datetime!(2026-03-01 12:00 UTC);

    pub fn with_session<T>(articles: u32, work: impl FnOnce(&Session<'_>) -> T) -> T {
        let mut database = Connection::open_in_memory().expect("memory");
        generate::fill(&mut database, articles, NOW).expect("filled");
        let queries = AtomicU64::new(0);
        work(&Session { connection: &database, queries: &queries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_is_written_once_and_whole() {
        let folder = std::env::temp_dir().join(format!("newsroom-store-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("folder");
        fs::write(folder.join("articles.db.new"), "left by a killed start").expect("leftover");
        Store::open(&folder, 20).expect("first start");
        let first =
            fs::metadata(folder.join("articles.db")).expect("database").modified().expect("time");
        Store::open(&folder, 20).expect("second start");
        let second =
            fs::metadata(folder.join("articles.db")).expect("database").modified().expect("time");
        let unfinished = folder.join("articles.db.new").exists();
        fs::remove_dir_all(&folder).expect("removed");
        assert_eq!((first, unfinished), (second, false));
    }
}
