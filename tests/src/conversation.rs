use std::collections::{HashMap, VecDeque};

use parlance_client::transport::{Connection, Dialer, Door};
use parlance_client::{ClientError, Request};
use parlance_proto::error::Failure;
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Answer;
use parlance_proto::v1::server_frame::Frame;
use parlance_proto::v1::{
    self, ClientFrame, Cursor, Draining, Event, Gap, Hello, Refresh, Refreshed, ServerFrame, Signal,
    TokenExpiring, Welcome,
};

use crate::{Contiguity, Item, Person, fresh, within};

/// One `Chat` stream after hello. Every event and gap is checked for [`Contiguity`];
/// items that arrive while a test waits for something else are kept.
pub struct Conversation {
    /// `None` once it has ended.
    connection: Option<Connection>,
    welcome: Welcome,
    contiguity: Contiguity,
    items: VecDeque<Item>,
    signals: VecDeque<Signal>,
    replies: HashMap<String, Result<Answer, Failure>>,
    draining: Option<Draining>,
    /// The announcements that the token expires, so far.
    expiring: VecDeque<TokenExpiring>,
    end: Option<End>,
}

/// How the server ended a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    /// The status; `None` if it ended normally.
    pub failure: Option<Failure>,
    /// The close code, on a WebSocket.
    pub close: Option<u16>,
}

impl Conversation {
    /// Connects and says hello.
    ///
    /// # Errors
    /// The refusal of the stream or of hello.
    pub async fn open(address: &str, token: &str, door: Door, cursors: &[Cursor]) -> Result<Self, Failure> {
        let mut conversation = Self::silent(address, token, door).await?;
        conversation.say_hello(cursors).await?;
        Ok(conversation)
    }

    /// Sends hello and waits for the welcome.
    ///
    /// # Errors
    /// The refusal.
    pub async fn say_hello(&mut self, cursors: &[Cursor]) -> Result<(), Failure> {
        self.contiguity = Contiguity::from_cursors(cursors);
        let hello = Hello { device_id: String::new(), cursors: cursors.to_vec() };
        let id = self.send(Operation::Hello(hello)).await;
        match within("the welcome comes", self.frame()).await {
            Some(Frame::Welcome(welcome)) => {
                self.welcome = welcome;
                Ok(())
            }
            Some(Frame::Reply(reply)) if reply.request_id == id => {
                Err(result(reply).expect_err("hello is answered with the welcome"))
            }
            Some(other) => panic!("before the welcome: {other:?}"),
            None => {
                let end = self.end.take().expect("it has ended");
                Err(end.failure.unwrap_or_else(|| panic!("ended before the welcome")))
            }
        }
    }

    /// Connects without sending hello.
    ///
    /// # Errors
    /// The refusal of the stream.
    pub async fn silent(address: &str, token: &str, door: Door) -> Result<Self, Failure> {
        let connecting = Dialer::new(door, address);
        let connection = match within("the connection opens", connecting.connect(token)).await {
            Ok(connection) => connection,
            Err(error) => return Err(named(error)),
        };
        Ok(Self {
            connection: Some(connection),
            welcome: Welcome::default(),
            contiguity: Contiguity::default(),
            items: VecDeque::new(),
            signals: VecDeque::new(),
            replies: HashMap::new(),
            draining: None,
            expiring: VecDeque::new(),
            end: None,
        })
    }

    /// The server's answer to hello.
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// The positions reached, and the cursors to resume with.
    pub fn contiguity(&self) -> &Contiguity {
        &self.contiguity
    }

    /// Sends a request, and waits for the answer.
    ///
    /// # Errors
    /// The refusal.
    pub async fn call<R: Request>(&mut self, request: R) -> Result<R::Response, Failure> {
        let id = self.send(request.into_operation()).await;
        let answer = self.reply(&id).await?;
        Ok(R::response(answer).expect("the answer is to what was asked"))
    }

