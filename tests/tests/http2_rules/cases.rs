//! Cases: what a client sends, and what the RFCs let the server do about it.

use parlance_tests::Server;

use super::peer::{Code, Got, Peer};
use super::wire::{PREFACE, settings};

/// What the server does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Outcome {
    /// Nothing: the connection goes on.
    Works,
    /// It answers the stream with this status, and the connection goes on.
    Answer(u16),
    /// It resets the stream, and the connection goes on.
    Reset(Code),
    /// It says why, and closes the connection.
    Goaway(Code),
    /// It closes the connection.
    Closed,
}

/// Any of these is allowed.
pub(super) type Allowed = Vec<Outcome>;

pub(super) fn works() -> Allowed {
    vec![Outcome::Works]
}

pub(super) fn answer(status: u16) -> Allowed {
    vec![Outcome::Answer(status)]
}

pub(super) fn connection_error(code: Code) -> Allowed {
    vec![Outcome::Goaway(code)]
}

/// RFC 9113, 5.4.2: it may be treated as an error of the connection.
pub(super) fn stream_error(code: Code) -> Allowed {
    vec![Outcome::Reset(code), Outcome::Goaway(code)]
}

/// RFC 9113, 8.1.1: a malformed request is a stream error, and may be answered before.
pub(super) fn malformed() -> Allowed {
    [stream_error(Code::Protocol), answer(400)].concat()
}

/// One or the other.
pub(super) fn either(one: Allowed, other: Allowed) -> Allowed {
    [one, other].concat()
}

struct Case {
    name: String,
    /// Sent instead of the preface and empty settings.
    is_raw: bool,
    sent: Vec<u8>,
    /// The stream that the outcome is about.
    stream: u32,
    allowed: Allowed,
    /// What the library does instead, and why we leave it.
    library: Option<(Outcome, &'static str)>,
}

/// A table of cases.
#[derive(Default)]
pub(super) struct Cases(Vec<Case>);

impl Cases {
    pub(super) fn add(
        &mut self,
        name: impl Into<String>,
        sent: impl IntoIterator<Item = Vec<u8>>,
        allowed: Allowed,
    ) -> &mut Self {
        let sent = sent.into_iter().collect::<Vec<_>>().concat();
        self.0.push(Case { name: name.into(), is_raw: false, sent, stream: 1, allowed, library: None });
        self
    }

    /// Without a preface before.
    pub(super) fn raw(
        &mut self,
        name: &str,
        sent: impl IntoIterator<Item = Vec<u8>>,
        allowed: Allowed,
    ) -> &mut Self {
        self.add(name, sent, allowed);
        self.0.last_mut().expect("it was just added").is_raw = true;
        self
    }

    /// The outcome of the last case is about this stream instead of the first.
    pub(super) fn on(&mut self, stream: u32) -> &mut Self {
        self.0.last_mut().expect("a case").stream = stream;
        self
    }

    /// In the last case the library does this instead.
    pub(super) fn but(&mut self, outcome: Outcome, why: &'static str) -> &mut Self {
        self.0.last_mut().expect("a case").library = Some((outcome, why));
        self
    }

    /// Runs each on a connection of its own, and says all that fail.
    pub(super) async fn run(self) {
        let server = Server::start().await;
        let count = self.0.len();
        let mut failed = Vec::new();
        for case in self.0 {
            println!("case {}", case.name);
            let outcome = case.outcome(&server).await;
            let expected = match case.library {
                None => case.allowed.contains(&outcome),
                // If the library changes, the table changes.
                Some((library, _)) => outcome == library && !case.allowed.contains(&library),
            };
            if !expected {
                let Case { name, allowed, library, .. } = case;
                failed.push(format!("{name}: {outcome:?}, allowed {allowed:?}, library {library:?}"));
            }
        }
        assert!(failed.is_empty(), "{} of {count} cases:\n{}", failed.len(), failed.join("\n"));
        println!("{count} cases");
    }
}

impl Case {
    async fn outcome(&self, server: &Server) -> Outcome {
        let mut peer = match self.is_raw {
            true => Peer::silent(server).await,
            false => Peer::connect(server, &[]).await,
        };
        peer.send(&self.sent).await;
        let outcome = self.first(&mut peer).await;
        match outcome {
            Outcome::Goaway(_) => {
                while let Some(got) = peer.got().await {
                    assert!(!matches!(got, Got::PingAck(_)), "{}: it goes on after GOAWAY", self.name);
                }
            }
            Outcome::Closed => {}
            // An error that comes late.
            _ => {
                for got in peer.until_pong(b"the last").await {
                    if let Got::Goaway(_, code) = got {
                        return Outcome::Goaway(code);
                    }
                    if let Got::Reset(stream, code) = got
                        && (stream, outcome) == (self.stream, Outcome::Works)
                    {
                        return Outcome::Reset(code);
                    }
                }
            }
        }
        outcome
    }

    /// The first that is an outcome.
    async fn first(&self, peer: &mut Peer) -> Outcome {
        let expected = || self.allowed.iter().copied().chain(self.library.map(|(outcome, _)| outcome));
        let is_answered = expected().any(|outcome| matches!(outcome, Outcome::Answer(_)));
        // Resets and answers may come after a later ping is answered; other errors come before.
        let waits = !expected().any(|outcome| outcome == Outcome::Works)
            && expected().any(|outcome| matches!(outcome, Outcome::Answer(_) | Outcome::Reset(_)));
        peer.send(&super::wire::ping(b"the ping")).await;
        while let Some(got) = peer.got().await {
            match got {
                Got::Goaway(last, code) => {
                    assert!(last <= 1_000 || code == Code::NoError, "{}: {last}", self.name);
                    return Outcome::Goaway(code);
                }
                Got::Reset(stream, code) if stream == self.stream => return Outcome::Reset(code),
                Got::Headers { stream, status: Some(status), .. } if stream == self.stream && is_answered => {
                    return Outcome::Answer(status);
                }
                Got::PingAck(_) if !waits => return Outcome::Works,
                _ => {}
            }
        }
        Outcome::Closed
    }
}

/// The preface and these settings.
pub(super) fn preface(values: &[(u16, u32)]) -> Vec<u8> {
    [PREFACE.to_vec(), settings(values)].concat()
}
