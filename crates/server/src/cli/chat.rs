//! A small terminal client: enough to try a server and to show it.

use std::collections::HashMap;
use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use parlance_client::transport::{Dialer, Door};
use parlance_client::{ClientError, Config, Message, Session, Update, create_user};
use parlance_proto::v1;
use tokio::sync::mpsc;

/// Messages of the past that are shown at first.
const HISTORY: u32 = 20;

/// Rooms looked through for one of the given title.
const PAGE: u32 = 200;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Where to talk: `#title` is a channel, created if you have none of that title;
    /// a room id is that room; anything else is a person
    target: String,

    /// Who you are; in local mode a new name makes a new user
    #[arg(long, env = "PARLANCE_USER", default_value = "me-myself")]
    user: String,

    /// The server
    #[arg(long, env = "PARLANCE_SERVER", value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    server: String,

    /// File with your token, where the server does not make one for you
    #[arg(long, env = "PARLANCE_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Connect over the WebSocket rather than gRPC
    #[arg(long)]
    websocket: bool,
}

/// Where what is typed goes.
enum Target {
    Room(String),
    Person(String),
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(chat(arguments))
}

async fn chat(arguments: Arguments) -> anyhow::Result<()> {
    let token = match &arguments.token_file {
        Some(file) => std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?
            .trim()
            .to_owned(),
        None => create_user(&arguments.server, &arguments.user, "").await.with_context(|| {
            format!("cannot sign in at {}; is the server running? (parlance serve)", arguments.server)
        })?,
    };
    if token.is_empty() {
        bail!("this server does not make tokens; give --token-file");
    }
    let door = if arguments.websocket { Door::WebSocketJson } else { Door::Grpc };
    let (session, mut updates) = Session::start(Config::new(Dialer::new(door, &arguments.server), token));
    let target = find(&session, &arguments.target).await?;
    let mut shown = Shown::default();
    if let Target::Room(room) = &target {
        shown.history(&session, room).await?;
    }
    eprintln!("talking to {}; end with Ctrl-D", arguments.target);

    let mut lines = typed_lines();
    let mut room = match &target {
        Target::Room(room) => room.clone(),
        Target::Person(_) => String::new(),
    };
    loop {
        tokio::select! {
            line = lines.recv() => match line {
                Some(line) if line.trim().is_empty() => {}
                Some(line) => {
                    let message = match &target {
                        Target::Room(room) => Message::to_room(room, line),
                        Target::Person(user) => Message::to_user(user, line),
                    };
                    match session.send_message(message).await {
                        Ok(sent) => room = sent.room_id,
                        Err(error) => eprintln!("not sent: {error}"),
                    }
                }
                None => break,
            },
            update = updates.recv() => match update {
                Some(Update::Event(event)) if room.is_empty() || event.room_id == room => shown.event(&event),
                Some(Update::Disconnected { retry_in, .. }) => {
                    eprintln!("disconnected; trying again in {} ms", retry_in.as_millis());
                }
                Some(Update::Stopped(error)) => return Err(error.into()),
                Some(_) => {}
                None => break,
            },
        }
    }
    // What was sent last comes back as an event: show it before going.
    while let Ok(update) = updates.try_recv() {
        if let Update::Event(event) = update {
            shown.event(&event);
        }
    }
    Ok(())
}

/// Finds the room or person, joining or creating a channel.
async fn find(session: &Session, target: &str) -> anyhow::Result<Target> {
    if let Some(title) = target.strip_prefix('#') {
        return Ok(Target::Room(channel(session, title).await?));
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
        Err(_) => {
            session.call(v1::GetUserRequest { user_id: id.clone() }).await.map_err(|error| {
                anyhow::Error::from(error).context(format!("{target} is neither a room nor a person"))
            })?;
            Ok(Target::Person(id))
        }
    }
}

async fn channel(session: &Session, title: &str) -> Result<String, ClientError> {
    let mut page_token = String::new();
    loop {
        let request = v1::ListRoomsRequest { page_size: PAGE, page_token, include_left: false };
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
        })
        .await?;
    let room = created.room.unwrap_or_default();
    eprintln!("created a channel; others join it with: parlance chat {} --user NAME", room.room_id);
    Ok(room.room_id)
}

/// A request id that is the same for the same title.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Lines from the terminal, read by a thread of their own: a read cannot be cancelled.
fn typed_lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// What was shown already: history and stream overlap.
#[derive(Default)]
struct Shown(HashMap<String, u64>);

impl Shown {
    async fn history(&mut self, session: &Session, room: &str) -> Result<(), ClientError> {
        let request =
            v1::ListMessagesRequest { room_id: room.to_owned(), page_size: HISTORY, ..Default::default() };
        for event in session.call(request).await?.messages {
            self.event(&event);
        }
        Ok(())
    }

    fn event(&mut self, event: &v1::Event) {
        use v1::event::Body;

        let last = self.0.entry(event.room_id.clone()).or_insert(0);
        if event.seq <= *last {
            return;
        }
        *last = event.seq;
        let at = event.at.as_ref().map_or(0, |at| at.seconds).rem_euclid(24 * 3600);
        let time = format!("{:02}:{:02}", at / 3600, at / 60 % 60);
        let who = &event.actor_id;
        match &event.body {
            Some(Body::Message(message)) if message.deleted => println!("{time} {who}: (deleted)"),
            Some(Body::Message(message)) => println!("{time} {who}: {}", printable(&message.text)),
            Some(Body::MessageEdited(edited)) => {
                println!("{time} {who} corrected #{}: {}", edited.target_seq, printable(&edited.text));
            }
            Some(Body::MessageDeleted(deleted)) => println!("{time} {who} deleted #{}", deleted.target_seq),
            Some(Body::MemberAdded(added)) => println!("{time} * {} is here now", added.user_id),
            Some(Body::MemberRemoved(removed)) => println!("{time} * {} has gone", removed.user_id),
            _ => {}
        }
    }
}

/// Text that may be anyone's, without what a terminal would obey.
fn printable(text: &str) -> String {
    let clean = |c: char| if c.is_control() && c != '\n' { '\u{fffd}' } else { c };
    if std::io::stdout().is_terminal() { text.chars().map(clean).collect() } else { text.to_owned() }
}
