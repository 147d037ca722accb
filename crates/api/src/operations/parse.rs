//! From request fields to core types; what is wrong names the field.
use parlance_core::limits::{MAX_PAGE_SIZE, PAGE_SIZE};
use parlance_core::{Emoji, Name, RequestId, RoomId, Text, Title, Topic, UserId};

use crate::Error;
use crate::auth::ME;

pub(crate) fn field(name: &str, description: impl ToString) -> Error {
    Error::Field(name.to_owned(), description.to_string())
}

pub(crate) fn room_id(id: &str) -> Result<RoomId, Error> {
    RoomId::parse(id).map_err(|error| field("room_id", error))
}

pub(crate) fn user_id(name: &str, id: &str) -> Result<UserId, Error> {
    UserId::parse(id).map_err(|error| field(name, error))
}

/// The id of a user to be.
pub(crate) fn new_user_id(name: &str, id: &str) -> Result<UserId, Error> {
    UserId::parse_new(id).map_err(|error| field(name, error))
}

/// [`ME`] stands for the caller.
pub(crate) fn user_or_me(caller: &UserId, id: &str) -> Result<UserId, Error> {
    if id == ME { Ok(caller.clone()) } else { user_id("user_id", id) }
}

pub(crate) fn request_id(name: &str, id: &str) -> Result<RequestId, Error> {
    RequestId::parse(id).map_err(|error| field(name, error))
}

pub(crate) fn text(text: &str) -> Result<Text, Error> {
    Text::parse_new(text).map_err(|error| field("text", error))
}

pub(crate) fn name(name: &str) -> Result<Name, Error> {
    Name::parse_new(name).map_err(|error| field("name", error))
}

pub(crate) fn title(name: &str, title: &str) -> Result<Title, Error> {
    Title::parse_new(title).map_err(|error| field(name, error))
}

pub(crate) fn topic(name: &str, topic: &str) -> Result<Topic, Error> {
    Topic::parse_new(topic).map_err(|error| field(name, error))
}

pub(crate) fn emoji(emoji: &str) -> Result<Emoji, Error> {
    Emoji::parse_new(emoji).map_err(|error| field("emoji", error))
}

/// A reaction to be taken back, which may be of before the rules for new ones.
pub(crate) fn old_emoji(emoji: &str) -> Result<Emoji, Error> {
    Emoji::parse(emoji).map_err(|error| field("emoji", error))
}

/// A seq that must be there.
pub(crate) fn seq(seq: u64) -> Result<u64, Error> {
    if seq == 0 { Err(field("seq", "must be 1 or more")) } else { Ok(seq) }
}

pub(crate) fn page_size(size: u32) -> Result<usize, Error> {
    match size as usize {
        0 => Ok(PAGE_SIZE),
        size if size <= MAX_PAGE_SIZE => Ok(size),
        _ => Err(field("page_size", format!("must be at most {MAX_PAGE_SIZE}"))),
    }
}

/// Page tokens are the last id of the page before: readable, and good for ever.
pub(crate) fn page_token<T>(
    token: &str,
    parse: impl FnOnce(&str) -> Result<T, parlance_core::IdError>,
) -> Result<Option<T>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    parse(token).map(Some).map_err(|_| field("page_token", "not one that this server gave"))
}

/// What leads from a page to the next one; empty after the last.
pub(crate) fn next_page_token<T>(page: &[T], size: usize, id: impl FnOnce(&T) -> &str) -> String {
    match page.last() {
        Some(last) if page.len() == size => id(last).to_owned(),
        _ => String::new(),
    }
}
