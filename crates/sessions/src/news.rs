//! What waits in a session's mailbox.
use parlance_delivery::SharedFrame;
use parlance_hub::Waken;
use parlance_proto::v1::server_frame::Frame;

use crate::room_stream::Progress;
use crate::session::Session;

impl Session {
    /// Something waits in the mailbox.
    pub(crate) async fn woken(&mut self, waken: Waken) {
        let Some(open) = &mut self.open else { return };
        match waken {
            Waken::Signal(frame) => self.out.push_back(frame.into()),
            Waken::Attach(attach) => {
                Box::pin(open.attach(&attach)).await;
            }
            Waken::Room(subscription) => {
                let room = subscription.room();
                let Some(stream) = open.rooms.get_mut(room) else { return };
                let hub = &self.sessions.hub;
                match stream.advance(hub, &self.caller.user, &mut self.out).await {
                    Err(error) => {
                        let cursor = stream.position();
                        let room = room.clone();
                        open.rooms.remove(&room);
                        open.postpone(room, Some(cursor), &error);
                    }
                    // Behind the other rooms that wait.
                    Ok(Progress::More) => subscription.wake(),
                    Ok(Progress::UpToDate) => {
                        stream.subscription().set_at_head(stream.follows());
                        open.unreadable.forget(room);
                    }
                    Ok(Progress::Over) => {
                        open.left.insert(room.clone(), stream.cursor());
                        open.rooms.remove(room);
                        open.online.left(room);
                        open.unreadable.forget(room);
                    }
                }
            }
        }
        for gap in open.notices.drain(..) {
            self.out.push_back(SharedFrame::from(Frame::Gap(gap)).into());
        }
    }
}
