use std::sync::Arc;
use std::thread::JoinHandle;

use fjall::PersistMode;
use parlance_core::{Clock as _, SystemClock};
use tokio::sync::{mpsc, oneshot, watch};

use super::keys;
use super::limits::{COMMIT_GROUP, COMMIT_QUEUE};
use super::opened::Opened;
use super::options::Durability;
use super::recovery::SyncedMark;
use super::tables::{self, Commits, Tables};
use super::transaction::{Lately, Transaction, Writes};
use crate::StoreError;
use crate::feed::Changes;
use crate::feed_record::encode_changes;

/// The operation, run by the committer. Its result is called once the group is durable, or has failed.
type Job = Box<dyn FnOnce(&mut Transaction) -> Answer + Send>;
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

enum Request {
    Run(Job),
    Close(oneshot::Sender<()>),
}

/// The committer has ended.
struct Gone;

/// The only writer: a thread that takes all waiting operations, across all rooms, writes them as one batch, syncs
/// once and answers all. It never waits for more operations.
pub(super) struct Committer {
    /// Always set, until it is dropped.
    requests: Option<mpsc::Sender<Request>>,
    failed: watch::Receiver<Option<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Committer {
    /// Waits until everything accepted is done, so that the caller can open the store again.
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was reported through `failed`.
            let _ = thread.join();
        }
    }
}

impl Committer {
    pub(super) fn start(opened: Opened, durability: Durability) -> Self {
        let (requests, inbox) = mpsc::channel(COMMIT_QUEUE);
        let (failure, failed) = watch::channel(None);
        let Opened { tables, commits, synced, .. } = opened;
        let worker = Worker {
            tables,
            commits,
            synced,
            lately: Lately::default(),
            durability,
            failure: Failure(failure),
        };
        let thread = std::thread::Builder::new()
            .name("committer".into())
            .spawn(move || worker.run(inbox))
            .unwrap_or_else(|error| panic!("cannot start a thread: {error}"));
        Self { requests: Some(requests), failed, thread: Some(thread) }
    }

    /// Runs `operation` exclusively on the store and returns its result once all its writes are durable.
    pub(super) async fn commit<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Transaction) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |txn| {
            let result = operation(txn);
            // A caller that went away does not undo its request.
            Box::new(move |durable| drop(sender.send(durable.map(|()| result))))
        });
        if self.send(Request::Run(job)).await.is_err() {
            return Err(self.gone().await);
        }
        match receiver.await {
            Ok(result) => result,
            Err(_) => Err(self.gone().await),
        }
    }

    /// Why the committer has ended, or is about to. Waiting operations are dropped before the reason is reported.
    async fn gone(&self) -> StoreError {
        let mut failed = self.failed.clone();
        let reason = match failed.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone(),
            Err(_) => None,
        };
        StoreError::Failed(reason.unwrap_or_else(|| "the store is closed".into()))
    }

    pub(super) async fn close(&self) {
        let (sender, receiver) = oneshot::channel();
        if self.send(Request::Close(sender)).await.is_ok() {
            let _ = receiver.await;
        }
    }

    async fn send(&self, request: Request) -> Result<(), Gone> {
        let requests = self.requests.as_ref().ok_or(Gone)?;
        requests.send(request).await.map_err(|_| Gone)
    }

    pub(super) async fn failed(&self) -> String {
        let mut failed = self.failed.clone();
        loop {
            if let Some(reason) = failed.borrow_and_update().clone() {
                return reason;
            }
            if failed.changed().await.is_err() {
                // Closed, not failed.
                std::future::pending::<()>().await;
            }
        }
    }
}

struct Worker {
    tables: Arc<Tables>,
    commits: Commits,
    synced: SyncedMark,
    lately: Lately,
    durability: Durability,
    failure: Failure,
}

/// Reports why the worker ended unexpectedly.
struct Failure(watch::Sender<Option<String>>);

impl Drop for Failure {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.send_replace(Some("the committer panicked".into()));
        }
    }
}

