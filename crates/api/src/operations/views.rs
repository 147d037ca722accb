//! Converts stored data to contract messages.
use parlance_proto::{convert, data, v1};
use parlance_store::{User, UserState};

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
