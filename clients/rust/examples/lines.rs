//! One room as plain lines, for `tools/conformance`, which documents input and output.
//!
//! `PARLANCE_TRANSPORT` selects the connection: `grpc` (the default), `websocket` (protobuf) or `websocket-json`. With
//! `PARLANCE_QUEUE`, a file, messages go through the command queue, which is stored there.
#![allow(clippy::print_stdout, reason = "the lines are the interface")]

use std::env;
use std::error::Error;
use std::io::{self, BufRead};
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use parlance_client::transport::{Dialer, Door};
use parlance_client::{
    ClientError, Config, FileCommandStore, Message, Session, TokenProvider, Update, Updates, async_trait, v1,
};
use tokio::sync::{Mutex, mpsc, watch};

/// Events of a gap read at once.
const PAGE_SIZE: u32 = 200;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let room = env::var("PARLANCE_ROOM")?;
    let (given, fresh) = mpsc::unbounded_channel();
    let tokens = Tokens { last: Mutex::new(env::var("PARLANCE_TOKEN")?), fresh: Mutex::new(fresh) };
    let mut config = Config::with_tokens(Dialer::new(door()?, env::var("PARLANCE_SERVER")?), tokens);
    let queue = env::var_os("PARLANCE_QUEUE");
    if let Some(path) = &queue {
        // Several clients of a test share an environment.
        let path = format!("{}.{}", path.to_string_lossy(), std::process::id());
        config.command_store = Some(Arc::new(FileCommandStore::new(path)));
    }
    config.cursors = vec![v1::Cursor { room_id: room.clone(), seq: 0, epoch: 0 }];
    let (session, updates) = Session::start(config);

    // Answers arrive on the same stream as updates: updates are taken as they arrive, while the printer waits for
    // pages.
    let (taken, waiting) = mpsc::unbounded_channel();
    tokio::spawn(take(updates, taken));
    let progress = watch::Sender::new(Progress::default());
    let lines = Lines { room, session: session.clone(), progress, is_queued: queue.is_some() };
    tokio::select! {
        result = lines.print_all(waiting) => result?,
        result = lines.talk(given) => result?,
    }
    session.close().await;
    Ok(())
}

fn door() -> Result<Door, String> {
    match env::var("PARLANCE_TRANSPORT").as_deref() {
        Err(_) | Ok("grpc") => Ok(Door::Grpc),
        Ok("websocket") => Ok(Door::WebSocketBinary),
        Ok("websocket-json") => Ok(Door::WebSocketJson),
        Ok(other) => Err(format!("PARLANCE_TRANSPORT={other}: grpc, websocket or websocket-json")),
    }
}

/// A token until it is refused, then those given by the input.
struct Tokens {
    last: Mutex<String>,
    fresh: Mutex<mpsc::UnboundedReceiver<String>>,
}

#[async_trait]
impl TokenProvider for Tokens {
    async fn token(&self, refused: bool) -> Result<String, String> {
        let mut last = self.last.lock().await;
        if refused {
            println!("token");
            let fresh = self.fresh.lock().await.recv().await;
            *last = fresh.ok_or_else(|| "the input has ended".to_owned())?;
        }
        Ok(last.clone())
    }
}

/// Seqs up to which the room is printed, and of the last sent message.
#[derive(Debug, Default)]
struct Progress {
    printed: u64,
    own: u64,
}

async fn take(mut updates: Updates, taken: mpsc::UnboundedSender<Update>) {
    while let Some(update) = updates.recv().await {
        if taken.send(update).is_err() {
            return;
        }
    }
}

struct Lines {
    room: String,
    session: Session,
    progress: watch::Sender<Progress>,
    /// Whether messages go through the command queue.
    is_queued: bool,
}

