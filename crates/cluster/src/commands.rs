use parlance_core::{Chunk, RoomId};
use parlance_proto::cluster::v1::{Contended, Forward, Forwarded};

/// The room actors, as far as other nodes need them. None of these methods waits.
pub trait RoomCommands: Send + Sync + 'static {
    /// Another node has committed a chunk of `room`.
    fn observe(&self, room: &RoomId, chunk: Chunk);

    /// Another node forwards a send to be decided here.
    fn decide_forwarded(&self, forward: Forward);

    /// The answer to a send that this node has forwarded.
    fn forwarded(&self, forwarded: Forwarded);

    /// A room's home keeps losing races.
    fn contended(&self, contended: &Contended);
}
