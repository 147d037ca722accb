//! Rooms restored from a backup, and the optimistic view meanwhile.

use std::time::Duration;

use parlance_client_core::state::{News, State};
use parlance_client_core::{
    CommandUpdate, Core, Input, NewCommand, Options, Output, Progress, ROOM_RESTORED, Update, optimistic,
};
use parlance_proto::v1;
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::event::Body;
use parlance_proto::v1::send_message_request::Target;
use parlance_proto::v1::server_frame::Frame;

const ROOM: &str = "r";

struct Session {
    core: Core,
    connection: u64,
    sent: Vec<Operation>,
    failed: Vec<(String, String)>,
    calls: u64,
    now: Duration,
    /// The store's answer.
    store: Result<(), String>,
}

impl Session {
    fn new() -> Self {
        Self::with(Options::default(), Ok(()))
    }

    fn with(options: Options, store: Result<(), String>) -> Self {
        let mut session = Self {
            core: Core::new(options),
            connection: 0,
            sent: Vec::new(),
            failed: Vec::new(),
            calls: 0,
            now: Duration::from_secs(1),
            store,
        };
        session.input(Input::Start);
        session
    }

    fn input(&mut self, input: Input) {
        for output in self.core.handle(self.now, input) {
            match output {
                Output::Connect { connection, .. } => self.connection = connection,
                Output::Load => self.input(Input::Loaded(self.store.clone().map(|()| Vec::new()))),
                Output::Store { number, .. } => {
                    self.input(Input::Stored { number, result: self.store.clone() });
                }
                Output::Send(frame) => self.sent.extend(frame.operation),
                Output::Update {
                    update: Update::Command(CommandUpdate::Failed { command, error }), ..
                } => {
                    self.failed.push((command.id.clone(), error.failure().unwrap().reason.clone()));
                }
                _ => {}
            }
        }
    }

    fn receive(&mut self, frame: Frame) {
        let connection = self.connection;
        self.input(Input::Received { connection, frame: v1::ServerFrame { frame: Some(frame) } });
    }

    /// Connects to a server on which the room has this epoch and head; returns the operations sent
    /// then.
    fn connect(&mut self, epoch: u64, head: u64) -> Vec<Operation> {
        self.input(Input::Wake);
        self.input(Input::Token(Ok("token".to_owned())));
        let connection = self.connection;
        self.input(Input::Connected { connection });
        self.sent.clear();
        let heads = vec![v1::Cursor { room_id: ROOM.to_owned(), seq: head, epoch }];
        let welcome = v1::Welcome { user_id: "ann".to_owned(), heads, ..Default::default() };
        self.receive(Frame::Welcome(welcome));
        std::mem::take(&mut self.sent)
    }

    fn lose(&mut self) {
        let connection = self.connection;
        self.input(Input::Lost { connection, error: None });
    }

    fn submit(&mut self, id: &str, operation: Operation) {
        self.calls += 1;
        let command = NewCommand { operation, id: id.to_owned(), written_at_millis: 1 };
        self.input(Input::Submit { id: self.calls, command });
    }
}

fn message(text: &str, reply_to_seq: u64) -> Operation {
    let (target, text) = (Some(Target::RoomId(ROOM.to_owned())), text.to_owned());
    Operation::SendMessage(v1::SendMessageRequest { target, text, reply_to_seq, ..Default::default() })
}

fn edit(seq: u64, text: &str) -> Operation {
    let (room_id, text) = (ROOM.to_owned(), text.to_owned());
    Operation::EditMessage(v1::EditMessageRequest { room_id, seq, text, ..Default::default() })
}

fn mark(seq: u64) -> Operation {
    Operation::MarkRead(v1::MarkReadRequest { room_id: ROOM.to_owned(), seq, ..Default::default() })
}