    /// Sends a request without waiting. Returns the id of its reply.
    pub async fn send(&mut self, operation: Operation) -> String {
        let request_id = fresh("frame");
        let frame = ClientFrame {
            request_id: request_id.clone(),
            operation: Some(operation),
            as_user: String::new(),
        };
        self.send_frame(frame).await;
        request_id
    }

    /// Sends this many messages to a room, as many concurrently as the server accepts;
    /// returns the last seq.
    pub async fn flood(&mut self, room: &str, count: usize, text: impl Fn(usize) -> String) -> u64 {
        let in_flight = self.welcome.limits.as_ref().map_or(1, |limits| limits.max_in_flight as usize);
        let mut waiting = VecDeque::new();
        let mut last = 0;
        for number in 0..count + in_flight {
            if number < count {
                waiting.push_back(self.send(Person::message(room, &text(number)).into_operation()).await);
            }
            if number >= in_flight
                && let Some(id) = waiting.pop_front()
            {
                match self.reply(&id).await {
                    Ok(Answer::SendMessage(sent)) => last = sent.seq,
                    other => panic!("a message was not taken: {other:?}"),
                }
            }
        }
        last
    }

    /// Sends any frame. If the stream has ended, [`Self::end`] returns why.
    pub async fn send_frame(&mut self, frame: ClientFrame) {
        if let Some(connection) = &self.connection {
            let _ = within("the frame goes out", connection.send(frame)).await;
        }
    }

    /// The answer to an earlier frame, if it has arrived.
    pub fn answered(&mut self, id: &str) -> Option<Result<Answer, Failure>> {
        self.replies.remove(id)
    }

    /// Waits for the reply to the frame with this id.
    ///
    /// # Errors
    /// The refusal.
    pub async fn reply(&mut self, id: &str) -> Result<Answer, Failure> {
        loop {
            if let Some(reply) = self.replies.remove(id) {
                return reply;
            }
            self.pump("a reply").await;
        }
    }

    /// The next event or gap, of any room.
    pub async fn item(&mut self) -> Item {
        loop {
            if let Some(item) = self.items.pop_front() {
                return item;
            }
            self.pump("an event or a gap").await;
        }
    }

    /// The next event, before any gap.
    pub async fn event(&mut self) -> Event {
        match self.item().await {
            Item::Event(event) => event,
            Item::Gap(gap) => panic!("an event was due, and came: {gap:?}"),
        }
    }

    /// The next gap, before any event.
    pub async fn gap(&mut self) -> Gap {
        match self.item().await {
            Item::Gap(gap) => gap,
            Item::Event(event) => panic!("a gap was due, and came: {event:?}"),
        }
    }

    /// Receives events and gaps until `room` has reached `seq`, and returns the events of
    /// that room.
    pub async fn events_up_to(&mut self, room: &str, seq: u64) -> Vec<Event> {
        let mut events = Vec::new();
        let mut reached = 0;
        while reached < seq {
            match self.item().await {
                Item::Event(event) if event.room_id == room => {
                    reached = event.seq;
                    events.push(event);
                }
                Item::Gap(gap) if gap.room_id == room => reached = gap.to_seq,
                _ => {}
            }
        }
        events
    }

    /// The next signal.
    pub async fn signal(&mut self) -> v1::signal::Signal {
        loop {
            if let Some(signal) = self.signals.pop_front() {
                return signal.signal.expect("a signal says something");
            }
            self.pump("a signal").await;
        }
    }

    /// Waits for the announcement that the server is draining.
    pub async fn draining(&mut self) -> Draining {
        loop {
            if let Some(draining) = self.draining.take() {
                return draining;
            }
            self.pump("draining").await;
        }
    }

    /// Waits for the announcement that the token expires.
    pub async fn expiring(&mut self) -> TokenExpiring {
        loop {
            if let Some(expiring) = self.expiring.pop_front() {
                return expiring;
            }
            self.pump("that the token expires").await;
        }
    }

