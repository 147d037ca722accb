//! Pages of lists of which a caller sees a part. Their tokens name only what the caller saw: rows that are not shown are
//! counted, not named.

use parlance_core::limits::MAX_PAGE_SIZE;
use parlance_core::{Member, RoomId, UserId};
use prost::Message;

use super::parse::{self, TOKEN_SPACE};
use crate::gate::Admitted;
use crate::limits::{ENTRY_TAGS, FILTERED_ROWS, MAX_PAGE_BYTES};
use crate::{Api, Error};

/// What tokens with a count begin with: no id does.
const BEHIND: char = '#';

/// A page that is being filled.
pub(super) struct Filling<P, R> {
    size: usize,
    shown: Vec<R>,
    /// The place of the last row that was shown, on this page or before.
    last: Option<P>,
    /// Rows behind it that were not.
    unseen: usize,
    /// How many of these were read for an earlier page.
    skip: usize,
    /// Rows that were read, and those of them that no earlier page read.
    read: usize,
    fresh: usize,
    has_more: bool,
}

impl<P: Clone, R> Filling<P, R> {
    /// A page of `size` rows behind `token`.
    pub(super) fn new(
        token: &str,
        size: usize,
        place: impl FnOnce(&str) -> Option<P>,
    ) -> Result<Self, Error> {
        let (skip, last) = match token.strip_prefix(BEHIND) {
            None => (0, token),
            Some(rest) => {
                let (skip, last) = rest.split_once(TOKEN_SPACE).unwrap_or((rest, ""));
                (parse::page_token(skip, str::parse)?.unwrap_or(0), last)
            }
        };
        let last = parse::page_token(last, |token| place(token).ok_or(()))?;
        Ok(Self { size, shown: Vec::new(), last, unseen: 0, skip, read: 0, fresh: 0, has_more: false })
    }

    /// The place that the list is read from.
    pub(super) fn start(&self) -> Option<P> {
        self.last.clone()
    }

    /// Adds the row at `place`, or `None` for one that is not shown. Returns whether the page is full.
    pub(super) fn push(&mut self, place: P, row: Option<R>) -> bool {
        self.read += 1;
        if self.skip > 0 {
            self.skip -= 1;
            self.unseen += 1;
            return false;
        }
        self.fresh += 1;
        match row {
            None => self.unseen += 1,
            Some(_) if self.shown.len() == self.size => self.has_more = true,
            Some(row) => {
                self.shown.push(row);
                (self.last, self.unseen) = (Some(place), 0);
            }
        }
        self.has_more
    }

    /// Ends the page before a row that is shown, if it has one already. Returns whether it ends.
    pub(super) fn end_before(&mut self, is_shown: bool) -> bool {
        self.has_more = self.has_more || (is_shown && self.skip == 0 && !self.shown.is_empty());
        self.has_more
    }

    /// Whether to leave the rest of a long list to the next page.
    pub(super) fn is_enough(&self) -> bool {
        self.has_more || self.fresh >= FILTERED_ROWS
    }

    /// Pages that were read, beyond the one that each call is charged.
    pub(super) fn cost(&self) -> usize {
        self.read.saturating_sub(self.size + 1) / MAX_PAGE_SIZE
    }

    /// The rows, and the token for the next page, where `is_end` tells whether the list has ended.
    pub(super) fn finish(self, is_end: bool, token: impl FnOnce(&P) -> String) -> (Vec<R>, String) {
        let last = self.last.as_ref().map(token).unwrap_or_default();
        let next = match (self.has_more, is_end) {
            (true, _) => last,
            (false, true) => String::new(),
            (false, false) => format!("{BEHIND}{}{TOKEN_SPACE}{last}", self.unseen),
        };
        (self.shown, next)
    }
}

