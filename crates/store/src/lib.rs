//! Where rooms, members, messages and users are kept: the [`Store`] trait, and the
//! [`Embedded`] engine behind it.
//!
//! The log of a room is kept in chunks; appending one is conditional on the head that
//! it follows. Everything that a reader is given is durable.
#![warn(missing_docs)]

mod embedded;
mod record;
mod store;

pub use embedded::{Durability, Embedded, OpenError, Options};
pub use store::{AppendError, Created, Store, StoreError, StoredRoom, User, UserRoom};
