//! Reports of messages and users, for those who moderate.

use std::fmt;

use crate::{Body, Entry, Event, Overlay, Reason, ReportId, RoomId, Timestamp, Unknown, UserId};

/// What is wrong, in the reporter's eyes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReportCategory {
    /// Not given.
    #[default]
    Unspecified,
    /// Unwanted advertising, or the same over and over.
    Spam,
    /// Insults, threats or stalking of a person.
    Harassment,
    /// Hatred of a group of people.
    Hate,
    /// Violence, or calls for it.
    Violence,
    /// Sexual content.
    Sexual,
    /// Suicide or self-harm.
    SelfHarm,
    /// Forbidden by law.
    Illegal,
    /// Someone pretends to be somebody else.
    Impersonation,
    /// Something else.
    Other,
    /// One of a later version, by its stored number.
    Later(u32),
}

/// How a report was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportOutcome {
    /// There was nothing to do.
    Dismissed,
    /// Something was done about it.
    ActionTaken,
    /// One of a later version, by its stored number.
    Later(u32),
}

/// The answer to a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// When.
    pub at: Timestamp,
    /// Who answered it.
    pub by: UserId,
    /// How.
    pub outcome: ReportOutcome,
    /// A note for other moderators.
    pub note: Reason,
}

/// The message of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedMessage {
    /// Its room.
    pub room: RoomId,
    /// Its seq.
    pub seq: u64,
    /// The message as it was when it was reported; `None` once its author's account was deleted.
    pub event: Option<Event>,
    /// When its text was last replaced before.
    pub edited_at: Option<Timestamp>,
}

impl ReportedMessage {
    /// A copy of `entry`, a message of `room`, without reactions.
    pub fn of(room: &RoomId, entry: &Entry) -> Self {
        let edited = entry.overlay.as_ref().and_then(|overlay| overlay.edited.as_ref());
        // What a later version has added is not known to belong to the message's content.
        let event = Event { unknown: Unknown::default(), ..entry.event.clone() };
        Self { room: room.clone(), seq: event.seq, edited_at: edited.map(|(_, at)| *at), event: Some(event) }
    }

    /// The copy, in the form in which messages are read.
    pub fn entry(&self) -> Option<Entry> {
        let event = self.event.clone()?;
        let edited = self.edited_at.and_then(|at| match &event.body {
            Body::Message(message) => Some((message.text.clone(), at)),
            _ => None,
        });
        let overlay = edited.map(|edited| Overlay { edited: Some(edited), ..Overlay::default() });
        Some(Entry { event, overlay })
    }
}

/// A report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Its id.
    pub id: ReportId,
    /// When it was made.
    pub at: Timestamp,
    /// Who made it.
    pub reporter: UserId,
    /// What is wrong.
    pub category: ReportCategory,
    /// The reporter's own words.
    pub text: Reason,
    /// Who is reported: for a message its author.
    pub user: UserId,
    /// The message, unless the user as such is reported.
    pub message: Option<ReportedMessage>,
    /// The answer.
    pub resolution: Option<Resolution>,
    /// Whether moderators of the room do not see it: they had too many open ones when it was made.
    pub for_app_only: bool,
    /// Whether the reporter's account was deleted, and their words with it.
    pub reporter_erased: bool,
    /// Whether the account of the reported user was deleted, and the copy of the message with it.
    pub user_erased: bool,
}

impl Report {
    /// Its place in the lists that it is in.
    pub fn place(&self) -> ReportPlace {
        ReportPlace { at: self.at, id: self.id.clone() }
    }

    /// The lists that it is in.
    pub fn lists(&self) -> Vec<ReportList> {
        let is_open = self.resolution.is_none();
        let mut lists = vec![ReportList::All { is_open }];
        if let Some(message) = self.message.as_ref().filter(|_| !self.for_app_only) {
            lists.push(ReportList::Room { room: message.room.clone(), is_open });
        }
        if !self.reporter_erased {
            lists.push(ReportList::By(self.reporter.clone()));
        }
        if !self.user_erased {
            lists.push(ReportList::About(self.user.clone()));
        }
        if let Some(resolution) = &self.resolution {
            lists.push(ReportList::AnsweredBy(resolution.by.clone()));
        }
        lists
    }

