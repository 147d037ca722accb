//! A user of an XMPP server over WebSocket (RFC 7395), where one frame is one stanza: only
//! as much of the protocol as joining a room needs.

use anyhow::{Result, bail, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::peers::websocket::WebSocket;

const OPEN: &str = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>";

/// Number of login attempts.
const ATTEMPTS: usize = 3;

pub(super) struct User {
    socket: WebSocket,
    name: String,
    room: String,
    payload: String,
}

impl User {
    /// Logs in user `number` and joins the room.
    pub(super) async fn join(port: u16, number: usize, room: &str, payload: usize) -> Result<Self> {
        let name = format!("u{number}");
        let mut attempts = 0;
        let socket = loop {
            attempts += 1;
            match log_in(port, &name).await {
                Ok(socket) => break socket,
                // It occasionally closes one of a thousand new streams without logging it.
                // The measurement starts after all have joined.
                Err(_) if attempts < ATTEMPTS => {}
                Err(error) => return Err(error),
            }
        };
        let mut user = Self { socket, name, room: room.to_owned(), payload: "x".repeat(payload) };
        // The subject is the last stanza of joining (XEP-0045, 7.1).
        let Self { name, room, .. } = &user;
        let presence = format!(
            "<presence xmlns='jabber:client' to='{room}@conference.localhost/{name}'>\
             <x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>"
        );
        ask(&mut user.socket, &presence, "<subject").await?;
        Ok(user)
    }

    /// Sends `messages`, with `pipeline` in flight. One is acknowledged when the room
    /// sends it back to its sender.
    pub(super) async fn publish(&mut self, messages: u64, pipeline: u64) -> Result<()> {
        let mut sent = 0;
        for acknowledged in 0..messages {
            while sent < messages.min(acknowledged + pipeline) {
                let Self { name, room, payload, .. } = self;
                let message = format!(
                    "<message xmlns='jabber:client' to='{room}@conference.localhost' type='groupchat' \
                     id='{name}-{sent}'><body>{payload}</body></message>"
                );
                self.socket.send(message).await?;
                sent += 1;
            }
            // A room keeps the id given by the sender.
            let own = format!("id='{}-{acknowledged}'", self.name);
            while !self.message().await?.contains(&own) {}
        }
        Ok(())
    }

    pub(super) async fn read_until(&mut self, messages: u64) -> Result<()> {
        for _ in 0..messages {
            self.message().await?;
        }
        Ok(())
    }

    /// The next message of the room. There are no other senders.
    async fn message(&mut self) -> Result<Utf8Bytes> {
        loop {
            let stanza = self.socket.next().await?;
            if stanza.starts_with("<message ") {
                // Attributes come first, so an error is recognised early.
                ensure!(!stanza.contains("type='error'"), "a message came back: {stanza}");
                return Ok(stanza);
            }
            if refuses(&stanza) {
                bail!("{} has lost its stream: {stanza}", self.name);
            }
        }
    }
}

async fn log_in(port: u16, name: &str) -> Result<WebSocket> {
    let mut socket = WebSocket::connect(port, "/ws", Some("xmpp")).await?;
    ask(&mut socket, OPEN, "<stream:features").await?;
    let secret = BASE64_STANDARD.encode(format!("\0{name}\0p"));
    let auth = format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>");
    ask(&mut socket, &auth, "<success").await?;
    ask(&mut socket, OPEN, "<stream:features").await?;
    let bind = "<iq xmlns='jabber:client' type='set' id='bind'>\
                <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind></iq>";
    ask(&mut socket, bind, "<jid>").await?;
    Ok(socket)
}

/// Sends a stanza and waits for one that contains `answer`.
async fn ask(socket: &mut WebSocket, stanza: &str, answer: &str) -> Result<()> {
    socket.send(stanza).await?;
    loop {
        let said = socket.next().await?;
        if said.contains(answer) {
            return Ok(());
        }
        ensure!(!refuses(&said), "ejabberd refuses: {said}");
    }
}

fn refuses(stanza: &str) -> bool {
    stanza.starts_with("<failure")
        || stanza.starts_with("<stream:error")
        || stanza.starts_with("<close")
        || stanza.contains("type='error'")
}
