use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parlance_core::{Action, Chunk, RoomId, SeqRange, UserId};
use parlance_store::{Embedded, LogStore, MemberStore, OpenError, Options, StoreError, UserStore};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::files::{self, Files};
use crate::fixture::{AnyStore, Node, add, edit, group, profile, react, send, user};

pub(crate) const JOURNAL: &str = "engine/0.jnl";
pub(crate) const MARK: &str = "synced";

/// A closed store, and its answers to all reads.
pub(crate) struct Sample {
    dir: TempDir,
    /// Its files as they were written.
    pub(crate) files: Files,
    /// The mark before the last commit.
    pub(crate) older_mark: Vec<u8>,
    pub(crate) room: RoomId,
    users: Vec<UserId>,
    chunks: Vec<Chunk>,
    answers: Vec<Answer>,
}

/// The store's answer to one read.
type Answer = Result<String, StoreError>;

impl Sample {
    /// A store with everything in the journal: two users, a room, and messages from `message 1` on
    /// with changes in between. The last commit is `message 9`, alone.
    pub(crate) fn in_journal() -> Self {
        Self::write(Options::default(), |_, sent| sent == 9)
    }

    /// A store with most data in tables.
    pub(crate) fn in_tables() -> Self {
        let options = Options { write_buffer_bytes: 2 << 10, ..Options::default() };
        Self::write(options, |dir, _| {
            // Rarely written tables do not fill theirs.
            ["log", "overlays", "user_rooms"].iter().all(|table| !tables_of(dir, table).is_empty())
        })
    }

