//! A cluster in one thread: one store, a few nodes whose rooms may be stale, and
//! clients who repeat themselves. A script decides everything that could go wrong.

mod check;
mod cluster;
mod node;
mod script;
mod store;
mod truth;

pub(crate) use cluster::{Cluster, MET};
pub(crate) use node::serve;
pub(crate) use script::scripts;
pub(crate) use store::Store;

/// Something planted to go wrong, to prove that the checks notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing is wrong.
    None,
    /// The store appends whether or not the key is taken.
    NoFence,
    /// The store forgets overlays when the answer to an append is lost.
    OverlaysApart,
    /// The store forgets the rows of members when the answer to an append is lost.
    MembersApart,
    /// The store sets a read mark to wherever it is told.
    MarksMoveBack,
    /// The store takes retention's floor from whoever changes the settings.
    FloorFromWriter,
    /// A node tells its clients before the store told it.
    AnswersEarly,
    /// A node that finds its key taken believes that it was itself.
    IgnoresNonce,
    /// A node refuses without asking the store whether it is behind.
    RefusesStale,
    /// A node reads what stands beside the log first, and the tail later.
    LoadsTailLast,
    /// A write lands however late: past the day that retention leaves.
    LandsAnyTime,
    /// A client makes up a new request id for each try.
    NewRequestIds,
}
