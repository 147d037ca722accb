//! A second fleet on the same Redis: other tables, the same users, and rooms with the same names.

use std::time::Duration;

use anyhow::Result;
use parlance_proto::v1::SendMessageRequest;
use parlance_proto::v1::send_message_request::Target;
use tokio::time::Instant;

use super::world::{self, Kind, World};
use parlance_testbed::{Cluster, Unary, token};

const TABLE_PREFIX: &str = "stranger_";

/// Starts a node of another fleet. It is refused, unless Redis has lost its owner: then the users
/// of the direct rooms write there, for `length`.
pub(super) async fn visit(cluster: &Cluster, world: &World, length: Duration) -> Result<()> {
    cluster.create_tables(TABLE_PREFIX).await?;
    let Ok(mut stranger) = Box::pin(cluster.start_node(0, TABLE_PREFIX)).await else { return Ok(()) };
    let said = converse(stranger.address(), world, length).await;
    stranger.end().await?;
    said
}

async fn converse(address: &str, world: &World, length: Duration) -> Result<()> {
    let unary = Unary::connect(address).await?;
    let until = Instant::now() + length;
    let direct = || world.rooms.iter().filter(|room| room.kind == Kind::Direct);
    for user in direct().flat_map(|room| &room.members) {
        unary.create_user(&token(&world::name(*user))?, &world::name(*user)).await?;
    }
    let mut number = 0;
    while Instant::now() < until && direct().next().is_some() {
        for room in direct() {
            number += 1;
            let request = SendMessageRequest {
                target: Some(Target::ToUser(world::name(room.members[1]))),
                client_message_id: format!("stranger.{number}"),
                text: "of another fleet".to_owned(),
                ..Default::default()
            };
            unary.send(&token(&world::name(room.members[0]))?, request).await?;
        }
    }
    Ok(())
}
