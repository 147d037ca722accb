//! Cursors and queued commands in SQLite.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use parlance_client::parlance_client_core::{StoreChange, StoredCommand};
use parlance_client::v1::Cursor;
use parlance_client::{CommandStore, CursorStore};
use rusqlite::{Connection, params};

/// The layout of the tables. A database of a later version is not opened.
const VERSION: i64 = 1;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS commands (id TEXT PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS cursors (room_id TEXT PRIMARY KEY, seq INTEGER NOT NULL, epoch INTEGER NOT NULL)
        WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS owner (user_id TEXT PRIMARY KEY) WITHOUT ROWID;
";

/// A database, which one client has open at a time.
#[derive(Clone)]
pub(crate) struct Database(Arc<Shared>);

struct Shared {
    /// `None`: in memory.
    path: Option<PathBuf>,
    /// `None` once it is closed.
    connection: Mutex<Option<Connection>>,
}

impl Database {
    /// At a path, or in memory: then it is gone with the process.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, String> {
        let connection = open(path).map_err(|error| error.to_string())?;
        let (path, connection) = (path.map(Path::to_owned), Mutex::new(Some(connection)));
        Ok(Self(Arc::new(Shared { path, connection })))
    }

    /// Binds it to a user, or checks that it is theirs: the cursors and changes of one must not be another's.
    pub(crate) fn claim(&self, user: &str) -> Result<(), String> {
        let mut connection = lock(&self.0.connection);
        // After `close` nothing is delivered any more.
        let Some(connection) = connection.as_mut() else { return Ok(()) };
        let owner = connection.query_row("SELECT user_id FROM owner", [], |row| row.get::<_, String>(0));
        match owner {
            Ok(owner) if owner == user => Ok(()),
            Ok(owner) => Err(format!("the database belongs to {owner}, and the token to {user}")),
            Err(_) => {
                let _ =
                    connection.execute("INSERT OR IGNORE INTO owner (user_id) VALUES (?1)", params![user]);
                Ok(())
            }
        }
    }

    /// Closes the database, so that another client can open it.
    pub(crate) async fn close(&self) -> Result<(), String> {
        self.run(|connection| {
            connection.take().map_or(Ok(()), |open| open.close().map_err(|(_, error)| error))
        })
        .await
    }

    /// Deletes the files, once it is closed, unless another client has it.
    pub(crate) async fn delete(&self) -> Result<(), String> {
        let Some(path) = self.0.path.clone() else { return Ok(()) };
        self.run(move |_| {
            // If the file cannot be deleted, it is at least empty.
            let open = open(Some(&path))?;
            open.execute_batch(
                "BEGIN; DELETE FROM commands; DELETE FROM cursors; DELETE FROM owner; COMMIT; VACUUM;",
            )?;
            open.close().map_err(|(_, error)| error)?;
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failure(error.to_string())),
                _ => Ok(()),
            }
        })
        .await
    }

    /// Runs on a thread that may wait for the disk.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Option<Connection>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, String> {
        let shared = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || {
            let mut connection = lock(&shared.connection);
            work(&mut connection).map_err(|error| error.to_string())
        });
        done.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, String> {
        self.run(|connection| work(connection.as_mut().ok_or_else(|| failure("the database is closed"))?))
            .await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open(path: Option<&Path>) -> rusqlite::Result<Connection> {
    let connection = path.map_or_else(Connection::open_in_memory, Connection::open)?;
    // The lock is held until its owner closes: waiting would only block the app's thread.
    connection.busy_timeout(Duration::ZERO)?;
    // Two processes that send the same queue would wait for each other's answers in vain.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A command counts as stored once it survives a power cut.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "secure_delete", "ON")?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > VERSION {
        return Err(failure(format!("the database has version {version}, and this client knows {VERSION}")));
    }
    connection.execute_batch(TABLES)?;
    connection.pragma_update(None, "user_version", VERSION)?;
    Ok(connection)
}

fn failure(details: impl Into<String>) -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
    rusqlite::Error::SqliteFailure(code, Some(details.into()))
}

#[async_trait]
impl CommandStore for Database {
    async fn load(&self) -> Result<Vec<StoredCommand>, String> {
        self.with(|connection| {
            let mut select = connection.prepare("SELECT id, record FROM commands ORDER BY id")?;
            let rows =
                select.query_map([], |row| Ok(StoredCommand { id: row.get(0)?, record: row.get(1)? }))?;
            rows.collect()
        })
        .await
    }