#[test]
fn messages_go_to_the_restored_room_and_what_names_an_event_does_not() {
    let mut session = Session::new();
    session.connect(1, 26);
    session.submit("first", message("an answer", 20));
    // It is in flight when the connection is lost; the others are never sent.
    assert!(matches!(&session.sent[..], [Operation::SendMessage(sent)] if sent.after_seq == Some(26)));
    session.lose();
    session.submit("edit", edit(20, "better"));
    session.submit("mark", mark(26));
    let sent = session.connect(2, 6);
    let [Operation::SendMessage(again)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(
        (again.client_message_id.as_str(), again.after_seq, again.reply_to_seq),
        ("first", Some(6), 0)
    );
    assert_eq!(session.failed, [("edit".to_owned(), ROOM_RESTORED.to_owned())]);
    let left: Vec<_> = session.core.commands().values().map(|command| command.id.as_str()).collect();
    assert_eq!(left, ["first"]);
    // The room grows, and the connection is lost once more: the operation stays unchanged.
    session.lose();
    let sent = session.connect(2, 40);
    assert!(matches!(&sent[..], [Operation::SendMessage(sent)] if sent.after_seq == Some(6)), "{sent:?}");
}

#[test]
fn a_message_waits_for_the_store_to_note_that_it_goes_to_the_restored_room() {
    let mut session = Session::with(Options { has_command_store: true, ..Options::default() }, Ok(()));
    session.connect(1, 26);
    session.submit("first", message("hi", 0));
    assert!(matches!(&session.sent[..], [Operation::SendMessage(sent)] if sent.after_seq == Some(26)));
    session.lose();
    // After another restart it would be searched for after 26, and never be found.
    session.store = Err("disk error".to_owned());
    assert_eq!(session.connect(2, 6), []);
    session.lose();
    assert_eq!(session.connect(2, 7), []);
    session.store = Ok(());
    session.now = session.core.timeout().unwrap().max(session.now + Duration::from_secs(1));
    session.input(Input::Tick);
    let sent = std::mem::take(&mut session.sent);
    assert!(matches!(&sent[..], [Operation::SendMessage(sent)] if sent.after_seq == Some(6)), "{sent:?}");
}

#[test]
fn a_store_that_was_never_read_holds_nothing_up() {
    let store = Err("locked".to_owned());
    let mut session = Session::with(Options { has_command_store: true, ..Options::default() }, store);
    session.connect(1, 26);
    session.submit("first", message("hi", 0));
    session.lose();
    let sent = session.connect(2, 6);
    assert!(matches!(&sent[..], [Operation::SendMessage(sent)] if sent.after_seq == Some(6)), "{sent:?}");
}

#[test]
fn commands_of_the_previous_user_are_not_sent() {
    let mut session = Session::new();
    session.connect(1, 1);
    session.lose();
    session.submit("anns", message("hi", 0));
    session.input(Input::Wake);
    session.input(Input::Token(Ok("token of another user".to_owned())));
    let connection = session.connection;
    session.input(Input::Connected { connection });
    session.sent.clear();
    session.receive(Frame::Welcome(v1::Welcome { user_id: "bob".to_owned(), ..Default::default() }));
    assert_eq!(session.sent, []);
    assert!(session.core.commands().is_empty());
}

#[test]
fn pending_changes_are_shown_over_confirmed_state() {
    let mut state = State::default();
    let welcome = v1::Welcome { user_id: "ann".to_owned(), ..Default::default() };
    state.apply(&News::Welcome(&welcome));
    state.apply(&News::Open { room_id: ROOM, is_open: true });
    let text = |text: &str| v1::Message { text: text.to_owned(), ..Default::default() };
    for (seq, body) in [(1, "one"), (2, "two")] {
        let event = v1::Event {
            room_id: ROOM.to_owned(),
            seq,
            actor_id: "bob".to_owned(),
            body: Some(Body::Message(text(body))),
            ..Default::default()
        };
        state.apply(&News::Event(&event));
    }
    let mut session = Session::new();
    let Operation::EditMessage(mut edited) = edit(1, "uno") else { unreachable!() };
    let flag = prost_types::Value { kind: Some(prost_types::value::Kind::BoolValue(true)) };
    edited.data = Some(prost_types::Struct { fields: [("edited".to_owned(), flag)].into() });
    session.submit("edit", Operation::EditMessage(edited));
    session.submit("echo", message("three", 0));
    session.submit(
        "leave",
        Operation::LeaveRoom(v1::LeaveRoomRequest { room_id: ROOM.to_owned(), ..Default::default() }),
    );
    let room = state.room(ROOM).unwrap();
    let view = optimistic(&room, "ann", session.core.commands());
    let shown: Vec<_> = view.messages.iter().map(|it| (it.message.text.as_str(), &it.progress)).collect();
    let sent = &Progress::Sent;
    assert_eq!(shown, [("uno", sent), ("two", sent), ("three", &Progress::Sending)]);
    assert_eq!(view.messages[0].pending[0].id, "edit");
    assert!(view.messages[0].message.data.as_ref().unwrap().fields.contains_key("edited"));
    assert!(!view.is_member);
    // The confirmed state is unchanged.
    assert_eq!(room.message(1).unwrap().text, "one");
}
