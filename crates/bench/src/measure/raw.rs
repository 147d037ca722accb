//! Connections without a client session on top, so that the measurement reflects
//! the server.

use anyhow::{Context, Result, bail, ensure};
use futures::{StreamExt, TryStreamExt};
use parlance_client::transport::{Connection, Dialer, Door};
use parlance_client::{Config, Message, Session, create_user};
use parlance_proto::v1;
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Answer;
use parlance_proto::v1::server_frame::Frame;

use super::effort::text;
use super::load::hello;

/// Concurrent setup operations.
const AT_ONCE: usize = 64;

/// Members added by one request.
const MEMBERS_AT_ONCE: usize = 40;

/// Creates users and returns their tokens, in order.
pub(super) async fn create_users(address: &str, ids: &[String]) -> Result<Vec<String>> {
    let created = futures::stream::iter(ids).map(|id| async move { create_user(address, id, "").await });
    Ok(created.buffered(AT_ONCE).try_collect().await?)
}

/// Opens a connection and says hello.
pub(super) async fn connect(address: &str, door: Door, token: &str) -> Result<Connection> {
    let mut connection = Dialer::new(door, address).connect(token).await?;
    connection.send(hello(None)).await?;
    let first = connection.recv().await?.context("no welcome")?;
    ensure!(matches!(first.frame, Some(Frame::Welcome(_))), "no welcome: {first:?}");
    Ok(connection)
}

/// A frame that sends a message.
pub(super) fn message(room_id: &str, id: &str, text: &str, after_seq: Option<u64>) -> v1::ClientFrame {
    let request = v1::SendMessageRequest {
        target: Some(v1::send_message_request::Target::RoomId(room_id.to_owned())),
        client_message_id: id.to_owned(),
        text: text.to_owned(),
        after_seq,
        ..Default::default()
    };
    v1::ClientFrame {
        request_id: id.to_owned(),
        operation: Some(Operation::SendMessage(request)),
        as_user: String::new(),
    }
}

/// The seq in the next answer to a message; other frames are skipped.
pub(super) async fn answer(connection: &mut Connection) -> Result<u64> {
    loop {
        let frame = connection.recv().await?.context("the stream ended")?;
        let Some(Frame::Reply(reply)) = frame.frame else { continue };
        match reply.result {
            Some(Answer::SendMessage(response)) => return Ok(response.seq),
            other => bail!("the answer to a message is {other:?}"),
        }
    }
}

/// A user who creates rooms and adds members to them.
pub(crate) struct Creator(pub(crate) Session);

impl Creator {
    pub(super) async fn new(address: &str) -> Result<Self> {
        let token = create_user(address, "bench:creator", "").await?;
        let (session, _) = Session::start(Config::new(Dialer::new(Door::Grpc, address), token));
        Ok(Self(session))
    }

    /// Creates a channel with these members.
    pub(crate) async fn room(&self, name: &str, members: &[String]) -> Result<String> {
        let request = v1::CreateRoomRequest {
            kind: v1::RoomKind::Channel.into(),
            request_id: name.to_owned(),
            ..Default::default()
        };
        let room_id = self.0.call(request).await?.room.context("no room")?.room_id;
        for user_ids in members.chunks(MEMBERS_AT_ONCE) {
            let (room_id, user_ids) = (room_id.clone(), user_ids.to_vec());
            self.0.call(v1::AddMembersRequest { room_id, user_ids, ..Default::default() }).await?;
        }
        Ok(room_id)
    }
}

/// Sends `count` messages to `room`, with `in_flight` of them in flight.
pub(crate) async fn send_many(session: &Session, room: &str, count: u64, in_flight: usize) -> Result<()> {
    futures::stream::iter(0..count)
        .map(|_| session.send_message(Message::to_room(room, text())))
        .buffer_unordered(in_flight)
        .try_for_each(|_| std::future::ready(Ok(())))
        .await?;
    Ok(())
}
