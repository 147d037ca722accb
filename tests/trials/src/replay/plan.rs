//! The plan of a replay: the logs as users, rooms and steps.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use parlance_client::transport::Door;

use super::escape::{display_name, user_id};
use super::log::{self, Line};
use super::unsendable::{Reason, Unsendable};
use parlance_testbed::Seeded;

/// A user, as an index into [`Plan::users`].
pub(super) type User = usize;

/// Everything that will happen, known in advance.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Prefix of the ids of this run.
    run: String,
    /// The creator of the rooms, then the listeners, then every nick.
    pub(super) users: Vec<PlannedUser>,
    /// One per file.
    pub(super) rooms: Vec<PlannedRoom>,
    /// Lines that cannot be sent.
    pub(super) unsendable: Vec<Unsendable>,
    /// Lines read.
    pub(super) lines: u64,
    /// Lines without a message: joins, leaves, renames, notices.
    pub(super) other_lines: u64,
}

impl Plan {
    /// The id of a message, derived from its room and place.
    pub(super) fn message_id(&self, room: usize, place: usize) -> String {
        format!("{}-{room}-{place}", self.run)
    }

    /// The place of the message with this id in `room`, if it is one of ours.
    pub(super) fn place_of(&self, room: usize, id: &str) -> Option<usize> {
        let place = id.strip_prefix(self.run.as_str())?.strip_prefix('-')?;
        let place = place.strip_prefix(room.to_string().as_str())?.strip_prefix('-')?;
        place.parse().ok().filter(|place| *place < self.rooms.get(room).map_or(0, |room| room.messages.len()))
    }

    /// Number of messages to send.
    pub(super) fn messages(&self) -> u64 {
        self.rooms.iter().map(|room| room.messages.len() as u64).sum()
    }
}

#[derive(Debug)]
pub(super) struct PlannedUser {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) door: Door,
}

#[derive(Debug, Default)]
pub(super) struct PlannedRoom {
    /// The file's name, for display.
    pub(super) file: String,
    pub(super) title: String,
    /// The id of the request that creates the room.
    pub(super) request_id: String,
    pub(super) steps: Vec<Step>,
    pub(super) messages: Vec<PlannedMessage>,
    /// The messages, by their place in `messages`, during which each user is a
    /// member.
    pub(super) memberships: HashMap<User, Vec<Range<usize>>>,
}

#[derive(Debug)]
pub(super) struct PlannedMessage {
    /// Line number in the file, from 1.
    pub(super) line: usize,
    pub(super) sender: User,
    pub(super) text: String,
}

/// One step in a room; each waits for the previous one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Join(User),
    Leave(User),
    /// The message at this place.
    Send(usize),
    /// A member reads up to this many events before the head.
    MarkRead {
        user: User,
        behind: u64,
    },
}

/// A member marks the room as read after one message in this many.
const MESSAGES_PER_MARK: u64 = 16;

/// Maximum distance of a mark from the head, in events.
const MARK_BEHIND: u64 = 40;

/// Options of a plan besides the logs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options<'a> {
    /// At most this many files.
    pub(super) rooms: usize,
    pub(super) listeners: usize,
    pub(super) seed: u64,
    /// The server's limit in bytes.
    pub(super) max_text_bytes: usize,
    /// Distinguishes this run's users and rooms on a server with others.
    pub(super) run: &'a str,
}

/// The logs of a folder, sorted by name.
pub(super) fn logs(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut logs = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") && path.is_file() {
            logs.push(path);
        }
    }
    ensure!(!logs.is_empty(), "no *.log in {}", folder.display());
    logs.sort();
    Ok(logs)
}

/// Reads the logs and plans their replay.
pub(super) fn plan(logs: &[PathBuf], options: Options<'_>) -> Result<Plan> {
    let mut builder = Builder::new(options);
    for path in logs.iter().take(options.rooms) {
        let file = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        builder.room(path.file_name().unwrap_or_default().as_bytes(), &file);
    }
    let plan = builder.plan;
    let ids: BTreeSet<_> = plan.users.iter().map(|user| &user.id).collect();
    ensure!(ids.len() == plan.users.len(), "two nicks have the same user id: their escapes collide");
    Ok(plan)
}

