//! What the sources of a room report.

use std::ops::RangeInclusive;

use parlance_client_core::state::{News, ReadMark, Receipt};
use parlance_proto::v1;

use super::log::{ROOM, SELF};

/// News that owns its contents.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "one at a time")]
pub(crate) enum Told {
    Welcome(u64),
    Event(v1::Event),
    Gap(v1::Gap),
    Inbox(Box<v1::InboxEntry>, u64),
    Read(ReadMark, u64),
    Receipt(&'static str, Receipt, u64),
    Members(Vec<(String, v1::Role)>, u64, u64),
    Page(Vec<v1::Event>, RangeInclusive<u64>, u64, u64),
    Open,
}

impl Told {
    pub(crate) fn with<T>(&self, take: impl FnOnce(&News<'_>) -> T) -> T {
        let room_id = ROOM;
        match self {
            Self::Welcome(epoch) => {
                let head = v1::Cursor { room_id: room_id.to_owned(), seq: 0, epoch: *epoch };
                let user_id = SELF.to_owned();
                take(&News::Welcome(&v1::Welcome { user_id, heads: vec![head], ..Default::default() }))
            }
            Self::Event(event) => take(&News::Event(event)),
            Self::Gap(gap) => take(&News::Gap(gap)),
            Self::Inbox(entry, order) => take(&News::Inbox { entry, order: *order }),
            Self::Read(mark, epoch) => take(&News::Read { room_id, mark: *mark, epoch: *epoch }),
            Self::Receipt(user_id, receipt, epoch) => {
                take(&News::Receipt { room_id, user_id, receipt: *receipt, epoch: *epoch })
            }
            Self::Members(members, seq, epoch) => {
                take(&News::Members { room_id, members, seq: *seq, epoch: *epoch })
            }
            Self::Page(events, covers, as_of, epoch) => {
                take(&News::Page { room_id, events, covers: covers.clone(), as_of: *as_of, epoch: *epoch })
            }
            Self::Open => take(&News::Open { room_id, is_open: true }),
        }
    }
}

/// The reports of each source, in its order.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    pub(crate) stream: Vec<Told>,
    pub(crate) inbox: Vec<Told>,
    pub(crate) reads: Vec<Told>,
    pub(crate) receipts: Vec<Told>,
    pub(crate) members: Vec<Told>,
    pub(crate) pages: Vec<Told>,
}

impl Sources {
    pub(crate) fn all(self) -> Vec<Vec<Told>> {
        vec![self.stream, self.inbox, self.reads, self.receipts, self.members, self.pages]
    }
}
