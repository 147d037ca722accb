//! A small terminal client: enough to try a server and to show it.

use std::io::{BufRead, IsTerminal};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::bail;
use clap::Args;
use parlance_client::transport::Door;
use parlance_client::{ClientError, Code, Config, Message, Session, Update, Updates};
use parlance_proto::v1;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::remote::{LOCAL, Remote};
use super::say::say;
use crate::limits::{CHAT_HISTORY, CHAT_LAST_WORDS, CHAT_ROOMS_PAGE, TYPED_LINES};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Room or person to chat with: `#title` is a channel, created if you have none with that title; a room id is
    /// that room; anything else is a user id
    target: String,

    /// Your user id; in local mode a new id creates a user
    #[arg(long, env = "PARLANCE_USER", default_value = "guest")]
    user: String,

    #[command(flatten)]
    remote: Remote,

    /// Connect over the WebSocket rather than gRPC
    #[arg(long)]
    websocket: bool,
}

/// Destination of typed messages.
enum Target {
    Room(String),
    Person(String),
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(chat(arguments))
}

async fn chat(arguments: Arguments) -> anyhow::Result<()> {
    let token = arguments.remote.token(&arguments.user).await?;
    let door = if arguments.websocket { Door::WebSocketJson } else { Door::Grpc };
    let (session, updates) = Session::start(Config::new(arguments.remote.dialer(door)?, token));
    let shown = Arc::new(Mutex::new(Shown::default()));
    let (stop, mut stopped) = oneshot::channel();
    tokio::spawn(show(updates, shown.clone(), stop));
    let target = match enter(&session, &arguments, &shown).await {
        Ok(target) => target,
        // The reason for the end is reported separately from the failed call.
        Err(error) if matches!(error.downcast_ref(), Some(ClientError::SessionEnded)) => {
            return Err(arguments.remote.cannot_connect(stopped.await?));
        }
        Err(error) => return Err(error),
    };
    eprintln!("talking to {}; /help lists the commands, Ctrl-D ends", arguments.target);

    let mut lines = typed_lines();
    loop {
        tokio::select! {
            line = lines.recv() => match line {
                Some(line) if line.trim().is_empty() => {}
                Some(line) if line.trim() == "/quit" => break,
                Some(line) if line.starts_with('/') && !line.starts_with("//") => {
                    eprintln!("/quit ends; a line that begins with // is sent with one /");
                }
                Some(line) => {
                    let line = line.strip_prefix('/').map_or_else(|| line.clone(), ToOwned::to_owned);
                    let message = match &target {
                        Target::Room(room) => Message::to_room(room, line),
                        Target::Person(user) => Message::to_user(user, line),
                    };
                    match session.send_message(message).await {
                        Ok(sent) => shown.lock().unwrap_or_else(PoisonError::into_inner).sent(&sent),
                        Err(error) => eprintln!("not sent: {error}"),
                    }
                }
                None => break,
            },
            stopped = &mut stopped => return Err(stopped?.into()),
        }
    }
    // The last message returns as an event: show it before exiting.
    let mut last = shown.lock().unwrap_or_else(PoisonError::into_inner).last_seen();
    let caught_up = async {
        while last.changed().await.is_ok() {
            if shown.lock().unwrap_or_else(PoisonError::into_inner).is_caught_up() {
                return;
            }
        }
    };
    let is_caught_up = shown.lock().unwrap_or_else(PoisonError::into_inner).is_caught_up();
    if !is_caught_up {
        let _ = timeout(CHAT_LAST_WORDS, caught_up).await;
    }
    Ok(())
}

/// Opens the room or looks up the person, and shows the last messages.
async fn enter(session: &Session, arguments: &Arguments, shown: &Mutex<Shown>) -> anyhow::Result<Target> {
    let target = find(session, &arguments.remote.server, &arguments.target).await?;
    if let Target::Room(room) = &target {
        let request =
            v1::ListMessagesRequest { room_id: room.clone(), page_size: CHAT_HISTORY, ..Default::default() };
        let history = session.call(request).await?.messages;
        shown.lock().unwrap_or_else(PoisonError::into_inner).open(room, &history);
    }
    Ok(target)
}

/// Shows events while waiting for something else: the session has one stream for answers and events, and stalls
/// unless it is read.
async fn show(mut updates: Updates, shown: Arc<Mutex<Shown>>, stopped: oneshot::Sender<ClientError>) {
    while let Some(update) = updates.recv().await {
        match update {
            Update::Event(event) => shown.lock().unwrap_or_else(PoisonError::into_inner).event(&event),
            Update::Disconnected { error, retry_in } => {
                let why = error.map(|error| format!(" ({error})")).unwrap_or_default();
                eprintln!("disconnected{why}; trying again in {} ms", retry_in.as_millis());
            }
            Update::Stopped(error) => {
                let _ = stopped.send(error);
                return;
            }
            _ => {}
        }
    }
}

