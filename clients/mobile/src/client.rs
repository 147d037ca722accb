//! A client, over all sessions between its first connection and the end of the app.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Duration;

use parlance_client::{Change, v1};

use crate::sessions::Sessions;
use crate::{
    ClientError, ConnectionState, Discarded, Event, EventPage, Listener, Options, OutgoingMessage,
    PendingCommand, SentMessage, TokenProvider, json, work,
};
/// See the interface.
pub struct Client(Arc<Sessions>);

impl Client {
    pub fn new(
        options: Options,
        tokens: Arc<dyn TokenProvider>,
        listener: Arc<dyn Listener>,
    ) -> Result<Self, ClientError> {
        let sessions = Arc::new(Sessions::new(options, tokens, listener)?);
        sessions.start(work::runtime()?);
        Ok(Self(sessions))
    }

    pub async fn send_message(&self, message: OutgoingMessage) -> Result<SentMessage, ClientError> {
        let (session, request) = (self.0.current()?, message.into_request()?);
        work::run(async move {
            let sent = session.submit(request).await?.done().await?;
            let sent = sent.ok_or_else(|| ClientError::Discarded { details: "superseded".to_owned() })?;
            Ok(SentMessage { room_id: sent.room_id, seq: sent.seq, is_repeat: sent.is_repeat })
        })
        .await
    }

    pub async fn queue_message(&self, message: OutgoingMessage) -> Result<String, ClientError> {
        self.submit(message.into_request()?).await
    }

    pub async fn edit_message(&self, room_id: String, seq: u64, text: String) -> Result<String, ClientError> {
        self.submit(v1::EditMessageRequest { room_id, seq, text, ..Default::default() }).await
    }

    pub async fn delete_message(&self, room_id: String, seq: u64) -> Result<String, ClientError> {
        self.submit(v1::DeleteMessageRequest { room_id, seq, ..Default::default() }).await
    }

    pub async fn add_reaction(
        &self,
        room_id: String,
        seq: u64,
        emoji: String,
    ) -> Result<String, ClientError> {
        self.submit(v1::AddReactionRequest { room_id, seq, emoji, ..Default::default() }).await
    }

    pub async fn remove_reaction(
        &self,
        room_id: String,
        seq: u64,
        emoji: String,
    ) -> Result<String, ClientError> {
        self.submit(v1::RemoveReactionRequest { room_id, seq, emoji, ..Default::default() }).await
    }

    pub async fn mark_read(&self, room_id: String, seq: u64) -> Result<String, ClientError> {
        self.submit(v1::MarkReadRequest { room_id, seq, ..Default::default() }).await
    }

    pub async fn join_room(&self, room_id: String) -> Result<String, ClientError> {
        self.submit(v1::JoinRoomRequest { room_id, ..Default::default() }).await
    }

    pub async fn leave_room(&self, room_id: String) -> Result<String, ClientError> {
        self.submit(v1::LeaveRoomRequest { room_id, ..Default::default() }).await
    }

    pub async fn send_typing(&self, room_id: String) -> Result<(), ClientError> {
        self.0.current()?.call(v1::SendTypingRequest { room_id }).await?;
        Ok(())
    }

    pub async fn list_events(
        &self,
        room_id: String,
        from_seq: u64,
        to_seq: u64,
        page_size: u32,
    ) -> Result<EventPage, ClientError> {
        let request = v1::ListEventsRequest { room_id, from_seq, to_seq, page_size };
        let page = self.0.current()?.call(request).await?;
        let events = page.events.into_iter().map(Event::from).collect();
        Ok(EventPage { events, next_from_seq: page.next_from_seq })
    }

    pub async fn call(&self, operation: String, request_json: String) -> Result<String, ClientError> {
        let operation = json::read_operation(&operation, &request_json)?;
        json::write_answer(self.0.current()?.operate(operation).await?)
    }

    pub fn pending(&self) -> Vec<PendingCommand> {
        let session = self.0.current();
        session
            .map(|session| session.commands().values().map(|command| (&**command).into()).collect())
            .unwrap_or_default()
    }

    pub async fn retry(&self, id: String) -> Result<bool, ClientError> {
        let session = self.0.current()?;
        work::run(async move { Ok(session.retry(id).await?.is_some()) }).await
    }

    pub async fn discard(&self, id: String) -> Result<Discarded, ClientError> {
        Ok(self.0.current()?.discard(id).await?.into())
    }

    pub fn state(&self) -> ConnectionState {
        self.0.state()
    }

    pub fn enter_foreground(&self) {
        if let Ok(runtime) = work::runtime() {
            self.0.enter_foreground(runtime);
        }
    }

    pub async fn enter_background(&self, grace_millis: u64) {
        let sessions = Arc::clone(&self.0);
        let grace = Duration::from_millis(grace_millis);
        // Without its threads no client runs.
        let _ = work::run(async move {
            sessions.enter_background(grace).await;
            Ok(())
        })
        .await;
    }

    pub fn network_changed(&self) {
        if let Ok(session) = self.0.current() {
            session.wake();
        }
    }

    pub async fn shut_down(&self) {
        let sessions = Arc::clone(&self.0);
        let _ = work::run(async move {
            sessions.close().await;
            Ok(())
        })
        .await;
    }

    pub async fn sign_out(&self) -> Result<(), ClientError> {
        let sessions = Arc::clone(&self.0);
        work::run(async move {
            sessions.close().await;
            sessions.delete().await
        })
        .await
    }

    async fn submit<R: Change + Send + 'static>(&self, request: R) -> Result<String, ClientError>
    where
        R::Response: Send,
    {
        Ok(self.0.current()?.submit(request).await?.id)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let (sessions, Ok(runtime)) = (Arc::clone(&self.0), work::runtime()) else { return };
        runtime.spawn(async move { sessions.close().await });
    }
}
