//! The start of a session.
use parlance_cluster::limits::PRESENCE_ROOMS;
use parlance_core::DeviceId;
use parlance_proto::v1;
use parlance_runtime::own_task::in_own_task;
use tokio::time::Instant;
use v1::server_frame::Frame;

use crate::cursor;
use crate::error::Error;
use crate::heartbeat::Heartbeat;
use crate::limits::{HEARTBEAT, contract_limits};
use crate::online::Online;
use crate::room_stream::RoomStream;
use crate::session::{Session, Stage};

impl Session {
    pub(crate) async fn hello(&mut self, hello: v1::Hello) -> Result<(), Error> {
        if !hello.device_id.is_empty() {
            DeviceId::parse(&hello.device_id)
                .map_err(|error| Error::Field("hello.device_id".into(), error.to_string()))?;
        }
        let cursors = cursor::by_room(&hello.cursors)?;
        let (sessions, operations) = (self.sessions.clone(), self.operations.clone());
        let (caller, outlet) = (self.caller.clone(), self.outlet.clone());
        let (mut open, heads) = in_own_task(async move {
            let _turn = sessions.opening().await;
            // Before anything is read: see `Online::register`.
            let online = Online::register(&sessions, &caller.user).await.ok_or(Error::Draining)?;
            let mut read = 0;
            let opened = sessions.catch_up(&operations, online, &caller, cursors, outlet, &mut read).await;
            operations.charge_rooms(&caller, read);
            opened
        })
        .await?;
        let (session, now) = (open.mailbox.session(), self.sessions.clock.now());
        let node_id = self.sessions.registry.node().as_str().to_owned();
        let welcome = v1::Welcome {
            session_id: format!("{node_id}-{session}"),
            user_id: self.caller.user.as_str().to_owned(),
            node_id,
            server_time: Some(parlance_proto::convert::timestamp(now)),
            heads,
            limits: Some(contract_limits()),
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            heartbeat_after: HEARTBEAT.try_into().ok().filter(|_| self.subscribe_only),
        };
        self.send(Frame::Welcome(welcome));
        for gap in open.notices.drain(..) {
            self.send(Frame::Gap(gap));
        }
        if self.stage == Stage::Serving {
            self.heartbeat = self.subscribe_only.then(|| Box::new(Heartbeat::new(Instant::now())));
            self.await_expiry();
        }
        let rooms = open.rooms.values().filter_map(RoomStream::signal_room);
        let rooms = rooms.take(PRESENCE_ROOMS).collect();
        open.online.announce(rooms);
        self.open = Some(open);
        Ok(())
    }
}