    /// The reporter and the message; `None` if it is about a user and no message.
    pub fn of_message(&self) -> Option<ReportOf> {
        let message = self.message.as_ref()?;
        Some(ReportOf { reporter: self.reporter.clone(), room: message.room.clone(), seq: message.seq })
    }

    /// Whether it is about the same message, or the same user, as `other`.
    pub fn has_target_of(&self, other: &Self) -> bool {
        let message =
            |report: &Self| report.message.as_ref().map(|message| (message.room.clone(), message.seq));
        self.user == other.user && message(self) == message(other)
    }

    /// The report without what `user`, whose account is deleted, has left in it: their words, or the copy of their
    /// message. `None` if nothing is left already.
    #[must_use]
    pub fn without_words_of(&self, user: &UserId) -> Option<Self> {
        let mut report = self.clone();
        if report.reporter == *user {
            report.text = Reason::default();
            report.reporter_erased = true;
        }
        if report.user == *user {
            if let Some(message) = &mut report.message {
                (message.event, message.edited_at) = (None, None);
            }
            report.user_erased = true;
        }
        (report != *self).then_some(report)
    }
}

/// A reporter and a message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReportOf {
    /// Who reports it.
    pub reporter: UserId,
    /// Its room.
    pub room: RoomId,
    /// Its seq.
    pub seq: u64,
}

/// A list of reports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReportList {
    /// All that are open, or all that are resolved.
    All {
        /// Which.
        is_open: bool,
    },
    /// Those of messages in a room.
    Room {
        /// The room.
        room: RoomId,
        /// Whether those that are open, or those that are resolved.
        is_open: bool,
    },
    /// Those that a user has made.
    By(UserId),
    /// Those about a user or their messages.
    About(UserId),
    /// Those that a user has answered, as the last one.
    AnsweredBy(UserId),
}

/// The stored name of a list. No id contains a space.
impl fmt::Display for ReportList {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = |is_open: &bool| if *is_open { "open" } else { "resolved" };
        match self {
            Self::All { is_open } => write!(out, "{}", state(is_open)),
            Self::Room { room, is_open } => write!(out, "{} {room}", state(is_open)),
            Self::By(user) => write!(out, "by {user}"),
            Self::About(user) => write!(out, "about {user}"),
            Self::AnsweredBy(user) => write!(out, "answered {user}"),
        }
    }
}

/// A report's place in a list: lists are ordered by time, then by id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReportPlace {
    /// When the report was made.
    pub at: Timestamp,
    /// Its id.
    pub id: ReportId,
}

impl ReportPlace {
    /// Parses what [`fmt::Display`] has written.
    pub fn parse(text: &str) -> Option<Self> {
        let (at, id) = text.split_once(' ')?;
        let id = ReportId::parse(id).ok()?;
        if at.len() != 16 {
            return None;
        }
        Some(Self { at: Timestamp(u64::from_str_radix(at, 16).ok()?), id })
    }

    /// What the places of all reports made at `at` or later are not below.
    pub fn first_at(at: Timestamp) -> String {
        format!("{:016x}", at.0)
    }
}

