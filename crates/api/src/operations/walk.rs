//! Walks over everything of one user, in parts: what is erased, and what is exported.

use futures::future::BoxFuture;
use parlance_core::{RoomId, UserId};
use parlance_store::{StoreError, UserRoom};

use super::parse::TOKEN_SPACE;
use super::{left_out, parse};
use crate::{Api, Error};

/// Where a walk continues: in this room, from this seq on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) room: RoomId,
    pub(super) seq: u64,
}

impl Place {
    pub(super) fn parse(token: &str) -> Result<Option<Self>, Error> {
        parse::page_token(token, |token| {
            let (room, seq) = token.split_once(TOKEN_SPACE).ok_or(())?;
            let room = RoomId::parse(room).map_err(drop)?;
            Ok::<_, ()>(Self { room, seq: seq.parse().map_err(drop)? })
        })
    }

    pub(super) fn token(place: Option<&Self>) -> String {
        place.map(|Self { room, seq }| format!("{room}{TOKEN_SPACE}{seq}")).unwrap_or_default()
    }
}

/// Whether a room cannot be read, or refuses, and others may not.
pub(super) fn is_of_one_room(error: &Error) -> bool {
    matches!(error, Error::Store(StoreError::Damaged(_)) | Error::Refused { .. })
}

/// What is done in each room of a walk.
pub(super) trait Visit: Send {
    /// Works on a room from `seq` on, 0 for its beginning. Returns the seq at which it has to continue another time.
    fn visit<'a>(&'a mut self, row: &'a UserRoom, seq: u64) -> BoxFuture<'a, Result<Option<u64>, Error>>;
}

/// How far a walk has come.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// Where it continues; `None` at the end.
    pub(super) next: Option<Place>,
    /// Rooms that could not be read, or refused.
    pub(super) unreadable: Vec<String>,
}

impl Api {
    /// Visits the rooms that `user` is or was a member of, by id from `place` on, until one has to continue another time.
    pub(super) async fn walk(
        &self,
        user: &UserId,
        place: Option<Place>,
        visitor: &mut dyn Visit,
    ) -> Result<Walked, Error> {
        let mut walked = Walked::default();
        let mut after = None;
        if let Some(Place { room, seq }) = place {
            if let Some(row) = self.store().user_room(user, &room).await?
                && self.visited(visitor, &row, seq, &mut walked).await?
            {
                return Ok(walked);
            }
            after = Some(room);
        }
        loop {
            let page = self.store().rooms_of(user, after.as_ref(), self.sizes().rooms_page).await?;
            walked.unreadable.extend(page.damaged.iter().map(ToString::to_string));
            for row in page.rows {
                if self.visited(visitor, &row, 0, &mut walked).await? {
                    return Ok(walked);
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(walked),
            }
        }
    }

    /// Returns whether the walk is to continue in this room another time.
    async fn visited(
        &self,
        visitor: &mut dyn Visit,
        row: &UserRoom,
        seq: u64,
        walked: &mut Walked,
    ) -> Result<bool, Error> {
        match visitor.visit(row, seq).await {
            Ok(None) => {}
            Ok(Some(seq)) => walked.next = Some(Place { room: row.room.clone(), seq }),
            // A room that refuses does not keep the others from being visited.
            Err(error) if is_of_one_room(&error) => walked.unreadable.push(left_out(&row.room, error)?),
            Err(error) => return Err(error),
        }
        Ok(walked.next.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_as_they_were_written() {
        let place = Place { room: RoomId::parse("order-42").unwrap(), seq: 7 };
        let token = Place::token(Some(&place));
        assert_eq!((Place::parse(&token), Place::parse("")), (Ok(Some(place)), Ok(None)));
        for wrong in ["order-42", "order-42 x", "a/b 1", " "] {
            assert!(Place::parse(wrong).is_err(), "{wrong}");
        }
    }
}