    /// Replaces the token of the stream.
    ///
    /// # Errors
    /// The refusal.
    pub async fn refresh(&mut self, token: &str) -> Result<Refreshed, Failure> {
        let id = self.send(Operation::Refresh(Refresh { token: token.to_owned() })).await;
        match self.reply(&id).await? {
            Answer::Refreshed(refreshed) => Ok(refreshed),
            other => panic!("the answer is to something else: {other:?}"),
        }
    }

    /// Whether [`Self::draining`] would return immediately.
    pub fn was_sent_away(&self) -> bool {
        self.draining.is_some()
    }

    /// Reads to the end of the stream.
    pub async fn end(&mut self) -> End {
        while self.end.is_none() {
            if let Some(frame) = within("the stream ends", self.frame()).await {
                self.keep(frame);
            }
        }
        self.end.clone().expect("it has ended")
    }

    /// Waits until the connection breaks without a close from the server.
    pub async fn cut_off(&mut self) {
        let connection = self.connection.as_mut().expect("it is open");
        let broken = async {
            loop {
                match connection.recv().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("the server ended the stream"),
                    Err(ClientError::Io(_)) => return,
                    Err(error) => panic!("the server ended the stream: {error}"),
                }
            }
        };
        within("the connection breaks", broken).await;
        self.connection = None;
    }

    /// Items received but not consumed: after [`Self::end`], everything.
    pub fn untaken(&self) -> &VecDeque<Item> {
        &self.items
    }

    async fn pump(&mut self, what: &str) {
        match within(what, self.frame()).await {
            Some(frame) => self.keep(frame),
            None => panic!("the stream ended before {what}: {:?}", self.end),
        }
    }

    fn keep(&mut self, frame: Frame) {
        match frame {
            Frame::Event(event) => self.keep_item(Item::Event(event)),
            Frame::Gap(gap) => self.keep_item(Item::Gap(gap)),
            Frame::Signal(signal) => self.signals.push_back(signal),
            Frame::Reply(reply) => {
                self.replies.insert(reply.request_id.clone(), result(reply));
            }
            Frame::Draining(draining) => self.draining = Some(draining),
            Frame::TokenExpiring(expiring) => self.expiring.push_back(expiring),
            Frame::Welcome(welcome) => panic!("a second welcome: {welcome:?}"),
        }
    }

    fn keep_item(&mut self, item: Item) {
        self.contiguity.follow(&item);
        self.items.push_back(item);
    }

    /// The next frame; `None` at the end of the stream.
    async fn frame(&mut self) -> Option<Frame> {
        let error = match self.connection.as_mut()?.recv().await {
            Ok(Some(ServerFrame { frame })) => return Some(frame.expect("a frame says something")),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        self.connection = None;
        // On a WebSocket the status arrives as a last reply without a request.
        let last = self.replies.remove("").and_then(Result::err);
        self.end = Some(match error {
            None => End { failure: None, close: None },
            Some(ClientError::Closed { code, .. }) => End { failure: last, close: Some(code) },
            Some(error) => End { failure: Some(named(error)), close: None },
        });
        None
    }
}

fn in_contract(failure: parlance_client::Failure) -> Failure {
    let mut same = Failure::new(i32::from(failure.code).into(), failure.reason, failure.message);
    same.fields = failure.fields;
    same.retry_after = failure.retry_after;
    same.metadata = failure.metadata;
    same
}

fn named(error: ClientError) -> Failure {
    match error {
        ClientError::Status(failure) => in_contract(*failure),
        other => panic!("the connection broke: {other}"),
    }
}

fn result(reply: v1::Reply) -> Result<Answer, Failure> {
    match reply.result.expect("a reply says something") {
        Answer::Error(error) => match ClientError::from(error) {
            ClientError::Status(failure) => Err(in_contract(*failure)),
            other => unreachable!("an error is a status: {other}"),
        },
        answer => Ok(answer),
    }
}
