//! A room full of listeners, and its sender.

use std::time::Duration;

use anyhow::{Context, Result};
use parlance_client::transport::{Connection, Door};
use parlance_faults::Certificate;
use parlance_proto::v1;
use tokio::time::Instant;

use super::effort::{Effort, text};
use super::load::{At, Bare, BareSender, BareServer, Listeners, Trust, Way};
use super::raw::{Creator, answer, connect, create_users, message};
use crate::processes;
use parlance_testbed::{ServerProcess, free_ports};

/// Unacknowledged messages of the sender at maximum load.
pub(super) const PIPELINE: usize = 64;

/// Messages before the measurement starts.
const WARM_UP: u64 = 20;

/// A server with one room, and a baseline server.
pub(super) struct Room {
    pub(super) server: ServerProcess,
    /// The address for plain text: the same one, unless clients use TLS.
    control: String,
    trust: Option<(Trust, Certificate)>,
    bare: BareServer,
    /// The last message: new listeners receive only later ones.
    known: v1::Cursor,
    sender: String,
    pub(super) tokens: Vec<String>,
    /// Distinguishes the messages of rounds.
    round: u64,
}

/// The sender, to the room or to the baseline server.
enum Sender {
    Room(Box<Connection>),
    Bare(BareSender),
}

/// A round of messages sent one at a time.
pub(super) struct Paced {
    /// Microseconds of the server's processor time per delivery.
    pub(super) cpu: f64,
    /// Milliseconds from sending until all listeners have it, in ascending order.
    pub(super) latencies: Vec<f64>,
}

impl Room {
    pub(super) async fn fill(effort: &Effort, members: usize) -> Result<Self> {
        let server = Box::pin(ServerProcess::start(&effort.server, &[])).await?;
        let control = server.address().to_owned();
        Self::fill_at(server, control, None, members).await
    }

    /// Like `fill`, with TLS for listeners.
    pub(super) async fn fill_with_tls(effort: &Effort, members: usize) -> Result<Self> {
        let certificate = Certificate::new()?;
        let (path, key) = (certificate.path(), certificate.key());
        // The setup and the sender connect like a bridge would, in plain text.
        let control = format!("127.0.0.1:{}", free_ports()?.0);
        let options = ["--tls-certificate", &path.to_string_lossy(), "--tls-key", &key.to_string_lossy()];
        let options = [&options[..], &["--edge-listen", &control]].concat();
        let server = Box::pin(ServerProcess::start(&effort.server, &options)).await?;
        Self::fill_at(server, control, Some((Trust::new(&certificate)?, certificate)), members).await
    }

    async fn fill_at(
        server: ServerProcess,
        control: String,
        trust: Option<(Trust, Certificate)>,
        members: usize,
    ) -> Result<Self> {
        let ids: Vec<_> = (0..=members).map(|user| format!("fan:{user}")).collect();
        let mut tokens = create_users(&control, &ids).await?;
        let id = Creator::new(&control).await?.room("fan-out", &ids).await?;
        let sender = tokens.pop().context("there is a sender")?;
        let mut first = connect(&control, Door::Grpc, &sender).await?;
        first.send(message(&id, "first", &text(), None)).await?;
        let known = v1::Cursor { room_id: id, seq: answer(&mut first).await?, epoch: 1 };
        let bare = BareServer::start(Bare::Tcp).await?;
        Ok(Self { server, control, trust, bare, known, sender, tokens, round: 0 })
    }

    pub(super) async fn listeners(&mut self, way: Way) -> Result<Listeners> {
        if let Way::Bare(bare) = way {
            // It only notices closed connections when it writes to them.
            self.bare = BareServer::start(bare).await?;
        }
        let at = if matches!(way, Way::Bare(_)) {
            self.bare.address().into()
        } else {
            At { address: self.server.address(), trust: self.trust.as_ref().map(|(trust, _)| trust) }
        };
        Listeners::open(way, at, self.with_what_is_known(&self.tokens)).await
    }

