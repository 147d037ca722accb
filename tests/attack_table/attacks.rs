//! The attacks. Each runs until it is stopped.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;

use crate::seen::Seen;
use crate::{http1, http2, websocket};

/// Where an attack goes, and with what.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// The attacker's own.
    pub(crate) token: String,
    /// A room that the attacker is a member of.
    pub(crate) room: String,
    pub(crate) seen: Seen,
}

type Run = fn(Target) -> Pin<Box<dyn Future<Output = ()> + Send>>;

pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// How many run at once.
    pub(crate) attackers: usize,
    pub(crate) run: Run,
}

macro_rules! attacks {
    ($($name:literal, $attackers:literal, $run:path;)+) => {
        pub(crate) const ATTACKS: &[Attack] =
            &[$(Attack { name: $name, attackers: $attackers, run: |target| Box::pin($run(target)) }),+];
    };
}

attacks! {
    "answers that nobody reads", 10, http2::unread_answers;
    "pages that nobody reads", 8, http2::unread_pages;
    "bodies that stall", 8, http2::stalled_bodies;
    "half header blocks", 100, http2::half_headers;
    "streams of Chat without hello", 8, http2::silent_streams;
    "slow headers", 150, http1::slow_headers;
    "slow bodies", 50, http1::slow_bodies;
    "probes in a row", 4, http1::probes;
    "slow handshakes", 50, websocket::slow_handshakes;
    "rapid reset", 4, http2::rapid_reset;
    "MadeYouReset", 4, http2::made_you_reset;
    "CONTINUATION without end", 4, http2::continuations;
    "HPACK bomb", 4, http2::compressed;
    "many header fields", 150, http2::many_fields;
    "unknown frames", 4, http2::unknown_frames;
    "PING", 4, http2::pings;
    "PRIORITY", 4, http2::priorities;
    "SETTINGS", 4, http2::settings_flood;
    "WINDOW_UPDATE", 4, http2::window_updates;
    "empty DATA", 4, http2::empty_data;
    "tiny DATA", 4, http2::tiny_data;
    "1,500 connections", 1500, http1::idle_connections;
    "giant frames", 4, websocket::giant_frames;
    "frames beyond the limit", 4, websocket::too_large_frames;
    "tiny fragments", 4, websocket::tiny_fragments;
    "pings of a member", 4, websocket::pings;
    "deep JSON", 4, websocket::deep;
    "wide JSON", 4, websocket::wide;
    "pages over WebSocket that nobody reads", 8, websocket::unread_pages;
    "reconnect storm", 16, websocket::reconnects;
    "room spam", 8, http1::rooms;
    "message flood in the room of the pair", 4, websocket::messages;
}

impl Target {
    /// From an address of its own, so that what counts by address does not count against the pair.
    pub(crate) async fn connect(&self) -> TcpStream {
        self.connect_from(2).await
    }

    /// Again until it is accepted by the system.
    pub(crate) async fn connect_from(&self, last: u8) -> TcpStream {
        loop {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_recv_buffer_size(4 * 1024).unwrap();
            socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into()).unwrap();
            if let Ok(io) = socket.connect(self.address).await {
                self.seen.count("connected");
                return io;
            }
            self.seen.count("not connected");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sends the same again until the server ends the connection.
    pub(crate) async fn flood(&self, mut io: impl AsyncWrite + Unpin, bytes: &[u8]) {
        while io.write_all(bytes).await.is_ok() {}
        self.seen.count("cut off");
    }

    /// Sends a byte now and then until the server ends the connection.
    pub(crate) async fn trickle(&self, mut io: impl AsyncWrite + Unpin, byte: &[u8]) {
        while io.write_all(byte).await.is_ok() {
            sleep(Duration::from_millis(500)).await;
        }
        self.seen.count("cut off");
    }
}