impl Api {
    /// A page of the members and former members of `room` who are `shown`, with the token for the next one.
    pub(super) async fn members_page(
        &self,
        caller: &Admitted,
        room: &RoomId,
        (token, size): (&str, u32),
        shown: impl Fn(&Member) -> bool + Send + Sync,
    ) -> Result<(Vec<Member>, String), Error> {
        let size = parse::page_size(size)?;
        let mut page = Filling::new(token, size, |token| UserId::parse(token).ok())?;
        let mut after = page.start();
        let is_end = loop {
            // One more than asked for tells whether there is another page.
            let rows = self.store().members(room, after.as_ref(), size + 1).await?;
            let is_end = rows.len() <= size;
            after = rows.last().map(|last| last.user.clone()).or(after);
            for row in rows {
                let is_shown = shown(&row);
                if page.push(row.user.clone(), is_shown.then_some(row)) {
                    break;
                }
            }
            if is_end || page.is_enough() {
                break is_end;
            }
        };
        self.gate.charge(caller, page.cost());
        Ok(page.finish(is_end, |last| last.as_str().to_owned()))
    }
}

/// Bytes of an entry on a page, as JSON has them, where control characters take six.
pub(super) fn page_bytes(entry: &impl Message) -> usize {
    let encoded = entry.encode_to_vec();
    let controls = encoded.iter().filter(|byte| **byte < b' ').count();
    encoded.len() + 5 * controls.saturating_sub(ENTRY_TAGS)
}

/// How many of `entries` fit on a page: one at least.
pub(super) fn fitting<M: Message>(entries: &[M]) -> usize {
    let mut bytes = 0;
    let fits = |entry: &&M| {
        bytes += page_bytes(*entry);
        bytes <= MAX_PAGE_BYTES
    };
    entries.iter().take_while(fits).count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a list, of which lower-case letters are not shown, in pages of two, at most `most` rows for each.
    fn pages(list: &str, most: usize) -> Vec<(String, String)> {
        let (mut pages, mut token) = (Vec::new(), String::new());
        loop {
            let mut page = Filling::new(&token, 2, |token| token.chars().next()).unwrap();
            let rest = page.start().map_or(list, |last| &list[list.find(last).unwrap() + 1..]);
            let mut rows = rest.chars();
            let is_end = loop {
                let Some(row) = rows.next() else { break true };
                if page.push(row, Some(row).filter(|row| row.is_uppercase())) || page.fresh >= most {
                    break false;
                }
            };
            let (shown, next) = page.finish(is_end, char::to_string);
            pages.push((shown.into_iter().collect(), next.clone()));
            if next.is_empty() {
                return pages;
            }
            token = next;
        }
    }

    fn check(list: &str, most: usize, expected: &[(&str, &str)]) {
        let pages = pages(list, most);
        let pages: Vec<_> = pages.iter().map(|(shown, next)| (shown.as_str(), next.as_str())).collect();
        assert_eq!(pages, expected, "{list}");
    }

    #[test]
    fn tokens_name_only_what_was_shown() {
        check("ABC", 9, &[("AB", "B"), ("C", "")]);
        check("AB", 9, &[("AB", "")]);
        check("aABb", 9, &[("AB", "")]);
        check("AbBcdC", 9, &[("AB", "B"), ("C", "")]);
        check("ab", 9, &[("", "")]);
        check("abcdefA", 3, &[("", "#3 "), ("", "#6 "), ("A", "")]);
        check("AbcdB", 3, &[("A", "#2 A"), ("B", "")]);
    }

    #[test]
    fn tokens_of_others_are_refused() {
        for token in ["#x ", "#-1 a", "#1 ?"] {
            let page =
                Filling::<char, ()>::new(token, 2, |token| token.chars().find(char::is_ascii_lowercase));
            assert!(page.is_err(), "{token}");
        }
    }

    #[test]
    fn control_characters_are_counted_as_json_has_them() {
        assert!(page_bytes(&"x".repeat(1_000)) < 1_100);
        assert!(page_bytes(&"\u{1}".repeat(1_000)) > 5_000);
        let page = vec!["\u{1}".repeat(10_000); 100];
        assert_eq!(fitting(&page), 2);
        assert_eq!(fitting(&[String::from("x").repeat(MAX_PAGE_BYTES + 1)]), 1);
    }
}