    fn write(options: Options, is_enough: impl Fn(&Path, u64) -> bool) -> Self {
        let dir = TempDir::new().unwrap();
        let users = ["alice", "bob"].map(|name| user(1, name)).to_vec();
        let older_mark = RefCell::default();
        let room = runtime().block_on(async {
            let store = Arc::new(Embedded::open(dir.path(), options).unwrap());
            let shared: AnyStore = store.clone();
            for id in &users {
                shared.create_user(profile(id, "Someone")).await.unwrap();
            }
            let [alice, bob] = users.as_slice() else { unreachable!() };
            let mut node = Node::create(&shared, group(alice, &[])).await;
            for sent in 1.. {
                older_mark.replace(std::fs::read(dir.path().join(MARK)).unwrap());
                let message = node.say(alice, &format!("message {sent}")).await;
                if is_enough(dir.path(), sent) {
                    break;
                }
                let change = match sent % 4 {
                    1 if sent == 1 => vec![(alice, add(&[bob]))],
                    2 => vec![(alice, edit(message, "edited")), (bob, react(message, "👍"))],
                    3 => vec![(bob, send("regretted")), (alice, Action::Delete { target: message })],
                    _ => continue,
                };
                node.write(&change).await;
            }
            store.close().await;
            node.id().clone()
        });
        let mut sample = Self {
            dir,
            files: Files::new(),
            older_mark: older_mark.into_inner(),
            room,
            users,
            chunks: Vec::new(),
            answers: Vec::new(),
        };
        let store = sample.open().unwrap();
        sample.answers = sample.ask(&store);
        sample.chunks = sample.chunks(&store);
        drop(store);
        assert!(sample.answers.iter().all(Result::is_ok), "{:?}", sample.answers);
        sample.files = files::read(sample.dir.path());
        // The files are rewritten for each case: with its identity, the store would take itself
        // for a restored one and raise its epochs. The same with a key but no identity.
        sample.files.remove(Path::new("identity"));
        sample.files.remove(Path::new("room-ids"));
        sample
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Restores the original files, modified by `change`.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Files)) -> Files {
        let mut files = self.files.clone();
        change(&mut files);
        write_files(self.dir.path(), &files);
        files
    }

    /// Restores the original files with a modified journal.
    pub(crate) fn change_journal(&self, change: impl FnOnce(&mut Vec<u8>)) -> Files {
        self.change(|files| change(files.get_mut(Path::new(JOURNAL)).unwrap()))
    }

    pub(crate) fn journal(&self) -> &[u8] {
        &self.files[Path::new(JOURNAL)]
    }

    /// The ends of the batches in the journal.
    pub(crate) fn batch_ends(&self) -> Vec<usize> {
        let trailers = self.journal().windows(4).enumerate().filter(|(_, bytes)| bytes == b"FJL\x03");
        trailers.map(|(at, _)| at + 4).collect()
    }

    pub(crate) fn open(&self) -> Result<Embedded, OpenError> {
        Embedded::open(self.dir.path(), Options::default())
    }

    fn chunks(&self, store: &Embedded) -> Vec<Chunk> {
        runtime().block_on(store.chunks_after(&self.room, 0, usize::MAX)).unwrap()
    }

    /// Makes all reads.
    fn ask(&self, store: &Embedded) -> Vec<Answer> {
        fn text<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> Answer {
            answer.map(|answer| format!("{answer:?}"))
        }
        runtime().block_on(async {
            let everything = SeqRange { from: 1, to: u64::MAX };
            let mut answers = vec![
                text(store.room(&self.room).await),
                text(store.chunks_after(&self.room, 0, usize::MAX).await),
                text(store.events_before(&self.room, u64::MAX, usize::MAX).await),
                text(store.read(&self.room, everything, usize::MAX, false).await),
                text(store.read(&self.room, everything, 10, true).await),
                text(store.members(&self.room, None, usize::MAX).await),
                text(store.users(None, usize::MAX).await),
            ];
            for id in &self.users {
                answers.push(text(store.user(id).await));
                answers.push(text(store.rooms_of(id, None, usize::MAX).await));
                answers.push(text(store.user_room(id, &self.room).await));
            }
            for seq in 1..20 {
                answers.push(text(store.chunk(&self.room, seq).await));
                answers.push(text(store.overlay(&self.room, seq).await));
            }
            answers
        })
    }

    /// Checks that the store opens with all data.
    pub(crate) fn check_whole(&self) {
        assert_eq!(self.ask(&self.open().unwrap()), self.answers);
    }

    /// Checks that the store opens with all data but the last commit.
    pub(crate) fn check_without_last(&self) {
        assert_eq!(self.chunks(&self.open().unwrap()), self.chunks[..self.chunks.len() - 1]);
    }

    /// Checks that the store does not open, twice, and leaves the files unchanged.
    pub(crate) fn check_refused(&self, files: &Files) {
        for _ in 0..2 {
            match self.open() {
                Err(OpenError::Damaged { .. }) => {}
                Err(other) => panic!("{other:?}"),
                Ok(_) => panic!("it opened"),
            }
            assert!(files::read(self.dir.path()) == *files, "files were changed");
        }
    }

    /// Checks that every answer is correct, or reports damage.
    pub(crate) fn check_honest(&self) {
        match self.open() {
            Err(OpenError::Damaged { .. }) => {}
            Err(other) => panic!("{other:?}"),
            Ok(store) => {
                for (answer, expected) in self.ask(&store).into_iter().zip(&self.answers) {
                    if !matches!(answer, Err(StoreError::Damaged(_))) {
                        assert_eq!(answer, *expected);
                    }
                }
            }
        }
    }
}

/// Replaces the contents of `root` by these files.
fn write_files(root: &Path, files: &Files) {
    if root.exists() {
        std::fs::remove_dir_all(root).unwrap();
    }
    for (path, content) in files {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

/// The files that hold `table`.
pub(crate) fn tables_of(dir: &Path, table: &str) -> Vec<PathBuf> {
    // In creation order; the engine uses 0 itself.
    let order = ["users", "rooms", "log", "overlays", "members", "user_rooms"];
    let number = 1 + order.iter().position(|name| *name == table).unwrap();
    let tables = dir.join(format!("engine/keyspaces/{number}/tables"));
    std::fs::read_dir(tables).unwrap().map(|entry| entry.unwrap().path()).collect()
}

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}
