//! The room's rules, first as short examples, then in a model cluster with random failures.
//!
//! - `app`, `archive`, `blocks`, `chain`, `invitations`, `join_requests`, `links`, `listing`, `requests`, `former_requests`, `repeat_window`, `drafts`, `permissions`, `settings`, `membership`, `member_data`, `moderation`, `overlays`, `unread`: one rule,
//!   one example
//! - `model`: a store, nodes and clients, with unreliable connections between them
//! - `cluster`: random scripts keep every promise; `faults`: planted faults are detected
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod app;
mod archive;
mod blocks;
mod chain;
mod cluster;
mod drafts;
mod faults;
mod former_requests;
mod import;
mod invitations;
mod join_requests;
mod links;
mod listing;
mod member_data;
mod membership;
mod model;
mod moderation;
mod overlays;
mod permissions;
mod repeat_window;
mod requests;
mod settings;
mod solo;
mod unread;
mod values;
