//! From what happens in rooms to the sessions of this node.
//!
//! A session is not sent anything: it is told that a room has gone on, and takes from
//! the room's [`Feed`] what follows its own position, from the ring of recent frames
//! or from the store. That one way serves catching up, live delivery and slow readers
//! alike, so that there is no seam between them.
//!
//! Knows the store, the registry and frames. Knows nothing of the actors that decide in rooms, of
//! other nodes' hints or of sessions: those are mailboxes to it.
#![warn(missing_docs)]

mod confirm;
mod feed;
mod follow;
mod frame;
mod hub;
mod limits;
mod linger;
mod mailbox;
mod pages;
mod push;
mod refresh;
mod ring;
mod signal;
mod state;
mod subscription;
mod tail;

pub use feed::Feed;
pub use frame::{Blank, Piece};
pub use hub::{Hub, Listening};
pub use limits::Sizes;
pub use linger::Linger;
pub use mailbox::{Attach, Wakes};
pub use ring::Fetched;
pub use signal::SignalTarget;
pub use state::{RoomState, Terms};
pub use subscription::{Mailbox, Subscription, Waken};
