//! The domain rules of Parlance: ids, limits, events and the [`Room`] state machine.
//! No I/O, no async, no randomness; time is passed in through [`Clock`].
//!
//! A room is a log of [`Event`]s. A [`Room`] is the state folded from it; a [`Draft`]
//! decides commands against that state and becomes a [`Chunk`], the unit that a store
//! appends.
#![warn(missing_docs)]

pub mod evict;
pub mod limits;

mod backoff;
mod blocks;
mod caller;
mod chunk;
mod clock;
mod data;
mod event;
mod ids;
mod inbox;
mod invitations;
mod join_request;
mod link;
mod listing;
mod member;
mod message_kind;
mod overlay;
mod report;
mod revocation;
mod role;
mod room;
mod settings;
mod text;
mod time;

pub use backoff::Backoff;
pub use blocks::{Blocks, TooManyBlocks};
pub use caller::{Caller, ClaimedProfile};
pub use chunk::{Chunk, Head, Nonce};
pub use clock::{Clock, ClockMonitor, ClockOffset, SystemClock, TimeSource};
pub use data::{Data, DataChange, DataTooLarge};
pub use event::{Body, Event, Imported, Message, Unknown};
pub use ids::{DeviceId, IdError, OwnIdError, ReportId, RequestId, RoomId, RoomIdKey, UserId};
pub use inbox::{Cursors, Mark, Unread};
pub use invitations::{Invitation, Invitations, InvitationsChange};
pub use join_request::{JoinRequest, Listed, RequestEnd};
pub use link::{Link, LinkHash};
pub use listing::{Listing, ListingChange, TitlePlace};
pub use member::{Interval, Member, MemberData, Mute, SeqRange, Standing, visible_ranges};
pub use message_kind::{MessageKind, NotAKind};
pub use overlay::{Entry, Overlay, PastForms};
pub use report::{
    Report, ReportCategory, ReportList, ReportOf, ReportOutcome, ReportPlace, ReportedMessage, Resolution,
};
pub use revocation::{Revocation, RevocationEntry, TokenId};
pub use role::Role;
pub use room::{
    Action, Append, Authority, Command, Creation, Decision, Draft, Hole, ImportedMessage, Need, NewRoom,
    Outcome, Posted, Refusal, Room, RoomInfo, SettingsChange,
};
pub use settings::{DefaultPermissions, Joining, Permission, Permissions, RoomKind, Settings, Visibility};
pub use text::{Emoji, FoldedName, ImageUrl, Name, Reason, Text, TextError, Title, Topic};
pub use time::Timestamp;
