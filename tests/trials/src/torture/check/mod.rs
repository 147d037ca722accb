//! The checker: maps a history to violations. It knows the promises, but not how a server keeps
//! them.

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

/// The checked properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Rule {
    /// An acknowledged operation is in the log, once, at the answered position.
    Acknowledged,
    /// No operation is in the log twice, and nothing that was never requested.
    Once,
    /// A repeat gets the first answer, flagged as a repeat.
    Repeats,
    /// Operations that remain unanswered, or are refused without reason, once everything works.
    Answered,
    /// A room's events are 1 to head without a gap; counts and times do not decrease.
    Log,
    /// A message has the form left by its last edit, deletion and reactions.
    PresentForm,
    /// Everyone sees the same event at a seq.
    Agreement,
    /// A delivered text was written in that message, by a change that its reader may see.
    Texts,
    /// A session's events of a room are contiguous; gaps are reported, with a correct reason.
    Streams,
    /// Nothing reaches non-members.
    Members,
    /// At the end everyone has everything.
    CaughtUp,
    /// An acknowledged message reaches connected users within the bound.
    Prompt,
    /// The unread count is the head's count minus the count at the read mark, minus later
    /// deletions.
    Unread,
    /// A page contains nothing past the head that it was authorised at.
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

/// Violations per rule kept as text; others are only counted.
const KEPT: usize = 20;

/// The results of the checker.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) violations: BTreeMap<Rule, (u64, Vec<String>)>,
    /// How often each rule was checked.
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

    /// Counts a check of `rule`, and records a violation unless `holds`.
    fn check(&mut self, rule: Rule, holds: bool, text: impl FnOnce() -> String) {
        self.checked(rule);
        if !holds {
            self.violation(rule, text);
        }
    }

    /// Rules that were never checked.
    pub(super) fn unchecked(&self) -> impl Iterator<Item = Rule> {
        Rule::ALL.into_iter().filter(|rule| !self.checked.contains_key(rule))
    }

    pub(super) fn total(&self) -> u64 {
        self.violations.values().map(|(count, _)| count).sum()
    }
}

/// The members at the end of a room's log.
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
