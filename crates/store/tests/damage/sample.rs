use std::path::{Path, PathBuf};
use std::sync::Arc;

use parlance_core::{Action, RoomId, SeqRange, UserId};
use parlance_store::{Embedded, OpenError, Options, Store, StoreError};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::files::{self, Files};
use crate::fixture::{AnyStore, Node, add, edit, group, profile, react, send, user};

pub(crate) const JOURNAL: &str = "engine/0.jnl";

/// A closed store, and what it answers.
pub(crate) struct Sample {
    dir: TempDir,
    /// Its files as they were written.
    pub(crate) files: Files,
    room: RoomId,
    users: Vec<UserId>,
    answers: Vec<Answer>,
}

/// What the store answers to one question.
type Answer = Result<String, StoreError>;

impl Sample {
    /// Everything in the journal: one commit each for the two users, the room, and the
    /// messages `message 1` to `message 9`, with some changes in between.
    pub(crate) fn in_journal() -> Self {
        Self::write(Options::default(), |_, _| 9)
    }

    /// Most of it in tables.
    pub(crate) fn in_tables() -> Self {
        let options = Options { write_buffer_bytes: 2 << 10, ..Options::default() };
        Self::write(options, |dir, messages| {
            let tables = |table: u32| dir.join(format!("engine/keyspaces/{table}/tables"));
            let is_written = |table| std::fs::read_dir(tables(table)).unwrap().next().is_some();
            // 1 to 7 are the tables; users are too few to fill theirs.
            let done = [1, 4, 5, 7].into_iter().all(is_written);
            if done { messages } else { messages + 10 }
        })
    }

    /// Sends as many messages as `enough` says, who is asked again once they are there.
    fn write(options: Options, enough: impl Fn(&Path, usize) -> usize) -> Self {
        let dir = TempDir::new().unwrap();
        let users = ["alice", "bob"].map(|name| user(1, name)).to_vec();
        let room = runtime().block_on(async {
            let store = Arc::new(Embedded::open(dir.path(), options).unwrap());
            let shared: AnyStore = store.clone();
            for id in &users {
                shared.create_user(profile(id, "Someone")).await.unwrap();
            }
            let [alice, bob] = users.as_slice() else { unreachable!() };
            let mut node = Node::create(&shared, group(alice, &[])).await;
            let mut sent = 0;
            while sent < enough(dir.path(), sent) {
                sent += 1;
                let message = node.say(alice, &format!("message {sent}")).await;
                match sent % 4 {
                    1 if sent < 3 => node.write(&[(alice, add(&[bob]))]).await,
                    2 => node.write(&[(alice, edit(message, "edited")), (bob, react(message, "👍"))]).await,
                    3 => {
                        node.write(&[(bob, send("regretted")), (alice, Action::Delete { target: message })])
                            .await
                    }
                    _ => 0,
                };
            }
            let id = node.id().clone();
            drop((node, shared));
            store.close().await;
            id
        });
        let files = files::read(dir.path());
        let mut sample = Self { dir, files, room, users, answers: Vec::new() };
        sample.answers = sample.answers();
        assert!(sample.answers.iter().all(Result::is_ok), "{:?}", sample.answers);
        sample
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// Makes the files as they were written, but for what `change` does.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Files)) -> Files {
        let mut files = self.files.clone();
        change(&mut files);
        files::write(self.dir.path(), &files);
        files
    }

    pub(crate) fn open(&self) -> Result<Embedded, OpenError> {
        Embedded::open(self.dir.path(), Options::default())
    }

    /// Opens it and asks everything.
    fn answers(&self) -> Vec<Answer> {
        self.ask(&self.open().unwrap())
    }

    /// Everything that can be asked.
    pub(crate) fn ask(&self, store: &Embedded) -> Vec<Answer> {
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
            for seq in 1..40 {
                answers.push(text(store.chunk(&self.room, seq).await));
                answers.push(text(store.overlay(&self.room, seq).await));
            }
            answers
        })
    }

    /// Opens: everything is there as it was.
    pub(crate) fn check_whole(&self) {
        assert_eq!(self.answers(), self.answers);
    }

    /// Does not open, twice, and leaves the files as they are.
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

    /// Whatever it answers is true, or says that it is damaged.
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

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

/// Where `needle` lies in a file.
pub(crate) fn find(file: &[u8], needle: &str) -> usize {
    file.windows(needle.len()).position(|part| part == needle.as_bytes()).unwrap()
}

/// Where the last byte other than 0 ends.
pub(crate) fn content_end(file: &[u8]) -> usize {
    file.iter().rposition(|byte| *byte != 0).unwrap() + 1
}
