#![allow(clippy::unwrap_used)]
use parlance_core::*;
use parlance_store::*;
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let dir = std::env::args().nth(1).unwrap();
    let store = match Embedded::open(dir.as_ref(), Options::default()) {
        Ok(s) => s,
        Err(e) => {
            println!("OPENERR {e:?}");
            return;
        }
    };
    let users = store.users(None, 1000).await;
    println!("{users:?}");
    for u in ["0000000000000001-alice", "0000000000000001-bob"] {
        let id = UserId::parse(u).unwrap();
        println!("{:?}", store.user(&id).await);
        let rooms = store.rooms_of(&id, None, 100).await;
        println!("{rooms:?}");
    }
    let room = RoomId::parse(&std::env::args().nth(2).unwrap()).unwrap();
    {
        println!("{:?}", store.room(&room).await);
        println!("{:?}", store.chunks_after(&room, 0, 10000).await);
        println!("{:?}", store.read(&room, SeqRange { from: 1, to: u64::MAX }, 10000, false).await);
        println!("{:?}", store.read(&room, SeqRange { from: 1, to: u64::MAX }, 10, true).await);
        println!("{:?}", store.members(&room, None, 100).await);
        for seq in 1..40 {
            println!("{:?}", store.chunk(&room, seq).await);
            println!("{:?}", store.overlay(&room, seq).await);
        }
    }
}
