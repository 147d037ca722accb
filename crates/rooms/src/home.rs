//! The node that decides for a contended room.
use parlance_core::RoomId;
use parlance_registry::NodeId;

/// The node of `nodes` that decides for `room` under contention. Rendezvous hashing: a node that joins or leaves
/// moves only its own share.
pub(crate) fn home<'a>(room: &RoomId, nodes: &'a [NodeId]) -> Option<&'a NodeId> {
    nodes.iter().max_by_key(|node| weight(room, node))
}

/// FNV-1a over both ids, then the finaliser of SplitMix64, which spreads the last bytes over all bits. Must be the
/// same on all nodes of all versions: this never changes.
fn weight(room: &RoomId, node: &NodeId) -> u64 {
    let bytes = room.as_str().bytes().chain([0]).chain(node.as_str().bytes());
    let fnv = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_never_change() {
        let weight = |room, node| weight(&RoomId::parse(room).unwrap(), &NodeId::parse(node).unwrap());
        assert_eq!(weight("r1", "a"), 0x26a03e89a0c9d53d);
        assert_eq!(weight("r1", "b"), 0xb3d89fd996d23a69);
    }

    #[test]
    fn a_node_that_leaves_moves_only_its_own_rooms() {
        let nodes: Vec<_> = ["a", "b", "c", "d"].iter().map(|id| NodeId::parse(id).unwrap()).collect();
        let rooms: Vec<_> = (0..400).map(|n| RoomId::parse(&format!("r{n}")).unwrap()).collect();
        let mut moved = 0;
        for room in &rooms {
            let before = home(room, &nodes).unwrap();
            let after = home(room, &nodes[..3]).unwrap();
            assert!(before == after || *before == nodes[3]);
            moved += usize::from(before != after);
        }
        assert!((60..=140).contains(&moved), "{moved} of 400");
    }
}
