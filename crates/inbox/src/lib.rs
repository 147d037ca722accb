//! The inbox: the rooms of a user, each with its last message and its unread count.
//!
//! Lists are read from [`InboxView`]. [`LogInbox`] reads the rooms and their logs on each call: exact and
//! maintenance-free, at the cost of a few reads per room.
#![warn(missing_docs)]

mod activity;
mod latest;
mod limits;
mod log;
mod unread;
mod view;

pub use limits::Sizes;
pub use log::LogInbox;
pub use unread::unread;
pub use view::{
    InboxFilter, InboxOrder, InboxPage, InboxPlace, InboxQuery, InboxRow, InboxView, Lookup, UnreadTotal,
};