/// Finds the room or person, joining or creating a channel.
async fn find(session: &Session, server: &str, target: &str) -> anyhow::Result<Target> {
    if let Some(title) = target.strip_prefix('#') {
        return Ok(Target::Room(channel(session, server, title).await?));
    }
    let id = target.to_owned();
    match session.call(v1::GetRoomRequest { room_id: id.clone() }).await {
        Ok(found) => {
            if !found.membership.is_some_and(|member| member.active) {
                let request_id = format!("join-{}", std::process::id());
                session
                    .call(v1::JoinRoomRequest { room_id: id.clone(), request_id, after_seq: None })
                    .await?;
            }
            Ok(Target::Room(id))
        }
        // Not a room id, or not a member.
        Err(ClientError::Status(failure))
            if matches!(failure.code, Code::NotFound | Code::PermissionDenied | Code::InvalidArgument) =>
        {
            match session.call(v1::GetUserRequest { user_id: id.clone() }).await {
                Ok(_) => {}
                Err(ClientError::Status(failure)) if failure.code == Code::NotFound => {
                    // Where strangers see no profiles, the first message tells whether there is one.
                    if session.call(v1::GetServerRequest {}).await?.open_profiles {
                        bail!("no room or user named {target}");
                    }
                }
                Err(error) => return Err(error.into()),
            }
            let me = session.call(v1::GetUserRequest { user_id: "me".to_owned() }).await?;
            if me.user.is_some_and(|me| me.user_id == id) {
                bail!("you are {id}: a direct room is between two people");
            }
            Ok(match direct_room(session, &id).await? {
                Some(room) => Target::Room(room),
                None => Target::Person(id),
            })
        }
        Err(error) => Err(error.into()),
    }
}

/// The existing direct room of both users, if there is one.
async fn direct_room(session: &Session, user: &str) -> Result<Option<String>, ClientError> {
    let mut page_token = String::new();
    loop {
        let page = session
            .call(v1::ListInboxRequest { page_size: CHAT_ROOMS_PAGE, page_token, ..Default::default() })
            .await?;
        if let Some(entry) = page.entries.into_iter().find(|entry| entry.peer_id == user) {
            return Ok(entry.room.map(|room| room.room_id));
        }
        if page.next_page_token.is_empty() {
            return Ok(None);
        }
        page_token = page.next_page_token;
    }
}

async fn channel(session: &Session, server: &str, title: &str) -> Result<String, ClientError> {
    let mut page_token = String::new();
    loop {
        let request = v1::ListRoomsRequest { page_size: CHAT_ROOMS_PAGE, page_token, ..Default::default() };
        let page = session.call(request).await?;
        for room in page.rooms {
            let same = room.settings.as_ref().is_some_and(|settings| settings.title == title);
            if same && room.kind() == v1::RoomKind::Channel {
                return Ok(room.room_id);
            }
        }
        if page.next_page_token.is_empty() {
            break;
        }
        page_token = page.next_page_token;
    }
    let created = session
        .call(v1::CreateRoomRequest {
            kind: v1::RoomKind::Channel.into(),
            settings: Some(v1::RoomSettings { title: title.to_owned(), ..Default::default() }),
            member_ids: Vec::new(),
            request_id: format!("channel-{:016x}", fnv(title.as_bytes())),
            ..Default::default()
        })
        .await?;
    let room = created.room.unwrap_or_default();
    let elsewhere = if server == LOCAL { String::new() } else { format!(" --server {server}") };
    eprintln!(
        "created a channel; others join it with: parlance chat {} --user NAME{elsewhere}",
        room.room_id
    );
    Ok(room.room_id)
}

/// A request id derived from the title, so that a retry finds the same room.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Lines from the terminal, read by a separate thread, since a read cannot be cancelled.
fn typed_lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(TYPED_LINES);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Tracks what was shown: history, stream and own messages overlap.
struct Shown {
    /// The open room; nothing is shown before it is known.
    room: String,
    /// The last event shown.
    last: watch::Sender<u64>,
    /// The last message sent from here.
    sent: u64,
}

impl Default for Shown {
    fn default() -> Self {
        Self { room: String::new(), last: watch::Sender::new(0), sent: 0 }
    }
}

impl Shown {
    fn open(&mut self, room: &str, history: &[v1::Event]) {
        room.clone_into(&mut self.room);
        for event in history {
            self.event(event);
        }
    }

    /// Sets the room, which the first message to a person creates.
    fn sent(&mut self, sent: &v1::SendMessageResponse) {
        self.room.clone_from(&sent.room_id);
        self.sent = sent.seq;
    }

    fn last_seen(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }

    fn is_caught_up(&self) -> bool {
        *self.last.borrow() >= self.sent
    }

    fn event(&mut self, event: &v1::Event) {
        use v1::event::Body;

        if event.room_id != self.room || event.seq <= *self.last.borrow() {
            return;
        }
        self.last.send_replace(event.seq);
        let at = event.at.as_ref().map_or(0, |at| at.seconds).rem_euclid(24 * 3600);
        let time = format!("{:02}:{:02}", at / 3600, at / 60 % 60);
        let who = &event.actor_id;
        let said = match &event.body {
            Some(Body::Message(message)) if message.deleted => say!("{time} {who}: (deleted)"),
            Some(Body::Message(message)) => say!("{time} {who}: {}", printable(&message.text)),
            Some(Body::MessageEdited(edited)) => {
                say!("{time} {who} corrected #{}: {}", edited.target_seq, printable(&edited.text))
            }
            Some(Body::MessageDeleted(deleted)) => say!("{time} {who} deleted #{}", deleted.target_seq),
            Some(Body::MemberAdded(added)) => say!("{time} * {} is here now", added.user_id),
            Some(Body::MemberRemoved(removed)) => say!("{time} * {} has gone", removed.user_id),
            _ => Ok(()),
        };
        // Whoever reads it no more may still type.
        drop(said);
    }
}

/// Untrusted text without terminal control sequences.
fn printable(text: &str) -> String {
    let clean = |c: char| if c.is_control() && c != '\n' { '\u{fffd}' } else { c };
    if std::io::stdout().is_terminal() { text.chars().map(clean).collect() } else { text.to_owned() }
}
