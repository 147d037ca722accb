use parlance_core::{Chunk, RoomId};
use parlance_proto::cluster::v1::{Contended, Forward, Forwarded};

/// Those who decide in rooms, as far as other nodes need them. None of these waits for anything.
pub trait RoomCommands: Send + Sync + 'static {
    /// Another node has committed a chunk of `room`.
    fn observe(&self, room: &RoomId, chunk: Chunk);

    /// Another node asks for a send to be decided here.
    fn decide_forwarded(&self, forward: Forward);

    /// The answer to what this node has forwarded.
    fn forwarded(&self, forwarded: Forwarded);

    /// A room's home cannot get through to decide.
    fn contended(&self, contended: &Contended);
}