    /// These members, with their cursors in the room.
    pub(super) fn with_what_is_known<'a>(
        &'a self,
        tokens: &'a [String],
    ) -> impl Iterator<Item = (&'a String, Option<&'a v1::Cursor>)> {
        tokens.iter().map(|token| (token, Some(&self.known)))
    }

    async fn sender(&self, way: Way) -> Result<Sender> {
        Ok(match way {
            Way::Bare(_) => Sender::Bare(self.bare.sender().await?),
            _ => Sender::Room(Box::new(connect(&self.control, Door::Grpc, &self.sender).await?)),
        })
    }

    fn cpu(&self, way: Way) -> Result<Duration> {
        processes::cpu(if matches!(way, Way::Bare(_)) { self.bare.pid()? } else { self.server.pid()? })
    }

    /// Sends one message after the other, each once all listeners have the previous one.
    pub(super) async fn paced(&mut self, way: Way, listeners: &Listeners, messages: u64) -> Result<Paced> {
        let mut sender = self.sender(way).await?;
        self.round += 1;
        let each = listeners.len() as u64;
        let before = listeners.tally.events();
        let mut latencies = Vec::with_capacity(messages as usize);
        let mut cpu = Duration::ZERO;
        for number in 0..WARM_UP + messages {
            if number == WARM_UP {
                cpu = self.cpu(way)?;
            }
            let began = Instant::now();
            match &mut sender {
                Sender::Bare(sender) => sender.send().await?,
                Sender::Room(sender) => {
                    let id = format!("{}-{number}", self.round);
                    sender.send(message(&self.known.room_id, &id, &text(), Some(self.known.seq))).await?;
                }
            }
            listeners.tally.reach(before + (number + 1) * each).await?;
            if number >= WARM_UP {
                latencies.push(began.elapsed().as_secs_f64() * 1e3);
            }
            if let Sender::Room(sender) = &mut sender {
                self.known.seq = answer(sender).await?;
            }
        }
        let cpu = self.cpu(way)?.saturating_sub(cpu);
        latencies.sort_by(f64::total_cmp);
        Ok(Paced { cpu: cpu.as_secs_f64() * 1e6 / (messages * each) as f64, latencies })
    }

    /// Sends as fast as messages are acknowledged; returns deliveries per second, and
    /// microseconds of the server's processor time per delivery.
    pub(super) async fn saturated(&mut self, way: Way, messages: u64) -> Result<(f64, f64)> {
        let listeners = self.listeners(way).await?;
        let mut sender = self.sender(way).await?;
        self.round += 1;
        let deliveries = messages * listeners.len() as u64;
        let (cpu, began) = (self.cpu(way)?, Instant::now());
        let sent = async {
            match &mut sender {
                Sender::Bare(sender) => {
                    for _ in 0..messages {
                        sender.send().await?;
                    }
                    anyhow::Ok(())
                }
                Sender::Room(sender) => pipelined(sender, &mut self.known, self.round, messages).await,
            }
        };
        let (sent, all) = tokio::join!(sent, listeners.tally.reach(deliveries));
        sent?;
        all?;
        let (elapsed, cpu) = (began.elapsed(), self.cpu(way)?.saturating_sub(cpu));
        listeners.close().await;
        Ok((deliveries as f64 / elapsed.as_secs_f64(), cpu.as_secs_f64() * 1e6 / deliveries as f64))
    }
}

async fn pipelined(sender: &mut Connection, known: &mut v1::Cursor, round: u64, messages: u64) -> Result<()> {
    let text = text();
    let mut unanswered = 0;
    for number in 0..messages {
        let id = format!("{round}-{number}");
        sender.send(message(&known.room_id, &id, &text, Some(known.seq))).await?;
        unanswered += 1;
        while unanswered >= PIPELINE || (number + 1 == messages && unanswered > 0) {
            known.seq = known.seq.max(answer(sender).await?);
            unanswered -= 1;
        }
    }
    Ok(())
}