/// Sorts as the places do, since all of them have the same length up to the id.
impl fmt::Display for ReportPlace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:016x} {}", self.at.0, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Message, RequestId, RoomIdKey, Text};

    fn user(id: &str) -> UserId {
        UserId::parse(id).unwrap()
    }

    fn report() -> Report {
        let room = RoomId::parse("room").unwrap();
        let event = Event {
            seq: 7,
            at: Timestamp(5),
            actor: user("bob"),
            service: None,
            request: RequestId::parse("send").unwrap(),
            message_count: 1,
            deleted_count: 0,
            body: Body::Message(Message::plain(Text::parse("new").unwrap())),
            unknown: Unknown::default(),
        };
        let edited = Some((Text::parse("new").unwrap(), Timestamp(6)));
        let overlay = Some(Overlay { changed: 8, edited, ..Overlay::default() });
        let key = RoomIdKey::new([1; RoomIdKey::BYTES]);
        Report {
            id: ReportId::created(&key, &user("alice"), &RequestId::parse("report").unwrap()),
            at: Timestamp(9),
            reporter: user("alice"),
            category: ReportCategory::Spam,
            text: Reason::parse("look").unwrap(),
            user: user("bob"),
            message: Some(ReportedMessage::of(&room, &Entry { event, overlay })),
            resolution: None,
            for_app_only: false,
            reporter_erased: false,
            user_erased: false,
        }
    }

    #[test]
    fn copy_of_a_message_is_read_as_it_was() {
        let entry = report().message.unwrap().entry().unwrap();
        assert_eq!(entry.overlay.unwrap().edited, Some((Text::parse("new").unwrap(), Timestamp(6))));
    }

    #[test]
    fn words_of_deleted_users_are_gone_and_found_no_more() {
        let report = report();
        assert_eq!(report.lists().len(), 4);
        assert_eq!(report.without_words_of(&user("carol")), None);
        let erased = report.without_words_of(&user("bob")).unwrap();
        let message = erased.message.clone().unwrap();
        assert_eq!((message.seq, message.event, message.edited_at), (7, None, None));
        assert!(!erased.lists().contains(&ReportList::About(user("bob"))));
        assert!(erased.has_target_of(&report));
        let erased = erased.without_words_of(&user("alice")).unwrap();
        assert_eq!((erased.text.as_str(), erased.lists().len()), ("", 2));
        assert_eq!(erased.without_words_of(&user("alice")), None, "once more");
    }

    #[test]
    fn a_report_is_in_the_lists_of_those_who_see_it() {
        let resolution = Resolution {
            at: Timestamp(9),
            by: user("carol"),
            outcome: ReportOutcome::Dismissed,
            note: Reason::default(),
        };
        let answered = Report { resolution: Some(resolution), ..report() };
        assert!(answered.lists().contains(&ReportList::AnsweredBy(user("carol"))));
        let (room, is_open) = (RoomId::parse("room").unwrap(), true);
        assert!(report().lists().contains(&ReportList::Room { room: room.clone(), is_open }));
        let for_app_only = Report { for_app_only: true, ..report() };
        assert!(!for_app_only.lists().contains(&ReportList::Room { room, is_open }));
        assert!(for_app_only.lists().contains(&ReportList::All { is_open }));
    }

    #[test]
    fn places_sort_by_time_and_are_read_back() {
        let place = |at| ReportPlace { at: Timestamp(at), ..report().place() };
        assert!(place(255).to_string() < place(256).to_string());
        assert!(ReportPlace::first_at(Timestamp(256)) < place(256).to_string());
        assert!(ReportPlace::first_at(Timestamp(256)) > place(255).to_string());
        assert_eq!(ReportPlace::parse(&place(256).to_string()), Some(place(256)));
        for wrong in ["", "9 id", "000000000000000g id", "0000000000000009", "0000000000000009 a b"] {
            assert_eq!(ReportPlace::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn id_is_no_room_and_depends_on_the_key() {
        let id = |key, by: &str| {
            ReportId::created(
                &RoomIdKey::new([key; RoomIdKey::BYTES]),
                &user(by),
                &RequestId::parse("r").unwrap(),
            )
        };
        assert_eq!(id(1, "alice"), id(1, "alice"));
        assert_ne!(id(1, "alice"), id(2, "alice"));
        assert_ne!(id(1, "alice"), id(1, "bob"));
        let room = RoomId::created(
            &RoomIdKey::new([1; RoomIdKey::BYTES]),
            &user("alice"),
            &RequestId::parse("r").unwrap(),
        );
        assert_ne!(id(1, "alice").as_str()[1..], room.as_str()[1..]);
    }
}
