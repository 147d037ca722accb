//! The checker: a history in, what was broken out. It knows what was promised and
//! nothing of how a server keeps it.

mod log;
mod operations;
mod pages;
mod prompt;
mod streams;
#[cfg(test)]
mod tests;
mod texts;
mod unread;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use self::view::View;
use super::history::{History, LogBody, RoomHistory};
use super::world::User;

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Rule {
    /// An acknowledged operation stands in the log, once, where the answer said.
    Acknowledged,
    /// No operation stands in the log twice, and nothing that nobody asked for.
    Once,
    /// A repeat gets the first answer, and is told so.
    Repeats,
    /// What is not answered or refused without reason once all is well.
    Answered,
    /// A room's events are 1 to head without a gap; counts and times do not go back.
    Log,
    /// A message reads as its last edit, deletion and reactions left it.
    PresentForm,
    /// Everyone sees the same event at a seq.
    Agreement,
    /// A text that is delivered was written there, and by a change that its reader may see.
    Texts,
    /// A session's events of a room follow each other; gaps are named, with a true reason.
    Streams,
    /// Nothing reaches who was not a member.
    Members,
    /// At the end everyone has everything.
    CaughtUp,
    /// An acknowledged message reaches who is connected within the bound.
    Prompt,
    /// Unread is the head's count less the count at the read mark, less what was deleted since.
    Unread,
    /// A page holds nothing past the head that it was authorised at.
    Pages,
}

impl Rule {
    const ALL: [Self; 14] = [
        Self::Acknowledged,
        Self::Once,
        Self::Repeats,
        Self::Answered,
        Self::Log,
        Self::PresentForm,
        Self::Agreement,
        Self::Texts,
        Self::Streams,
        Self::Members,
        Self::CaughtUp,
        Self::Prompt,
        Self::Unread,
        Self::Pages,
    ];
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Acknowledged => "acknowledged is stored",
            Self::Once => "stored once",
            Self::Repeats => "repeats get the first answer",
            Self::Answered => "everything is answered",
            Self::Log => "one gap-free log per room",
            Self::PresentForm => "messages read as they were changed",
            Self::Agreement => "everyone sees the same",
            Self::Texts => "texts as they were written",
            Self::Streams => "streams without holes",
            Self::Members => "members only",
            Self::CaughtUp => "everyone catches up",
            Self::Prompt => "prompt delivery",
            Self::Unread => "unread is arithmetic",
            Self::Pages => "pages end at the head",
        })
    }
}

/// Violations of one rule that are kept in words; the others are counted.
const KEPT: usize = 20;

/// What the checker found.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) violations: BTreeMap<Rule, (u64, Vec<String>)>,
    /// How often each rule was put to the test.
    pub(super) checked: BTreeMap<Rule, u64>,
}

impl Verdict {
    fn violation(&mut self, rule: Rule, text: impl FnOnce() -> String) {
        let (count, kept) = self.violations.entry(rule).or_default();
        *count += 1;
        if kept.len() < KEPT {
            kept.push(text());
        }
    }

    fn checked(&mut self, rule: Rule) {
        *self.checked.entry(rule).or_default() += 1;
    }

    /// Counts a test of `rule`, and notes a violation unless `holds`.
    fn check(&mut self, rule: Rule, holds: bool, text: impl FnOnce() -> String) {
        self.checked(rule);
        if !holds {
            self.violation(rule, text);
        }
    }

    /// Rules that nothing was held against.
    pub(super) fn unchecked(&self) -> impl Iterator<Item = Rule> {
        Rule::ALL.into_iter().filter(|rule| !self.checked.contains_key(rule))
    }

    pub(super) fn total(&self) -> u64 {
        self.violations.values().map(|(count, _)| count).sum()
    }
}

/// Who is a member when a room's log ends.
pub(super) fn members_at_end(room: &RoomHistory) -> Vec<User> {
    let mut members = BTreeSet::new();
    for event in &room.log {
        match event.body {
            LogBody::Added(user) => drop(members.insert(user)),
            LogBody::Removed(user) => drop(members.remove(&user)),
            _ => {}
        }
    }
    members.into_iter().collect()
}

/// Checks everything.
pub(super) fn check(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    let view = View::new(history);
    log::check(history, &mut verdict);
    operations::check(history, &view, &mut verdict);
    streams::check(history, &view, &mut verdict);
    texts::check(history, &view, &mut verdict);
    pages::check(history, &view, &mut verdict);
    prompt::check(history, &view, &mut verdict);
    unread::check(history, &view, &mut verdict);
    verdict
}
