//! Storage of rooms, members, messages and users: the [`Store`] trait, implemented by the
//! [`Embedded`] engine for one node and, with the feature `dynamodb`, by `Dynamo` for many.
//!
//! A room's log is stored in chunks; appending one is conditional on the head that it
//! follows. Everything that readers get is durable.
#![warn(missing_docs)]

mod block_store;
pub mod consumers;
pub mod contacts;
mod created;
mod directory_store;
#[cfg(feature = "dynamodb")]
mod dynamo;
mod embedded;
mod error;
pub mod feed;
mod feed_record;
mod hex;
mod identity;
mod invitation_record;
mod invitation_store;
mod limits;
mod log_store;
mod mark_store;
mod member_store;
pub mod members;
pub mod past;
mod preferences;
mod random;
mod record;
mod report_record;
mod report_store;
pub mod revocations;
mod room_ids;
pub mod rooms;
mod store;
mod token_lives;
mod until;
mod user_store;

pub use block_store::{BlockError, BlockStore};
pub use created::Created;
pub use directory_store::{DirectoryStore, FoundRooms, ListedRoom};
#[cfg(feature = "dynamodb")]
pub use dynamo::{Dynamo, DynamoFeed, DynamoOptions, OtherFleet, TableOptions, TableReport};
pub use embedded::{Durability, Embedded, OpenError, Options};
pub use error::{AppendError, StoreError};
pub use invitation_store::{InvitationStore, Invited};
pub use log_store::{LogStore, StoredRoom};
pub use mark_store::MarkStore;
pub use member_store::{MemberStore, UserRoom, UserRooms};
pub use preferences::{Preferences, PreferencesChange};
pub use report_store::{FoundReports, ReportStore};
pub use room_ids::RoomIds;
pub use store::Store;
pub use user_store::{FoundUsers, NamePlace, UpdateError, User, UserChange, UserState, UserStore};
