//! Delivery of room events to the sessions of this node.
//!
//! A session is notified that a room has advanced, and reads from its own position in the room's [`Feed`]: from the
//! ring of recent frames or from the store. If it has delivered everything and its connection is idle, new frames are
//! pushed to the connection instead (`push`), under the connection's lock, so each event takes exactly one path.
//!
//! Depends on the store, the registry and frames. Does not depend on room actors or sessions, which it only sees as
//! mailboxes.
#![warn(missing_docs)]

mod confirm;
mod feed;
mod follow;
mod frame;
mod hub;
mod limits;
mod linger;
mod mailbox;
mod observe;
mod pages;
mod places;
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
pub use places::Places;
pub use ring::Fetched;
pub use signal::SignalTarget;
pub use state::{RoomState, Terms};
pub use subscription::{Mailbox, Subscription, Waken};
