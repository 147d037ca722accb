//! What newcomers type, and what they are told.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use parlance_tests::{Server, Signer, claims, now, run_to_end};
use tempfile::TempDir;

const SECRET: &[u8] = b"a secret of more than 32 bytes: 0123456789";

/// What a command that must fail says; the whole text is for when something is missing.
async fn complaint(arguments: &[&str]) -> String {
    let output = run_to_end(arguments).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{arguments:?}: {said}");
    said
}

fn check(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
}

/// A file with the shared secret.
fn secret(dir: &TempDir) -> String {
    let file = dir.path().join("secret");
    std::fs::write(&file, SECRET).unwrap();
    file.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn tokens_that_no_server_takes_are_not_made() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let said = complaint(&["token", "alice", "--data-dir", data.to_str().unwrap()]).await;
    check(&said, &["parlance serve", "--data-dir", data.to_str().unwrap()]);
    assert!(!data.exists(), "nothing was created");

    // A directory whose server was in local mode once, and has a key now.
    let secret = secret(&dir);
    let mut server = Server::start_with(&["--user-rate", "0"]).await;
    let (data, local) = (server.data(), ["token", "alice"]);
    let token = async || run_to_end(&[&local[..], &["--data-dir", data.to_str().unwrap()]].concat()).await;
    assert!(token().await.status.success());
    server.restart_with(&["--jwt-secret-file", &secret]).await;
    let refused = token().await;
    assert!(!refused.status.success() && refused.stdout.is_empty());
    check(&String::from_utf8_lossy(&refused.stderr), &["--jwt-secret-file"]);
    server.restart_with(&[]).await;
    assert!(token().await.status.success());
}

#[tokio::test]
async fn chat_says_why_it_cannot_begin() {
    let dir = TempDir::new().unwrap();
    let local = Server::start().await;
    local.person("alice").await;
    let keyed = Server::start_with(&["--jwt-secret-file", &secret(&dir)]).await;
    let (local, keyed) = (local.address(), keyed.address());
    let token = dir.path().join("token");
    let token_file = token.to_str().unwrap();

    let said = complaint(&["chat", "bob", "--server", &keyed]).await;
    check(&said, &["--token-file", &keyed]);
    assert!(!said.contains("is the server running"), "{said}");
    std::fs::write(&token, "not.a.token").unwrap();
    for websocket in [&[][..], &["--websocket"]] {
        let chat = ["chat", "bob", "--server", &keyed, "--token-file", token_file];
        check(&complaint(&[&chat[..], websocket].concat()).await, &["token_invalid"]);
    }
    let good = Signer::Hs256(SECRET.to_vec()).token(&claims("alice", now() + 60));
    std::fs::write(&token, good).unwrap();
    let said = complaint(&["chat", "bob", "--server", &keyed, "--token-file", token_file]).await;
    check(&said, &["bob is neither a room of yours nor a person"]);

    let said = complaint(&["chat", "alice", "--user", "alice", "--server", &local]).await;
    check(&said, &["a direct room is between two people"]);
    let https = format!("https://{local}");
    check(&complaint(&["chat", "#lobby", "--server", &https]).await, &["use http://"]);
    let nobody = "127.0.0.1:1";
    check(&complaint(&["chat", "#lobby", "--server", nobody]).await, &["parlance serve", nobody]);
}

/// The line for others is copied as it stands.
#[tokio::test]
async fn the_line_that_chat_prints_for_others_works() {
    let server = Server::start().await;
    let address = server.address();
    let created = run_to_end(&["chat", "#lobby", "--user", "alice", "--server", &address]).await;
    let said = String::from_utf8_lossy(&created.stderr).into_owned();
    let line = said.lines().find_map(|line| line.split_once("join it with: parlance ")).unwrap().1;
    let arguments: Vec<_> = line.split(' ').map(|word| if word == "NAME" { "bob" } else { word }).collect();
    let joined = run_to_end(&arguments).await;
    assert!(joined.status.success(), "{line}: {}", String::from_utf8_lossy(&joined.stderr));
}

#[tokio::test]
async fn serve_says_where_it_cannot_listen() {
    let (taken, dir) = (Server::start().await, TempDir::new().unwrap());
    let data = dir.path().join("data");
    for option in ["--listen", "--admin-listen", "--edge-listen"] {
        check(&complaint(&["serve", option, "26081"]).await, &[option, "127.0.0.1:26081"]);
        let mut serve = vec!["serve", "--data-dir", data.to_str().unwrap()];
        let address = taken.address();
        for listener in ["--listen", "--admin-listen", "--edge-listen"] {
            serve.extend([listener, if listener == option { &address } else { "127.0.0.1:0" }]);
        }
        check(&complaint(&serve).await, &[&format!("{address} ({option})")]);
    }
}
