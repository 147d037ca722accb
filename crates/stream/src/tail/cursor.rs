//! Cursors: where a reader continues.

use std::fmt::{self, Display};
use std::str::FromStr;

use parlance_core::RoomId;
use parlance_store::feed::Position;

/// Where to continue. The text form is a position of the feed, or in a walk
/// `position/seq/room`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    pub(super) position: Position,
    /// A walk over all rooms, to finish before the records after the position.
    pub(super) walk: Option<Place>,
}

/// Progress of a walk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Place {
    /// The room; `None` at the beginning.
    pub(super) room: Option<RoomId>,
    /// The last event of the room that was sent; 0 once it has no more.
    pub(super) seq: u64,
}

/// The text is not a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a cursor of this server")]
pub struct NoCursor;

impl Cursor {
    pub(super) fn at(position: Position) -> Self {
        Self { position, walk: None }
    }
}

impl Display for Cursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.position)?;
        if let Some(Place { room, seq }) = &self.walk {
            write!(out, "/{seq}/{}", room.as_ref().map_or("", RoomId::as_str))?;
        }
        Ok(())
    }
}

impl FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let mut parts = text.splitn(3, '/');
        let position = parts.next().and_then(Position::parse).ok_or(NoCursor)?;
        let walk = match (parts.next(), parts.next()) {
            (None, _) => None,
            (Some(seq), Some(room)) => {
                let room = match room {
                    "" => None,
                    room => Some(RoomId::parse(room).map_err(|_| NoCursor)?),
                };
                Some(Place { room, seq: seq.parse().map_err(|_| NoCursor)? })
            }
            (Some(_), None) => return Err(NoCursor),
        };
        Ok(Self { position, walk })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_as_they_are_written() {
        let room = RoomId::parse("room/with:slashes").or_else(|_| RoomId::parse("room-7")).unwrap();
        let position = Position::numbered("0123abcd", 77);
        for walk in [
            None,
            Some(Place::default()),
            Some(Place { room: Some(room.clone()), seq: 0 }),
            Some(Place { room: Some(room), seq: 9 }),
        ] {
            let cursor = Cursor { position: position.clone(), walk };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for wrong in ["", "a b", "a.1/2", "a.1/x/room", "a.1/1/ "] {
            assert_eq!(wrong.parse::<Cursor>(), Err(NoCursor), "{wrong:?}");
        }
    }
}
