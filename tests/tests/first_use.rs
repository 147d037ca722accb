//! First commands of new users, and their output.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use std::collections::BTreeSet;
use std::path::Path;

use parlance_tests::{Launch, Server, Signer, claims, now, run_to_end};
use tempfile::TempDir;

const SECRET: &[u8] = b"a secret of more than 32 bytes: 0123456789";

/// The error output of a command that must fail; the whole text helps if something is
/// missing.
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

    // A data directory whose server was in local mode once, and has a key now.
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
    let keyed = Server::start_with(&["--jwt-secret-file", &secret(&dir), "--profiles", "everyone"]).await;
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
    check(&said, &["no room or user named bob"]);

    let said = complaint(&["chat", "alice", "--user", "alice", "--server", &local]).await;
    check(&said, &["a direct room is between two people"]);
    let https = format!("https://{local}");
    check(&complaint(&["chat", "#lobby", "--server", &https]).await, &["use http://"]);
    let nobody = "127.0.0.1:1";
    check(&complaint(&["chat", "#lobby", "--server", nobody]).await, &["parlance serve", nobody]);
}

/// The line for others can be copied literally.
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

#[tokio::test]
async fn a_configuration_can_be_checked_before_it_is_used() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("parlance.toml");
    let path = file.to_str().unwrap();
    let data = dir.path().join("data");
    let redis = "redis://chat:pass-word@127.0.0.1:1";
    let secret = secret(&dir);
    std::fs::write(
        &file,
        format!("store = 'dynamodb'\nredis = '{redis}'\njwt-secret-file = '{secret}'\nuser_rate = 7\n"),
    )
    .unwrap();
    let output = run_to_end(&["config", "check", "--config", path, "--max-connections", "9"]).await;
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    check(&printed, &["user-rate = 7", "max-connections = 9", "redis://chat:***@127.0.0.1:1"]);
    assert!(!printed.contains("pass-word"));

    let key = dir.path().join("key.pem");
    let data = data.to_str().unwrap();
    std::fs::write(&key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
    let key = key.to_str().unwrap();
    for (file, parts) in [
        ("user-rat = 7", &["user-rat", "parlance.toml"][..]),
        ("user-rate = 'many'", &["user-rate"]),
        ("log = 'info,,=='", &["log filter"]),
        ("redis = 'host:1'\nstore = 'dynamodb'\njwt-secret-file = 'SECRET'", &["redis url"]),
        ("jwt-public-key = 'KEY'", &["KEY", "private key"]),
        ("jwt-secret-file = '/nowhere'", &["/nowhere"]),
        ("tls-certificate = 'KEY'\ntls-key = 'KEY'", &["tls-certificate", "KEY"]),
        ("listen = '0.0.0.0:1'", &["without a key"]),
    ] {
        std::fs::write(path, file.replace("KEY", key).replace("SECRET", &secret)).unwrap();
        let said = complaint(&["config", "check", "--config", path, "--data-dir", data]).await;
        let parts: Vec<_> = parts.iter().map(|part| part.replace("KEY", key)).collect();
        check(&said, &parts.iter().map(String::as_str).collect::<Vec<_>>());
    }
    assert!(!std::path::Path::new(data).exists(), "nothing was created");
}

#[tokio::test]
async fn a_start_reports_a_new_store_and_how_tokens_are_verified() {
    let dir = TempDir::new().unwrap();
    let secret = secret(&dir);
    let mut server = Server::start_with(&[]).await;
    check(&server.output(), &["creating a new store", "local mode"]);
    let created = |server: &Server| server.output().matches("creating a new").count();
    server.restart_with(&["--jwt-secret-file", &secret, "--jwt-audience", "chat"]).await;
    check(&server.output(), &["HS256, HS384, HS512", "audience=\"chat\""]);
    assert_eq!(created(&server), 1);
    // As if a volume were not mounted.
    server.stop().await;
    std::fs::remove_dir_all(server.data().join("store")).unwrap();
    server.start_again().await;
    check(&server.output(), &["its store is missing"]);
    assert_eq!(created(&server), 2);

    let inside = server.data().join("store");
    let said = complaint(&[
        "serve",
        "--data-dir",
        inside.to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
    ])
    .await;
    check(&said, &["give the directory above it"]);
}

