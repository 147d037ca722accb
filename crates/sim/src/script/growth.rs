use std::sync::Arc;
use std::time::Duration;

use parlance_core::{RoomId, UserId};
use parlance_proto::v1;
use tokio::time::sleep;

use super::SETTLE;
use crate::asks;
use crate::client::Client;
use crate::dice::lock;
use crate::orders::Do;
use crate::world::World;

/// Members added with one request.
const AT_ONCE: usize = 40;

/// A room grows past the sizes at which publishing changes, while members are added and removed, and nodes start and
/// stop.
pub async fn grow(world: Arc<World>) {
    let dice = &world.dice;
    let Ok(users) =
        (0..620).map(|person| UserId::parse(&format!("u{person:03}"))).collect::<Result<Vec<_>, _>>()
    else {
        return;
    };
    {
        // They need a profile to be added.
        let store: &dyn parlance_store::Store = &world.memory;
        for user in &users {
            let Ok(name) = parlance_core::Name::parse(user.as_str()) else { return };
            let at = parlance_core::Timestamp(1);
            let profile = parlance_store::User {
                id: user.clone(),
                name,
                created_at: at,
                updated_at: at,
                image: parlance_core::ImageUrl::default(),
                data: parlance_core::Data::default(),
                state: Default::default(),
            };
            let _ = store.create_user(profile).await;
        }
    }
    let owner = Client::start(&world, &users[0]);
    // A few of them are online, spread over the order in which they are added.
    let online: Vec<usize> = (1..24).map(|n| Client::start(&world, &users[n * 26])).collect();
    let kind = asks::create(v1::RoomKind::Group, v1::HistoryVisibility::Unspecified, &[], 1);
    let asked = world.ask(owner, kind, true);
    let answered = |asked: usize| lock(&world.history).asked[asked].answer.is_some();
    world.wait(Duration::from_secs(20), || answered(asked)).await;
    let room = {
        let tables = world.memory.tables();
        let Some(room) = tables.rooms.keys().next() else { return };
        RoomId::parse(room.as_str())
    };
    let Ok(room) = room else { return };
    let mut number = 2;
    let mut next = || {
        number += 1;
        number
    };
    for some in users[1..].chunks(AT_ONCE) {
        let asked = world.ask(owner, asks::add(&room, some, next()), true);
        if dice.chance(300) {
            let n = next();
            world.ask(owner, asks::send(&room, n, format!("text of q{n}")), true);
        }
        world.wait(Duration::from_secs(20), || answered(asked)).await;
        for client in &online {
            if dice.chance(60) {
                world.tell(*client, Do::Cut { half_open: dice.millis(0, 300) });
            }
        }
        let nodes = world.nodes();
        let Some((_, node)) = dice.pick(&nodes) else { continue };
        match dice.below(12) {
            0 => world.mesh.expire(&node.id),
            1 => world.mesh.deafen(&node.id),
            2 => node.fence.crash(),
            3 => world.mesh.wipe(),
            _ => {}
        }
    }
    // Then it shrinks a little, back and forth across the threshold.
    for user in &users[users.len() - 20..] {
        world.ask(owner, asks::remove(&room, user, next()), true);
    }
    sleep(dice.millis(0, 3_000)).await;
    let n = next();
    world.ask(owner, asks::send(&room, n, format!("text of q{n}")), true);
    let quiet = || lock(&world.history).asked.iter().all(|asked| asked.answer.is_some());
    world.wait(SETTLE, || quiet() && crate::check::is_settled(&world)).await;
    sleep(Duration::from_secs(4)).await;
}
