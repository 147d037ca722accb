//! Converts stored data to contract messages.
use parlance_core::Member;
use parlance_proto::{convert, data, v1};
use parlance_store::{StoredRoom, User, UserState};

pub(crate) fn user_to_proto(user: &User) -> v1::User {
    v1::User {
        user_id: user.id.as_str().to_owned(),
        name: user.name.as_str().to_owned(),
        created_at: Some(convert::timestamp(user.created_at)),
        updated_at: Some(convert::timestamp(user.updated_at)),
        image_url: user.image.as_str().to_owned(),
        data: data::to_struct(&user.data),
        deactivated: user.state == UserState::Deactivated,
        deleted: user.state == UserState::Deleted,
    }
}

pub(crate) fn room_to_proto(room: &StoredRoom) -> v1::Room {
    convert::room(&room.info, room.head())
}

/// The room as far as `member` may see it: without changes after they left.
pub(crate) fn seen_by(room: &StoredRoom, member: &Member) -> v1::Room {
    let mut seen = room_to_proto(room);
    if !member.is_active() {
        seen.head_seq = member.changed_at();
        seen.message_count = 0;
        seen.member_count = 0;
        // Rows older than `left_with` show neither title nor topic, which may have changed
        // since.
        seen.settings = Some(member.left_with.as_ref().map(convert::settings).unwrap_or_default());
    }
    seen
}