impl Lines {
    /// Prints the room in order: received events, and paged ones in place of gaps.
    async fn print_all(&self, mut waiting: mpsc::UnboundedReceiver<Update>) -> Result<(), ClientError> {
        let mut is_ready = false;
        while let Some(update) = waiting.recv().await {
            match update {
                Update::Connected(_) if !is_ready => {
                    is_ready = true;
                    println!("ready");
                }
                Update::Event(event) if event.room_id == self.room => self.print(&event),
                Update::Gap(gap) if gap.room_id == self.room => self.page(&gap).await?,
                Update::Violation(violation) => return Err(ClientError::Protocol(format!("{violation:?}"))),
                Update::Stopped(error) => return Err(error),
                _ => {}
            }
        }
        Err(ClientError::SessionEnded)
    }

    fn print(&self, event: &v1::Event) {
        if let Some(v1::event::Body::Message(message)) = &event.body {
            println!("event {} {} {}", event.seq, event.actor_id, message.text);
        }
        self.progress.send_modify(|progress| progress.printed = event.seq);
    }

    async fn page(&self, gap: &v1::Gap) -> Result<(), ClientError> {
        if gap.reason() == v1::GapReason::Restored {
            println!("restored");
            self.progress.send_replace(Progress::default());
        }
        let mut from_seq = gap.from_seq;
        // Open-ended: the room is temporarily unreadable.
        while from_seq != 0 && from_seq <= gap.to_seq {
            let room_id = self.room.clone();
            let request =
                v1::ListEventsRequest { room_id, from_seq, to_seq: gap.to_seq, page_size: PAGE_SIZE };
            let page = self.session.call(request).await?;
            for event in &page.events {
                self.print(event);
            }
            from_seq = page.next_from_seq;
        }
        if gap.to_seq != 0 {
            self.progress.send_modify(|progress| progress.printed = gap.to_seq);
        }
        Ok(())
    }

    /// Executes the input until it has ended and everything is answered and printed.
    async fn talk(&self, tokens: mpsc::UnboundedSender<String>) -> Result<(), Box<dyn Error>> {
        let (read, mut lines) = mpsc::unbounded_channel();
        // The runtime would wait for a reading thread of its own.
        std::thread::spawn(move || read_lines(&read));
        let mut sending = FuturesUnordered::new();
        loop {
            let line = tokio::select! {
                line = lines.recv() => line,
                Some(sent) = sending.next() => {
                    sent?;
                    continue;
                }
            };
            let Some(line) = line else { break };
            let (command, rest) = line.split_once(' ').unwrap_or((&line, ""));
            let (id, text) = rest.split_once(' ').unwrap_or((rest, ""));
            let text = match command {
                "token" => {
                    tokens.send(id.to_owned())?;
                    continue;
                }
                "json" => serde_json::from_str(text).ok(),
                _ => Some(text.to_owned()),
            };
            match text {
                Some(text) => sending.push(self.send(id.to_owned(), text)),
                // An unpaired surrogate is not valid text.
                None => println!("failed {id} malformed_text"),
            }
        }
        while let Some(sent) = sending.next().await {
            sent?;
        }
        let mut progress = self.progress.subscribe();
        progress.wait_for(|progress| progress.printed >= progress.own).await?;
        Ok(())
    }

    /// Sends a message and prints the result.
    async fn send(&self, id: String, text: String) -> Result<(), ClientError> {
        let message = Message::to_room(&self.room, text).with_id(&id);
        let sent = if self.is_queued {
            let queued = self.session.submit(v1::SendMessageRequest::from(message)).await?;
            queued.done().await.map(|sent| sent.unwrap_or_else(|| unreachable!("nothing cancels a message")))
        } else {
            self.session.send_message(message).await
        };
        match sent {
            Ok(v1::SendMessageResponse { seq, .. }) => {
                self.progress.send_modify(|progress| progress.own = progress.own.max(seq));
                println!("sent {id} {seq}");
                Ok(())
            }
            Err(ClientError::Status(failure)) => {
                println!("failed {id} {}", failure.reason);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// Lines end at line feeds only, not at other characters that look like line ends.
fn read_lines(read: &mpsc::UnboundedSender<String>) {
    for line in io::stdin().lock().split(b'\n') {
        let Ok(line) = line.map_err(drop).and_then(|line| String::from_utf8(line).map_err(drop)) else {
            return;
        };
        if read.send(line).is_err() {
            return;
        }
    }
}
