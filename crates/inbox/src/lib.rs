//! The inbox: the rooms of a user, each with its last message and the number of unread ones.
//!
//! [`InboxView`] is what lists are read from. [`LogInbox`] reads the rooms and their logs at each call: exact,
//! with nothing to maintain. It costs a few reads for each room.
#![warn(missing_docs)]

mod limits;
mod log;
mod unread;
mod view;

pub use log::LogInbox;
pub use unread::unread;
pub use view::{InboxPage, InboxQuery, InboxRow, InboxView, Lookup};
