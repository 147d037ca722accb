//! Tokens and keys that change while sessions are open: new tokens for a stream, key files that are replaced, and
//! an issuer that publishes its keys and rotates them, stalls, lies and disappears.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use std::time::Duration;

use parlance_proto::v1;
use parlance_tests::{
    Conversation, DOORS, Door, Server, Signer, claims, eventually, now, refused, run_to_end,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tonic::Code;

const SECRET: &[u8] = b"a secret of more than 32 bytes: 0123456789";
const OTHER: &[u8] = b"another secret of more than 32 bytes: 01234";

/// The clock difference that is allowed by default, with which tokens last longer.
const SKEW: i64 = 60;

/// Seconds of a token that expires soon, though not before a busy machine has used it.
const SHORT: i64 = 15;

struct Keyed {
    server: Server,
    signer: Signer,
    dir: TempDir,
}

impl Keyed {
    async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("key");
        std::fs::write(&file, SECRET).unwrap();
        let server = Server::start_with(&["--jwt-secret-file", file.to_str().unwrap()]).await;
        Self { server, signer: Signer::Hs256(SECRET.to_vec()), dir }
    }

    /// A token with an id of its own, for `seconds` from now.
    fn token(&self, user: &str, id: &str, seconds: i64) -> String {
        let mut claims = claims(user, now().saturating_add_signed(seconds));
        claims["jti"] = id.into();
        self.signer.token(&claims)
    }

    async fn revoke(&self, id: &str) {
        let output = run_to_end(&["revoke", "--admin", &self.server.admin(), "--token-id", id]).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

async fn whoami(server: &Server, token: &str) -> Result<(), String> {
    let answer = server.http().get("/v1/users/me").bearer(token).answer().await;
    if answer.status == 200 { Ok(()) } else { Err(answer.refused().1) }
}

fn refusal(reason: &str) -> (Code, String) {
    (Code::Unauthenticated, reason.to_owned())
}

async fn works(conversation: &mut Conversation) {
    conversation.call(v1::ListRoomsRequest::default()).await.unwrap();
}

#[tokio::test]
async fn a_session_outlives_its_token_through_every_door() {
    let keyed = Keyed::start().await;
    let short = keyed.token("alice", "short", SHORT - SKEW);
    let mut conversations = Vec::new();
    for door in DOORS {
        let opened = Conversation::open(&keyed.server.address(), &short, door, &[]).await;
        conversations.push((door, opened.unwrap()));
    }
    for (door, conversation) in &mut conversations {
        let expiring = conversation.expiring().await;
        assert!(expiring.expires_after.unwrap().seconds < SHORT, "{expiring:?}");
        let refreshed = conversation.refresh(&keyed.token("alice", &door.to_string(), 3_600)).await.unwrap();
        assert!(refreshed.expires_after.unwrap().seconds > 3_500, "{refreshed:?}");
    }
    eventually("the first token has expired", async || whoami(&keyed.server, &short).await.err()).await;
    for (door, conversation) in &mut conversations {
        works(conversation).await;
        // It lasts as long as its new token, and no longer.
        keyed.revoke(&door.to_string()).await;
        assert_eq!(conversation.end().await.failure.unwrap().reason, "token_revoked", "through {door}");
    }
}

#[tokio::test]
async fn revoking_a_token_that_was_replaced_ends_nothing() {
    let keyed = Keyed::start().await;
    let open = async |door: Door, id: &str| {
        let token = keyed.token("alice", id, 3_600);
        Conversation::open(&keyed.server.address(), &token, door, &[]).await.unwrap()
    };
    for door in DOORS {
        let (id, newer) = (format!("old-{door}"), format!("new-{door}"));
        let (mut refreshed, mut left) = (open(door, &id).await, open(door, &id).await);
        refreshed.refresh(&keyed.token("alice", &newer, 3_600)).await.unwrap();
        keyed.revoke(&id).await;
        assert_eq!(left.end().await.failure.unwrap().reason, "token_revoked", "through {door}");
        works(&mut refreshed).await;
    }
}

#[tokio::test]
async fn a_token_that_is_not_accepted_changes_nothing() {
    let keyed = Keyed::start().await;
    let mine = keyed.token("alice", "mine", 3_600);
    for door in DOORS {
        let mut conversation = Conversation::open(&keyed.server.address(), &mine, door, &[]).await.unwrap();
        for (token, expected) in [
            (keyed.token("bob", "his", 3_600), (Code::InvalidArgument, "invalid_field".to_owned())),
            (keyed.token("alice", "late", -3_600), refusal("token_expired")),
            (Signer::Hs256(OTHER.to_vec()).token(&claims("alice", now() + 60)), refusal("token_invalid")),
            (String::new(), refusal("token_invalid")),
        ] {
            assert_eq!(refused(conversation.refresh(&token).await), expected, "through {door}");
        }
        works(&mut conversation).await;
    }
    keyed.revoke("gone").await;
    let mut conversation = Conversation::open(&keyed.server.address(), &mine, Door::Grpc, &[]).await.unwrap();
    let gone = keyed.token("alice", "gone", 3_600);
    assert_eq!(refused(conversation.refresh(&gone).await), refusal("token_revoked"));
    works(&mut conversation).await;
    // Not before hello.
    let mut silent = Conversation::silent(&keyed.server.address(), &mine, Door::Grpc).await.unwrap();
    let expected = (Code::FailedPrecondition, "hello_required".to_owned());
    assert_eq!(refused(silent.refresh(&mine).await), expected);
}

#[tokio::test]
async fn key_files_are_read_again_when_they_change() {
    let keyed = Keyed::start().await;
    let file = keyed.dir.path().join("key");
    let replace = |secret: &[u8]| {
        let next = keyed.dir.path().join("next");
        std::fs::write(&next, secret).unwrap();
        std::fs::rename(&next, &file).unwrap();
    };
    let old = keyed.token("alice", "old", 3_600);
    let new = Signer::Hs256(OTHER.to_vec()).token(&claims("alice", now() + 3_600));
    let accepted = async |token: &str| whoami(&keyed.server, token).await.ok();
    let refused = async |token: &str| whoami(&keyed.server, token).await.err();
    let mut open = Conversation::open(&keyed.server.address(), &old, Door::Grpc, &[]).await.unwrap();
    assert_eq!(refused(&new).await.as_deref(), Some("token_invalid"));
    // What cannot be used replaces nothing.
    replace(b"short");
    eventually("it says so", async || {
        keyed.server.output().contains("keeping the current keys for tokens").then_some(())
    })
    .await;
    accepted(&old).await.unwrap();
    replace(OTHER);
    eventually("the new key is known", async || accepted(&new).await).await;
    assert_eq!(refused(&old).await.as_deref(), Some("token_invalid"));
    // Open sessions go on, and get a token of the new key.
    works(&mut open).await;
    open.refresh(&new).await.unwrap();
    works(&mut open).await;
}

/// What an issuer answers when it is asked for its keys.
#[derive(Clone)]
enum Answer {
    Keys(Value),
    /// Nothing, while the connection stays open.
    Silence,
    HangUp,
    Raw(&'static str),
}

/// An issuer, and a server that verifies tokens with the keys that it publishes.
struct Published {
    server: Server,
    answer: watch::Sender<Answer>,
    /// How often the issuer was asked.
    asked: watch::Receiver<usize>,
}

const ISSUER: &str = "https://id.example/";

fn published_token(signer: &Signer, kid: &str) -> String {
    signer.token_of(kid, &json!({"sub": "alice", "exp": now() + 3_600, "iss": ISSUER}))
}

impl Published {
    async fn start(signer: &Signer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let (answer, answers) = watch::channel(Answer::Keys(json!([signer.jwk("1")])));
        let (count, asked) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answer = answers.borrow().clone();
                count.send_modify(|asked| *asked += 1);
                tokio::spawn(give(answer, stream));
            }
        });
        let server = Server::start_with(&["--jwt-jwks-url", &url, "--jwt-issuer", ISSUER]).await;
        Self { server, answer, asked }
    }

    /// Asks with `token` until the issuer was asked once more.
    async fn ask_again(&mut self, token: &str) {
        let before = *self.asked.borrow();
        long("the issuer is asked again", async || {
            let _ = whoami(&self.server, token).await;
            (*self.asked.borrow() > before).then_some(())
        })
        .await;
    }
}