    async fn write(&self, changes: Vec<StoreChange>) -> Result<(), String> {
        self.with(move |connection| {
            let transaction = connection.transaction()?;
            for StoreChange { id, record } in changes {
                match record {
                    Some(record) => transaction.execute(
                        "INSERT OR REPLACE INTO commands (id, record) VALUES (?1, ?2)",
                        params![id, record],
                    )?,
                    None => transaction.execute("DELETE FROM commands WHERE id = ?1", params![id])?,
                };
            }
            transaction.commit()
        })
        .await
    }
}

#[async_trait]
impl CursorStore for Database {
    async fn load(&self) -> Vec<Cursor> {
        let cursors = self.with(|connection| {
            let mut select = connection.prepare("SELECT room_id, seq, epoch FROM cursors")?;
            let rows = select.query_map([], |row| {
                let (seq, epoch): (i64, i64) = (row.get(1)?, row.get(2)?);
                Ok(Cursor { room_id: row.get(0)?, seq: seq.cast_unsigned(), epoch: epoch.cast_unsigned() })
            })?;
            rows.collect()
        });
        // Without them rooms begin with a gap, which the app pages.
        cursors.await.unwrap_or_default()
    }

    async fn save(&self, moved: Vec<Cursor>) {
        let saved = self.with(move |connection| {
            let transaction = connection.transaction()?;
            for Cursor { room_id, seq, epoch } in moved {
                transaction.execute(
                    "INSERT OR REPLACE INTO cursors (room_id, seq, epoch) VALUES (?1, ?2, ?3)",
                    params![room_id, seq.cast_signed(), epoch.cast_signed()],
                )?;
            }
            transaction.commit()
        });
        // Events after the last saved cursor are delivered again.
        let _ = saved.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(id: &str, record: &[u8]) -> StoreChange {
        StoreChange { id: id.to_owned(), record: Some(record.to_vec()) }
    }

    #[tokio::test]
    async fn commands_and_cursors_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chat.db");
        let database = Database::open(Some(&path)).unwrap();
        let gone = StoreChange { id: "a".to_owned(), record: None };
        database.write(vec![put("a", b"1"), put("b", b"2")]).await.unwrap();
        database.write(vec![gone, put("b", b"3")]).await.unwrap();
        let cursor = Cursor { room_id: "r".to_owned(), seq: u64::MAX, epoch: 2 };
        database.save(vec![Cursor { seq: 1, ..cursor.clone() }]).await;
        database.save(vec![cursor.clone()]).await;
        drop(database);
        let database = Database::open(Some(&path)).unwrap();
        assert_eq!(
            CommandStore::load(&database).await.unwrap(),
            [StoredCommand { id: "b".to_owned(), record: b"3".to_vec() }]
        );
        assert_eq!(CursorStore::load(&database).await, [cursor]);
    }

    #[tokio::test]
    async fn a_closed_database_is_free_and_a_deleted_one_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chat.db");
        let database = Database::open(Some(&path)).unwrap();
        database.write(vec![put("a", b"1")]).await.unwrap();
        database.close().await.unwrap();
        assert!(database.write(vec![put("b", b"2")]).await.is_err());
        let another = Database::open(Some(&path)).unwrap();
        assert_eq!(CommandStore::load(&another).await.unwrap().len(), 1);
        assert!(database.delete().await.is_err());
        another.close().await.unwrap();
        another.delete().await.unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_database_belongs_to_one_user() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chat.db");
        let database = Database::open(Some(&path)).unwrap();
        assert_eq!((database.claim("alice"), database.claim("alice")), (Ok(()), Ok(())));
        drop(database);
        let database = Database::open(Some(&path)).unwrap();
        assert!(database.claim("bob").unwrap_err().contains("belongs to alice"));
    }

    #[tokio::test]
    async fn a_second_process_and_a_later_version_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chat.db");
        let database = Database::open(Some(&path)).unwrap();
        database.write(vec![put("a", b"1")]).await.unwrap();
        assert!(Database::open(Some(&path)).is_err());
        database
            .with(|connection| connection.pragma_update(None, "user_version", VERSION + 1))
            .await
            .unwrap();
        drop(database);
        assert!(Database::open(Some(&path)).err().unwrap().contains("version 2"));
    }
}