impl Worker {
    fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        let mut group = Vec::with_capacity(COMMIT_GROUP);
        while inbox.blocking_recv_many(&mut group, COMMIT_GROUP) > 0 {
            let mut closing = None;
            let mut jobs = Vec::with_capacity(group.len());
            for request in group.drain(..) {
                match request {
                    Request::Run(job) => jobs.push(job),
                    Request::Close(done) => {
                        // Queued operations were accepted; no more are.
                        inbox.close();
                        closing = Some(done);
                    }
                }
            }
            if let Err(reason) = self.commit(jobs) {
                // The device's contents are now unknown: never acknowledge again.
                tracing::error!(reason, "the store has failed and accepts no more writes");
                self.failure.0.send_replace(Some(reason));
                return;
            }
            if let Some(done) = closing {
                self.run(inbox);
                let _ = done.send(());
                return;
            }
        }
        self.mark_closed();
    }

    /// Runs a group and answers it. Errors are final.
    fn commit(&mut self, jobs: Vec<Job>) -> Result<(), String> {
        self.lately.trim();
        let mut txn = Transaction::new(self.tables.clone(), std::mem::take(&mut self.lately));
        let answers: Vec<Answer> = jobs.into_iter().map(|job| job(&mut txn)).collect();
        self.lately = txn.lately;
        let result = self.write(txn.writes, &txn.changes);
        for answer in answers {
            answer(result.clone().map_err(StoreError::Failed));
        }
        result
    }

    fn write(&mut self, writes: Writes, changes: &Changes) -> Result<(), String> {
        if writes.is_empty() {
            return Ok(());
        }
        metrics::counter!("parlance_store_commits_total").increment(1);
        let number = tables::last(&self.commits) + 1;
        let mode = match self.durability {
            Durability::Synced => PersistMode::SyncData,
            Durability::Buffered => PersistMode::Buffer,
        };
        let mut batch = self.tables.db.batch().durability(Some(mode));
        let mut commits = self.commits;
        for ((table, key), value) in writes {
            let keyspace = self.tables.keyspace(table);
            if commits[table as usize] != number {
                commits[table as usize] = number;
                batch.insert(keyspace, keys::COMMIT, number.to_be_bytes());
            }
            match value {
                Some(value) => batch.insert(keyspace, key, value),
                None => batch.remove(keyspace, key),
            }
        }
        // Also without named changes: a missing number means a missing record.
        let record = encode_changes(SystemClock.now(), changes);
        batch.insert(self.tables.feed(), keys::feed(number), record);
        batch.commit().map_err(|error| error.to_string())?;
        self.commits = commits;
        if self.durability == Durability::Synced {
            // After the sync and before any answer: never ahead of what is durable, never behind what is
            // acknowledged.
            self.synced.set(&commits).map_err(|error| format!("{}: {error}", SyncedMark::NAME))?;
        }
        self.tables.publish(number);
        Ok(())
    }

    /// The mark is synced here and at the next start only; see [`SyncedMark`].
    fn mark_closed(&self) {
        let marked =
            self.tables.db.persist(PersistMode::SyncAll).map_err(|error| error.to_string()).and_then(|()| {
                let synced = self.synced.set(&self.commits).and_then(|()| self.synced.sync());
                synced.map_err(|error| error.to_string())
            });
        if let Err(reason) = marked {
            tracing::warn!(reason, "could not sync the mark of the last commit");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::UserStore;
    use std::time::Duration;

    use super::super::{Embedded, Options};
    use super::*;
    use crate::Store;

    /// Nobody waits forever, all get the reason, and the process is told to exit.
    #[tokio::test]
    async fn a_panic_while_committing_fails_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let store = Embedded::open(dir.path(), Options::default()).unwrap();
        let failed = StoreError::Failed("the committer panicked".into());
        let committer = &store.committer;
        // In one group, as far as they are in time for it.
        let together = futures::future::join4(
            committer.commit(|_| 1),
            committer.commit(|_| -> u8 { panic!("while committing") }),
            committer.commit(|_| 3),
            committer.commit(|_| 4),
        );
        let (first, second, third, fourth) =
            tokio::time::timeout(Duration::from_secs(20), together).await.unwrap();
        assert!(first == Ok(1) || first == Err(failed.clone()), "{first:?}");
        for result in [second, third, fourth] {
            assert_eq!(result, Err(failed.clone()));
        }
        let reason = tokio::time::timeout(Duration::from_secs(20), store.failed()).await.unwrap();
        assert_eq!(StoreError::Failed(reason), failed);
        assert_eq!(committer.commit(|_| 5).await, Err(failed));
        let user = parlance_core::UserId::parse("alice").unwrap();
        assert_eq!(store.user(&user).await, Ok(None), "what is durable can still be read");
    }
}
