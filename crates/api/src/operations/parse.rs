//! From request fields to core types; what is wrong names the field.
use std::time::Duration;

use parlance_core::limits::{
    MAX_INVITATION_AGE, MAX_JOIN_NOTE_BYTES, MAX_LINK_AGE, MAX_MEMBERS, MAX_NAME_BYTES, MAX_PAGE_SIZE,
    MAX_SANCTION, MAX_SLOW_MODE, PAGE_SIZE,
};
use parlance_core::{
    Data, DataChange, Emoji, FoldedName, ImageUrl, Joining, Name, Permission, Permissions, Reason, RequestId,
    RoomId, Text, Title, Topic, UserId,
};

use parlance_proto::{convert, data, v1};
use prost_types::Struct;

use crate::Error;
use crate::limits::MAX_UNSET;
use parlance_identity::ME;

pub(crate) fn field(name: &str, description: impl ToString) -> Error {
    Error::Field(name.to_owned(), description.to_string())
}

pub(crate) fn room_id(id: &str) -> Result<RoomId, Error> {
    RoomId::parse(id).map_err(|error| field("room_id", error))
}

pub(crate) fn user_id(name: &str, id: &str) -> Result<UserId, Error> {
    UserId::parse(id).map_err(|error| field(name, error))
}

/// Validates or generates the id of a new user.
pub(crate) fn new_user_id(name: &str, id: &str) -> Result<UserId, Error> {
    UserId::parse_new(id).map_err(|error| field(name, error))
}

/// Resolves [`ME`] to the caller.
pub(crate) fn user_or_me(caller: &UserId, id: &str) -> Result<UserId, Error> {
    if id == ME { Ok(caller.clone()) } else { user_id("user_id", id) }
}

pub(crate) fn request_id(name: &str, id: &str) -> Result<RequestId, Error> {
    RequestId::parse(id).map_err(|error| field(name, error))
}

/// Parses the text of a message; only some kinds may have none.
pub(crate) fn text_of(text: &str, may_be_empty: bool) -> Result<Text, Error> {
    if text.is_empty() && may_be_empty {
        return Ok(Text::empty());
    }
    Text::parse_new(text).map_err(|error| field("text", error))
}

pub(crate) fn image(name: &str, url: &str) -> Result<ImageUrl, Error> {
    ImageUrl::parse_new(url).map_err(|error| field(name, error))
}

pub(crate) fn data(name: &str, data: Option<&Struct>) -> Result<Data, Error> {
    data::parse(data).map_err(|error| field(name, error))
}

pub(crate) fn permissions(name: &str, permissions: &v1::RoomPermissions) -> Result<Permissions, Error> {
    convert::permissions_from(permissions)
        .ok_or_else(|| field(name, "must be ROLE_MEMBER, ROLE_ADMIN or ROLE_OWNER each"))
}

/// Permissions that follow the default again: none of those that `set` sets.
pub(crate) fn unset_permissions(set: &Permissions, unset: &[i32]) -> Result<Vec<Permission>, Error> {
    let parsed = |value: &i32| {
        let permission = convert::permission_from(known("unset_permissions", *value)?)
            .ok_or_else(|| field("unset_permissions", "must name permissions"))?;
        match set.is_set(permission) {
            true => Err(field("unset_permissions", "must name none that is set")),
            false => Ok(permission),
        }
    };
    unset.iter().map(parsed).collect()
}

pub(crate) fn data_change(set: Option<&Struct>, unset: Vec<String>) -> Result<DataChange, Error> {
    if unset.len() > MAX_UNSET {
        return Err(field("unset_data", format!("must be at most {MAX_UNSET}")));
    }
    Ok(DataChange { set: data("data", set)?, unset })
}

pub(crate) fn name(name: &str) -> Result<Name, Error> {
    Name::parse_new(name).map_err(|error| field("name", error))
}

/// The beginning of names or titles to search for, or nothing.
pub(crate) fn prefix(name: &str, prefix: &str) -> Result<FoldedName, Error> {
    if prefix.len() > MAX_NAME_BYTES {
        return Err(field(name, format!("must be at most {MAX_NAME_BYTES} bytes")));
    }
    Ok(FoldedName::of(prefix))
}

/// The beginning of names to search for.
pub(crate) fn name_prefix(name: &str, given: &str) -> Result<FoldedName, Error> {
    let prefix = prefix(name, given)?;
    if prefix.is_empty() { Err(field(name, "must not be blank")) } else { Ok(prefix) }
}

pub(crate) fn title(name: &str, title: &str) -> Result<Title, Error> {
    Title::parse_new(title).map_err(|error| field(name, error))
}

