//! Tokens of an OAuth server that is not ours: oauth2-mock-server, which signs them with keys that it publishes.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use std::process::Stdio;

use parlance_proto::v1;
use parlance_tests::{Conversation, DOORS, Http, Server, deploy, eventually, free_port};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

struct Issuer {
    _child: Child,
    port: u16,
}

impl Issuer {
    async fn start() -> Self {
        let port = free_port();
        let mut command = Command::new("node");
        command.arg(deploy().join("../tools/node_modules/oauth2-mock-server/dist/oauth2-mock-server.mjs"));
        command.args(["-a", "127.0.0.1", "-p", &port.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let issuer = Self { _child: command.spawn().unwrap(), port };
        // It makes a key first.
        eventually("the issuer answers", async || issuer.http().get("/jwks").send().await.ok()).await;
        issuer
    }

    fn http(&self) -> Http {
        Http::new(format!("127.0.0.1:{}", self.port))
    }

    /// The name in its tokens.
    fn name(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    async fn token(&self, grant: &str) -> String {
        let http = self.http();
        let post = http.call(http::Method::POST, "/token");
        let post = post.header("content-type", "application/x-www-form-urlencoded").body(grant.to_owned());
        let answer: Value = serde_json::from_slice(&post.answer().await.body).unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// A server that takes its tokens, with these options.
    async fn server(&self, options: &[&str]) -> Server {
        let keys = format!("http://127.0.0.1:{}/jwks", self.port);
        Server::start_with(&[&["--jwt-jwks-url", &keys], options].concat()).await
    }
}

async fn whoami(server: &Server, token: &str) -> Result<String, String> {
    let answer = server.http().get("/v1/users/me").bearer(token).answer().await;
    if answer.status != 200 {
        return Err(answer.refused().1);
    }
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    Ok(body["user"]["userId"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn tokens_of_an_oauth_server_open_every_door() {
    let issuer = Issuer::start().await;
    let server = issuer.server(&["--jwt-issuer", &issuer.name()]).await;
    let alice = issuer.token("grant_type=password&username=alice&scope=chat").await;
    assert_eq!(whoami(&server, &alice).await.as_deref(), Ok("alice"));
    for door in DOORS {
        let mut conversation = Conversation::open(&server.address(), &alice, door, &[]).await.unwrap();
        conversation.call(v1::ListRoomsRequest::default()).await.unwrap();
    }
    let create = async |token: &str, user: &str| {
        let http = server.http();
        let post = http.call(http::Method::POST, "/v1/users").bearer(token);
        post.json(&json!({ "userId": user })).answer().await.status
    };
    let backend = issuer.token("grant_type=password&username=backend&scope=chat%20service").await;
    assert_eq!(create(&backend, "bob").await, 200, "its scopes count");
    assert_eq!(create(&alice, "carol").await, 403);
    // A client's own token names no user.
    let of_client = issuer.token("grant_type=client_credentials&scope=chat").await;
    assert_eq!(whoami(&server, &of_client).await, Err("token_invalid".to_owned()));
}

#[tokio::test]
async fn tokens_of_another_issuer_or_for_another_app_are_refused() {
    let issuer = Issuer::start().await;
    let alice = issuer.token("grant_type=password&username=alice&scope=chat").await;
    let by_address = format!("http://127.0.0.1:{}", issuer.port);
    for options in [["--jwt-issuer", &by_address], ["--jwt-audience", "chat"]] {
        let server = issuer.server(&options).await;
        assert_eq!(whoami(&server, &alice).await, Err("token_invalid".to_owned()), "{options:?}");
    }
}