async fn give(answer: Answer, mut stream: TcpStream) {
    let _ = stream.read(&mut [0; 4096]).await;
    let body = match answer {
        Answer::Keys(keys) => json!({ "keys": keys }).to_string(),
        Answer::Silence => return std::future::pending().await,
        Answer::HangUp => return,
        Answer::Raw(body) => body.to_owned(),
    };
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    let _ = stream.write_all((head + &body).as_bytes()).await;
}

/// Waits for a condition that takes the interval between fetches of unknown keys: 30 s.
async fn long<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = condition().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(90), waiting).await.expect(what)
}

/// Each case has a server of its own, and they run at once: the server asks an issuer for unknown keys every 30 s at
/// most.
#[tokio::test]
async fn an_issuer_rotates_stalls_lies_and_disappears() {
    let (old, new) = (Signer::p256(), Signer::p256());
    let (known, unknown) = (published_token(&old, "1"), published_token(&new, "2"));
    let rotates = async {
        let issuer = Published::start(&old).await;
        assert_eq!(whoami(&issuer.server, &known).await, Ok(()));
        let mut open = Conversation::open(&issuer.server.address(), &known, Door::Grpc, &[]).await.unwrap();
        issuer.answer.send_replace(Answer::Keys(json!([new.jwk("2")])));
        long("the new key is fetched", async || whoami(&issuer.server, &unknown).await.ok()).await;
        let withdrawn = whoami(&issuer.server, &known).await;
        assert_eq!(withdrawn, Err("token_invalid".to_owned()), "only the published keys count");
        works(&mut open).await;
        open.refresh(&unknown).await.unwrap();
    };
    let fails = async |what: &str, answer: Answer| {
        let mut issuer = Published::start(&old).await;
        issuer.answer.send_replace(answer);
        issuer.ask_again(&unknown).await;
        assert_eq!(whoami(&issuer.server, &known).await, Ok(()), "{what}: the known keys stay");
        assert_eq!(whoami(&issuer.server, &unknown).await, Err("token_invalid".to_owned()), "{what}");
    };
    tokio::join!(
        rotates,
        fails("it stalls", Answer::Silence),
        fails("it lies", Answer::Raw("<html>welcome</html>")),
        fails("it has none", Answer::Keys(json!([]))),
        fails("it disappears", Answer::HangUp),
    );
}