struct Builder<'a> {
    options: Options<'a>,
    seeded: Seeded,
    users: HashMap<Vec<u8>, User>,
    plan: Plan,
}

impl<'a> Builder<'a> {
    fn new(options: Options<'a>) -> Self {
        let mut plan = Plan { run: options.run.to_owned(), ..Plan::default() };
        // Ids of nicks contain no colon.
        plan.users.push(PlannedUser {
            id: format!("{}:creator", options.run),
            name: "replay".to_owned(),
            door: Door::Grpc,
        });
        for number in 0..options.listeners {
            plan.users.push(PlannedUser {
                id: format!("{}:listener:{number}", options.run),
                name: format!("listener {number}"),
                door: door(number),
            });
        }
        Self { options, seeded: Seeded::new(options.seed), users: HashMap::new(), plan }
    }

    fn user(&mut self, nick: &[u8]) -> User {
        if let Some(user) = self.users.get(nick) {
            return *user;
        }
        let (number, user) = (self.users.len(), self.plan.users.len());
        self.users.insert(nick.to_owned(), user);
        self.plan.users.push(PlannedUser { id: user_id(nick), name: display_name(nick), door: door(number) });
        user
    }

    fn room(&mut self, file_name: &[u8], file: &[u8]) {
        let request_id = user_id(file_name);
        let mut room = RoomBuilder {
            room: PlannedRoom {
                file: String::from_utf8_lossy(file_name).into_owned(),
                title: display_name(file_name),
                request_id,
                ..PlannedRoom::default()
            },
            members: BTreeSet::new(),
        };
        room.room.memberships.insert(0, vec![0..usize::MAX]);
        for listener in 1..=self.options.listeners {
            room.join(listener);
        }
        for (number, line) in (1..).zip(log::lines(file)) {
            self.line(&mut room, number, line);
        }
        for interval in room.room.memberships.values_mut().flatten() {
            interval.end = interval.end.min(room.room.messages.len());
        }
        self.plan.rooms.push(room.room);
    }

    fn line(&mut self, room: &mut RoomBuilder, number: usize, line: &[u8]) {
        self.plan.lines += 1;
        let reason = match log::parse(line) {
            Line::Say { nick, text } => {
                let sender = self.user(nick);
                match Reason::check(text, self.options.max_text_bytes) {
                    Ok(text) => {
                        room.join(sender);
                        room.send(number, sender, text);
                        self.mark_read_sometimes(room);
                        return;
                    }
                    Err(reason) => reason,
                }
            }
            Line::Empty => Reason::Empty,
            Line::Nameless => Reason::Nameless,
            Line::Unknown => Reason::Unparsable,
            Line::Notice => {
                self.plan.other_lines += 1;
                return;
            }
            Line::Join { nick } => {
                self.plan.other_lines += 1;
                return room.join(self.user(nick));
            }
            Line::Leave { nick } => {
                self.plan.other_lines += 1;
                return room.leave(self.user(nick));
            }
            Line::Rename { old, new } => {
                self.plan.other_lines += 1;
                let (old, new) = (self.user(old), self.user(new));
                room.join(new);
                if old != new {
                    room.leave(old);
                }
                return;
            }
        };
        self.plan.unsendable.push(Unsendable { room: self.plan.rooms.len(), line: number, reason });
    }

    fn mark_read_sometimes(&mut self, room: &mut RoomBuilder) {
        if self.seeded.below(MESSAGES_PER_MARK) == 0 {
            let member = self.seeded.below(room.members.len() as u64) as usize;
            if let Some(user) = room.members.iter().nth(member) {
                let behind = self.seeded.below(MARK_BEHIND);
                room.room.steps.push(Step::MarkRead { user: *user, behind });
            }
        }
    }
}

struct RoomBuilder {
    room: PlannedRoom,
    /// Current members, except for the creator.
    members: BTreeSet<User>,
}