#[tokio::test]
async fn empty_variables_are_unset_and_help_is_in_groups() {
    let environment = ["PARLANCE_REDIS", "PARLANCE_JWT_PUBLIC_KEY", "PARLANCE_STORE", "PARLANCE_USER_RATE"];
    let environment = environment.map(|name| (name.to_owned(), String::new())).into();
    let server = Server::launch(Launch { environment, ..Launch::default() }).await;
    check(&server.output(), &["local mode"]);
    let help = String::from_utf8(run_to_end(&["serve", "--help"]).await.stdout).unwrap();
    check(&help, &["Tokens:", "TLS:", "Cluster:", "Limits:"]);
}

/// What README.md says is missing, and what the contract would contain if it were there.
/// Whoever adds such an operation takes the feature off the list.
const MISSING: &[(&str, &str)] = &[
    ("push notifications", "push"),
    ("retention", "retentionpolicy"),
    ("attachments", "attachment"),
    ("message search", "searchmessages"),
    ("threads", "thread"),
    ("pinned messages", "pinmessage"),
    ("room directory", "directory"),
    ("blocking", "rpc block"),
    ("reporting", "rpc report"),
    ("deleting users", "rpc deleteuser"),
    ("exports of users", "rpc exportuser"),
    ("imports", "rpc import"),
];

#[test]
fn readme_lists_the_features_that_the_contract_lacks() {
    let readme = include_str!("../../README.md");
    let (_, list) = readme.split_once("**Not implemented yet**:").unwrap();
    let list = list.split_once("\n\n").unwrap().0;
    let contract: String = include_str!("../../proto/chat.proto")
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| line.to_lowercase() + "\n")
        .collect();
    for &(feature, operation) in MISSING {
        let is_listed = list.contains(feature);
        assert_eq!(
            is_listed,
            !contract.contains(operation),
            "{feature}: listed in README.md as missing: {is_listed}"
        );
    }
}

#[test]
fn readme_does_not_contradict_its_guarantee_on_queues() {
    let readme = include_str!("../../README.md");
    let guarantee = "A session queues no messages: it reads them when its client can take them.";
    assert!(readme.contains(guarantee));
    let others = readme.replace(guarantee, "");
    let others = others.lines().filter(|line| line.contains("queue") && line.contains("session"));
    assert_eq!(others.collect::<Vec<_>>(), Vec::<&str>::new());
}

/// Names in the source that look like metrics and are none: crates and tables.
const NO_METRICS: [&str; 6] = ["server", "test", "messages", "rooms", "user_rooms", "users"];

fn metrics_in(text: &str, quote: char) -> BTreeSet<String> {
    let pieces = text.split(quote).filter_map(|piece| piece.strip_prefix("parlance_"));
    let names = pieces.map(|piece| piece.split('{').next().unwrap_or(piece).trim_end_matches('_'));
    let is_name = |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    names.filter(is_name).filter(|name| !NO_METRICS.contains(name)).map(str::to_owned).collect()
}

fn add_metrics_below(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            add_metrics_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.extend(metrics_in(&std::fs::read_to_string(&path).unwrap(), '"'));
        }
    }
}

#[test]
fn every_metric_is_documented() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(crates).unwrap() {
        let path = entry.unwrap().path();
        let is_product = !["bench", "faults", "planted", "sim"].iter().any(|name| path.ends_with(name));
        if is_product && path.join("src").is_dir() {
            add_metrics_below(&path.join("src"), &mut found);
        }
    }
    assert_eq!(found, metrics_in(include_str!("../../docs/metrics.md"), '`'));
    assert!(found.len() > 40, "{found:?}");
}
