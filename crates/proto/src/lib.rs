//! The contract: generated code, conversions to and from the core types, canonical JSON, errors as
//! statuses. Runs nothing.
//!
//! Without the feature `grpc`, the crate contains only the messages and their JSON, and depends on
//! no transport.
#![warn(missing_docs)]

pub mod answers;
#[cfg(feature = "grpc")]
pub mod codec;
pub mod convert;
pub mod cost;
pub mod data;
#[cfg(feature = "grpc")]
pub mod error;
pub mod event;
pub mod json;
mod known_names;
mod limits;
pub mod stored;

/// `package parlance.v1`: messages and clients.
#[allow(missing_docs, clippy::large_enum_variant, clippy::doc_markdown)]
pub mod v1 {
    pub use crate::event::{self, Event};

    include!(concat!(env!("OUT_DIR"), "/parlance.v1.rs"));
}

/// `package parlance.storage.v1`: the stored form.
#[allow(missing_docs, clippy::large_enum_variant)]
pub mod storage {
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/parlance.storage.v1.rs"));
    }
}

/// `package parlance.cluster.v1`: messages between nodes.
#[allow(missing_docs, clippy::large_enum_variant)]
pub mod cluster {
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/parlance.cluster.v1.rs"));
    }
}

/// `package parlance.events.v1`: events for the app's other services.
#[allow(missing_docs, clippy::large_enum_variant)]
pub mod events {
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/parlance.events.v1.rs"));
    }
}

/// The server of `package parlance.events.v1`.
#[cfg(feature = "grpc")]
#[allow(missing_docs)]
pub mod events_server {
    include!(concat!(env!("OUT_DIR"), "/server/parlance.events.v1.rs"));
}

/// The servers of `package parlance.v1`.
#[cfg(feature = "grpc")]
#[allow(missing_docs)]
pub mod server {
    include!(concat!(env!("OUT_DIR"), "/server/parlance.v1.rs"));
}

/// The compiled contract as an encoded `FileDescriptorSet`, for reflection.
pub const DESCRIPTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bin"));

/// The compiled `package parlance.events.v1`, likewise.
pub const EVENTS_DESCRIPTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/events_descriptor.bin"));

/// The details of errors (`google.rpc.ErrorInfo` and others), for reflection: tools display only
/// details whose type they can look up.
#[cfg(feature = "grpc")]
pub use tonic_types::pb::FILE_DESCRIPTOR_SET as ERROR_DETAILS_DESCRIPTOR;