pub(crate) fn topic(name: &str, topic: &str) -> Result<Topic, Error> {
    Topic::parse_new(topic).map_err(|error| field(name, error))
}

pub(crate) fn reason(reason: &str) -> Result<Reason, Error> {
    Reason::parse_new(reason).map_err(|error| field("reason", error))
}

/// The note of a user who asks to join.
pub(crate) fn join_note(note: &str) -> Result<Reason, Error> {
    if note.len() > MAX_JOIN_NOTE_BYTES {
        return Err(field("note", format!("must be at most {MAX_JOIN_NOTE_BYTES} bytes")));
    }
    Reason::parse_new(note).map_err(|error| field("note", error))
}

/// How long a ban or a mute lasts.
pub(crate) fn sanction(name: &str, given: Option<&prost_types::Duration>) -> Result<Option<Duration>, Error> {
    lasting(name, given, MAX_SANCTION)
}

/// How long an invitation can be accepted.
pub(crate) fn invitation_age(name: &str, given: Option<&prost_types::Duration>) -> Result<Duration, Error> {
    Ok(lasting(name, given, MAX_INVITATION_AGE)?.unwrap_or(MAX_INVITATION_AGE))
}

/// How long a link can be used.
pub(crate) fn link_age(name: &str, given: Option<&prost_types::Duration>) -> Result<Duration, Error> {
    Ok(lasting(name, given, MAX_LINK_AGE)?.unwrap_or(MAX_LINK_AGE))
}

/// How many may join by a link: as many as a room has members.
pub(crate) fn link_uses(name: &str, uses: u32) -> Result<u32, Error> {
    if u64::from(uses) <= MAX_MEMBERS {
        Ok(uses)
    } else {
        Err(field(name, format!("must be at most {MAX_MEMBERS}")))
    }
}

fn lasting(
    name: &str,
    given: Option<&prost_types::Duration>,
    most: Duration,
) -> Result<Option<Duration>, Error> {
    let Some(given) = given else { return Ok(None) };
    match Duration::try_from(*given) {
        Ok(lasts) if lasts >= Duration::from_millis(1) && lasts <= most => Ok(Some(lasts)),
        _ => Err(field(name, format!("must be 0.001s to {}s", most.as_secs()))),
    }
}

/// A value of an enum. One of a later version of the contract may mean anything, so it is refused.
pub(crate) fn known<T: TryFrom<i32>>(name: &str, value: i32) -> Result<T, Error> {
    T::try_from(value).map_err(|_| field(name, "is not one that this server knows"))
}

pub(crate) fn joining(name: &str, given: i32) -> Result<Joining, Error> {
    known(name, given).map(convert::joining_from)
}

pub(crate) fn slow_mode(name: &str, seconds: u32) -> Result<u32, Error> {
    if seconds <= MAX_SLOW_MODE {
        Ok(seconds)
    } else {
        Err(field(name, format!("must be at most {MAX_SLOW_MODE}")))
    }
}

pub(crate) fn emoji(emoji: &str) -> Result<Emoji, Error> {
    Emoji::parse_new(emoji).map_err(|error| field("emoji", error))
}

/// Parses a reaction to remove, which may predate the rules for new ones.
pub(crate) fn old_emoji(emoji: &str) -> Result<Emoji, Error> {
    Emoji::parse(emoji).map_err(|error| field("emoji", error))
}

/// A required seq.
pub(crate) fn seq(seq: u64) -> Result<u64, Error> {
    seq_of("seq", seq)
}

/// The same in a field of another name.
pub(crate) fn seq_of(name: &str, seq: u64) -> Result<u64, Error> {
    if seq == 0 { Err(field(name, "must be 1 or more")) } else { Ok(seq) }
}

pub(crate) fn page_size(size: u32) -> Result<usize, Error> {
    match size as usize {
        0 => Ok(PAGE_SIZE),
        size if size <= MAX_PAGE_SIZE => Ok(size),
        _ => Err(field("page_size", format!("must be at most {MAX_PAGE_SIZE}"))),
    }
}

/// Separates the parts of a page token: no id contains it.
pub(crate) const TOKEN_SPACE: char = ' '; // format

/// Parses a page token: the last id of the previous page, or several parts. Readable, and never
/// expires.
pub(crate) fn page_token<T, E>(
    token: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    parse(token).map(Some).map_err(|_| field("page_token", "not one that this server gave"))
}

/// The token for the next page; empty after the last one.
pub(crate) fn next_page_token<T>(page: &[T], size: usize, id: impl FnOnce(&T) -> &str) -> String {
    match page.last() {
        Some(last) if page.len() == size => id(last).to_owned(),
        _ => String::new(),
    }
}
