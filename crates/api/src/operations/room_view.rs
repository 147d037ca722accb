//! Rooms as different readers see them.

use parlance_core::{Member, Permissions, RoomKind};
use parlance_proto::{convert, v1};
use parlance_store::StoredRoom;

use crate::Api;

impl Api {
    /// The room as its members see it.
    pub(crate) fn room_to_proto(&self, room: &StoredRoom) -> v1::Room {
        let mut seen = convert::room(&room.info, room.head());
        if room.info.kind != RoomKind::Direct {
            seen.effective_permissions = convert::permissions(&self.permissions_of(room));
        }
        seen
    }

    /// The permissions in force in the room: its own, and where it has none those of its kind.
    pub(crate) fn permissions_of(&self, room: &StoredRoom) -> Permissions {
        room.info.settings.permissions.in_force(&self.parts.permissions.of(room.info.kind))
    }

    /// The room as far as `member` may see it: without changes after they left.
    pub(crate) fn seen_by(&self, room: &StoredRoom, member: &Member) -> v1::Room {
        let mut seen = self.room_to_proto(room);
        if member.is_active() {
            return seen;
        }
        seen.head_seq = member.changed_at();
        seen.message_count = 0;
        seen.member_count = 0;
        // Rows older than `left_with` show neither title nor topic, which may have changed
        // since.
        seen.settings = Some(member.left_with.as_ref().map(convert::settings).unwrap_or_default());
        seen.effective_permissions = None;
        seen
    }
}
