//! A single-threaded model of a cluster: one store, a few nodes whose rooms may be
//! stale, and clients that retry. A script determines all failures.

mod action;
mod check;
mod cluster;
mod node;
mod script;
mod store;
mod truth;

pub(crate) use cluster::{Cluster, MET};
pub(crate) use node::serve;
pub(crate) use script::{Script, scripts, scripts_with_data, scripts_with_invitations};
pub(crate) use store::Store;

/// A planted fault, to prove that the checks detect it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No fault.
    None,
    /// The store appends even if the key is taken.
    NoFence,
    /// The store forgets overlays when the answer to an append is lost.
    OverlaysApart,
    /// The store forgets the rows of members when the answer to an append is lost.
    MembersApart,
    /// The store forgets the invitations when the answer to an append is lost.
    InvitationsApart,
    /// The store forgets the row in the directory when the answer to an append is lost.
    ListingApart,
    /// The store moves read marks back.
    MarksMoveBack,
    /// The store takes the retention floor from writers that change settings.
    FloorFromWriter,
    /// A node answers its clients before the store has confirmed.
    AnswersEarly,
    /// A node that finds its key taken assumes that it wrote the chunk itself.
    IgnoresNonce,
    /// A node refuses commands without checking that it is up to date.
    RefusesStale,
    /// A node reads the data next to the log first, and the tail later.
    LoadsTailLast,
    /// Writes may arrive after any delay, even longer than the retention period.
    LandsAnyTime,
    /// A client generates a new request id for each try.
    NewRequestIds,
}