impl RoomBuilder {
    fn join(&mut self, user: User) {
        if self.members.insert(user) {
            let now = self.room.messages.len();
            self.room.memberships.entry(user).or_default().push(now..usize::MAX);
            self.room.steps.push(Step::Join(user));
        }
    }

    fn leave(&mut self, user: User) {
        if self.members.remove(&user) {
            let now = self.room.messages.len();
            let intervals = self.room.memberships.entry(user).or_default();
            intervals.last_mut().unwrap_or_else(|| unreachable!("members have joined")).end = now;
            self.room.steps.push(Step::Leave(user));
        }
    }

    fn send(&mut self, line: usize, sender: User, text: &str) {
        self.room.steps.push(Step::Send(self.room.messages.len()));
        self.room.messages.push(PlannedMessage { line, sender, text: text.to_owned() });
    }
}

/// Half connect over gRPC, half over WebSocket, of which every other one uses
/// JSON.
fn door(number: usize) -> Door {
    match number % 4 {
        0 | 2 => Door::Grpc,
        1 => Door::WebSocketJson,
        _ => Door::WebSocketBinary,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(file: &[u8], listeners: usize) -> Plan {
        let options = Options { rooms: 1, listeners, seed: 1, max_text_bytes: 16, run: "run" };
        let mut builder = Builder::new(options);
        builder.room(b"#a.log", file);
        builder.plan
    }

    /// The steps of the only room, except for marks.
    fn steps(plan: &Plan) -> Vec<Step> {
        let steps = plan.rooms[0].steps.iter().copied();
        steps.filter(|step| !matches!(step, Step::MarkRead { .. })).collect()
    }

    #[test]
    fn senders_have_joined_and_renames_carry_over() {
        let log = b"[00:00] <a> 1\n=== b [h] has joined #a\n=== a is now known as c\n[00:01] <a> 2\n=== b [h] has left #a\n=== b [h] has left #a\n";
        let plan = planned(log, 1);
        let (a, b, c) = (2, 3, 4);
        assert_eq!(plan.users[a].id, "a");
        let (join, leave, send) = (Step::Join, Step::Leave, Step::Send);
        let expected = [join(1), join(a), send(0), join(b), join(c), leave(a), join(a), send(1), leave(b)];
        assert_eq!(steps(&plan), expected);
        let memberships = &plan.rooms[0].memberships;
        assert_eq!(memberships[&0], [0..2]);
        assert_eq!(memberships[&1], [0..2]);
        assert_eq!(memberships[&a], [0..1, 1..2]);
        assert_eq!(memberships[&b], [1..2]);
        assert_eq!((plan.lines, plan.other_lines), (6, 4));
    }

    #[test]
    fn unsendable_input_is_named() {
        let log = b"[00:00] <a>\n\n[00:01] <a> \xff\n[00:02] <a> 12345678901234567\nhello\n[00:03] <> x\n[00:04] <b> ok\n[00:05] <b> \x02bold\x02";
        let plan = planned(log, 0);
        let named: Vec<_> = plan.unsendable.iter().map(|line| (line.line, line.reason)).collect();
        assert_eq!(
            named,
            [
                (1, Reason::Blank),
                (2, Reason::Empty),
                (3, Reason::NotUtf8),
                (4, Reason::TooLong),
                (5, Reason::Unparsable),
                (6, Reason::Nameless),
                (8, Reason::Control),
            ]
        );
        assert_eq!(plan.lines, plan.unsendable.len() as u64 + plan.rooms[0].messages.len() as u64);
        // Logged in nevertheless, but not in the room.
        assert_eq!(plan.users.len(), 3);
        assert_eq!(steps(&plan), [Step::Join(2), Step::Send(0)]);
    }

    #[test]
    fn the_same_seed_plans_the_same() {
        let log: Vec<u8> =
            (0..200).flat_map(|n| format!("[00:00] <n{}> {n}\n", n % 7).into_bytes()).collect();
        let (first, second) = (planned(&log, 2), planned(&log, 2));
        assert_eq!(first.rooms[0].steps, second.rooms[0].steps);
        assert!(first.rooms[0].steps.iter().any(|step| matches!(step, Step::MarkRead { .. })));
    }
}
