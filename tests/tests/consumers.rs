//! `parlance consumers`: operators inspect and control consumers of the change
//! feed.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use std::process::{Output, Stdio};

use parlance_tests::{Http, Server, eventually, fresh, parlance, within};
use tokio::process::Command;

use crate::webhooks::{Endpoint, Mode, PRIVATE, server};

pub(super) async fn run(server: &Server, arguments: &[&str]) -> Output {
    let mut command = Command::new(parlance());
    command.arg("consumers").args(arguments).args(["--admin", &server.admin()]);
    within("the command ends", command.output()).await.unwrap()
}

pub(super) async fn said(server: &Server, arguments: &[&str]) -> String {
    let output = run(server, arguments).await;
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What the command says on its error stream when it fails.
pub(super) async fn refused(server: &Server, arguments: &[&str]) -> String {
    let output = run(server, arguments).await;
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// The state of the only consumer.
async fn state(server: &Server) -> String {
    let listed = said(server, &["list"]).await;
    let line = listed.lines().nth(1).expect("there is one").to_owned();
    line.split_whitespace().nth(2).unwrap().to_owned()
}

#[tokio::test]
async fn a_paused_consumer_stays_paused_over_a_restart_and_loses_nothing() {
    let endpoint = Endpoint::start(Mode::Accept).await;
    let (mut server, _dir) = server(&[&endpoint], PRIVATE).await;
    let alice = server.person(&fresh("alice")).await;
    let room = alice.group(&[]).await;
    let head = alice.say(&room, "before").await;
    endpoint.has_all(&room, head).await;
    assert_eq!(state(&server).await, "running");
    said(&server, &["pause", "hook-0"]).await;
    let posts = endpoint.posts();
    alice.say(&room, "meanwhile").await;
    server.stop().await;
    server.start_again().await;
    assert_eq!((state(&server).await, endpoint.posts()), ("paused".to_owned(), posts));
    let head = alice.say(&room, "after").await;
    said(&server, &["resume", "hook-0"]).await;
    endpoint.has_all(&room, head).await;
    // From the first event on.
    said(&server, &["replay", "hook-0"]).await;
    let all = posts + 2 + usize::try_from(head).unwrap();
    eventually("all is posted again", async || (endpoint.posts() >= all).then_some(())).await;
}

#[tokio::test]
async fn parked_room_is_retried_or_continues_without_the_refused_event() {
    let endpoint = Endpoint::start(Mode::Answer(422)).await;
    let (server, _dir) = server(&[&endpoint], PRIVATE).await;
    let alice = server.person(&fresh("alice")).await;
    let (first, second) = (alice.group(&[]).await, alice.group(&[]).await);
    let (head, last) = (alice.say(&first, "hello").await, alice.say(&second, "hello").await);
    let parked = eventually("both rooms are parked", async || {
        let parked = said(&server, &["parked", "hook-0"]).await;
        (parked.contains(&first) && parked.contains(&second)).then_some(parked)
    })
    .await;
    assert!(parked.contains("the endpoint answers 422"), "{parked}");
    assert!(parked.contains(&format!("{first}:1:1")), "{parked}");
    endpoint.set(Mode::Accept);
    said(&server, &["retry", "hook-0", &first]).await;
    endpoint.has_all(&first, head).await;
    let before = endpoint.posts();
    said(&server, &["retry", "hook-0", &second, "--skip"]).await;
    let rest = usize::try_from(last).unwrap() - 1;
    eventually("the rest is posted", async || (endpoint.posts() == before + rest).then_some(())).await;
    eventually("no room is parked", async || {
        (said(&server, &["parked", "hook-0"]).await.lines().count() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_consumer_is_removed_once_it_is_out_of_the_file_and_a_later_one_of_its_name_is_new() {
    let endpoint = Endpoint::start(Mode::Answer(422)).await;
    let (mut server, dir) = server(&[&endpoint], PRIVATE).await;
    let alice = server.person(&fresh("alice")).await;
    let (parked, done) = (alice.group(&[]).await, alice.group(&[]).await);
    let head = alice.say(&done, "hello").await;
    eventually("both rooms are parked", async || {
        let listed = said(&server, &["parked", "hook-0"]).await;
        (listed.contains(&parked) && listed.contains(&done)).then_some(())
    })
    .await;
    endpoint.set(Mode::Accept);
    said(&server, &["retry", "hook-0", &done]).await;
    endpoint.has_all(&done, head).await;
    let why = refused(&server, &["remove", "hook-0"]).await;
    assert!(why.contains("this process is configured with the consumer hook-0"), "{why}");
    server.restart_with(&["--user-rate", "0"]).await;
    assert_eq!(state(&server).await, "not-configured");
    let removed = said(&server, &["remove", "hook-0"]).await;
    assert!(removed.contains("removed hook-0: its position, and how far it was in 2 rooms"), "{removed}");
    assert!(removed.contains("lost: that 1 of these rooms had events that it did not get, 1 of them parked"));
    assert_eq!(said(&server, &["list"]).await.lines().count(), 1);
    for command in ["remove", "parked"] {
        let why = refused(&server, &[command, "hook-0"]).await;
        assert!(why.contains("there is no consumer hook-0"), "{why}");
    }
    // It starts with new events, as any other, and nothing is parked.
    let posts = endpoint.posts();
    let webhooks = dir.path().join("webhooks.toml");
    server.restart_with(&["--user-rate", "0", "--webhooks", webhooks.to_str().unwrap()]).await;
    alice.say(&parked, "hello").await;
    eventually("the new one is posted", async || (endpoint.posts() > posts).then_some(())).await;
    assert_eq!((endpoint.posts(), state(&server).await), (posts + 1, "running".to_owned()));
}

/// An operator who looks at a paused consumer after a restart sees what waits.
#[tokio::test]
async fn a_paused_consumer_shows_its_lag_after_a_restart() {
    let endpoint = Endpoint::start(Mode::Accept).await;
    let (mut server, _dir) = server(&[&endpoint], PRIVATE).await;
    let alice = server.person(&fresh("alice")).await;
    let lag = async |server: &Server| -> f64 {
        let listed = Http::new(server.admin()).get("/consumers").answer().await.json();
        listed[0]["lag_seconds"].as_f64().unwrap()
    };
    said(&server, &["pause", "hook-0"]).await;
    alice.group(&[]).await;
    eventually("it lags", async || (lag(&server).await > 0.0).then_some(())).await;
    server.stop().await;
    server.start_again().await;
    eventually("it still does", async || (lag(&server).await > 0.0).then_some(())).await;
    assert_eq!(state(&server).await, "paused");
    server.restart_with(&["--user-rate", "0"]).await;
    assert!(lag(&server).await > 0.0, "also where it is not configured");
}

/// An endpoint that refused everything for a while.
#[tokio::test]
async fn all_parked_rooms_are_retried_together_also_after_a_restart() {
    let endpoint = Endpoint::start(Mode::Answer(422)).await;
    let (mut server, _dir) = server(&[&endpoint], PRIVATE).await;
    let alice = server.person(&fresh("alice")).await;
    let mut rooms = Vec::new();
    for _ in 0..3 {
        let room = alice.group(&[]).await;
        let head = alice.say(&room, "hello").await;
        rooms.push((room, head));
    }
    let parked = async |server: &Server| {
        let listed = said(server, &["list"]).await;
        listed.lines().nth(1).and_then(|line| line.split_whitespace().nth(5)?.parse::<usize>().ok()).unwrap()
    };
    eventually("they are parked", async || (parked(&server).await == 3).then_some(())).await;
    server.stop().await;
    server.start_again().await;
    eventually("they are counted", async || (parked(&server).await == 3).then_some(())).await;
    let gauges = Http::new(server.admin()).get("/metrics").send().await.unwrap().body;
    let gauges = String::from_utf8(gauges.to_vec()).unwrap();
    assert!(gauges.contains("parlance_consumer_parked_rooms{consumer=\"hook-0\"} 3"), "{gauges}");
    assert!(gauges.contains("parlance_consumer_parked_seconds{consumer=\"hook-0\"}"), "{gauges}");
    endpoint.set(Mode::Accept);
    said(&server, &["retry", "hook-0", "--all"]).await;
    for (room, head) in &rooms {
        endpoint.has_all(room, *head).await;
    }
    eventually("none is parked", async || (parked(&server).await == 0).then_some(())).await;
}

/// The refused event is of a history that is no more: nobody has to retry it.
#[tokio::test]
async fn a_restored_room_is_posted_from_its_first_event_also_if_it_was_parked() {
    let endpoint = Endpoint::start(Mode::Accept).await;
    let (mut server, _dir) = server(&[&endpoint], PRIVATE).await;
    let alice = server.person(&fresh("alice")).await;
    let done = alice.group(&[]).await;
    let head = alice.say(&done, "hello").await;
    endpoint.has_all(&done, head).await;
    endpoint.set(Mode::Answer(422));
    let parked = alice.group(&[]).await;
    let last = alice.say(&parked, "hello").await;
    eventually("it is parked", async || {
        said(&server, &["parked", "hook-0"]).await.contains(&parked).then_some(())
    })
    .await;
    server.stop().await;
    endpoint.set(Mode::Accept);
    let mut restored = Command::new(parlance());
    restored.args(["restored", "--data-dir"]).arg(server.data());
    assert!(within("it ends", restored.status()).await.unwrap().success());
    server.start_again().await;
    endpoint.has_all(&parked, last).await;
    eventually("the other one is posted again", async || {
        let posted = |seq| endpoint.accepted(&done).iter().any(|key| key.0 > 1 && key.1 == seq);
        (1..=head).all(posted).then_some(())
    })
    .await;
    eventually("no room is parked", async || {
        (said(&server, &["parked", "hook-0"]).await.lines().count() == 1).then_some(())
    })
    .await;
}

/// Like `head`: the end of a pipe is no fault of the command.
#[tokio::test]
async fn a_reader_that_has_enough_is_no_error() {
    let endpoint = Endpoint::start(Mode::Accept).await;
    let (server, _dir) = server(&[&endpoint], PRIVATE).await;
    for arguments in [&["list"][..], &["parked", "hook-0"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(parlance());
        command.arg("consumers").args(arguments).args(["--admin", &server.admin()]);
        command.stdout(writer).stderr(Stdio::piped()).kill_on_drop(true);
        let child = command.spawn().unwrap();
        let output = within("the command ends", child.wait_with_output()).await.unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
}

#[tokio::test]
async fn a_consumer_whose_name_is_in_use_keeps_no_server_from_starting() {
    let endpoint = Endpoint::start(Mode::Accept).await;
    let (mut server, dir) = server(&[&endpoint], PRIVATE).await;
    let kafka = dir.path().join("kafka.toml");
    let text = "brokers = '127.0.0.1:1'\ntopic = 'events'\npartitions = 1\nname = 'hook-0'\n";
    std::fs::write(&kafka, text).unwrap();
    server.restart_with(&["--kafka", kafka.to_str().unwrap()]).await;
    assert!(server.output().contains("consumer does not start"), "{}", server.output());
    assert_eq!(state(&server).await, "not-here");
    let listed = said(&server, &["list"]).await;
    assert!(listed.contains("the consumer hook-0 is webhook: give the new one another name"), "{listed}");
}

#[tokio::test]
async fn impossible_commands_are_refused_with_reason() {
    let endpoint = Endpoint::start(Mode::Accept).await;
    let (server, _dir) = server(&[&endpoint], PRIVATE).await;
    for (arguments, why) in [
        (&["pause", "nobody"][..], "no consumer of this name"),
        (&["parked", "nobody"], "there is no consumer nobody"),
        (&["retry", "hook-0"], "<ROOM>"),
        (&["retry", "hook-0", "--all", "--skip"], "cannot be used with"),
        (&["retry", "hook-0", "room-1"], "is not parked"),
        (&["retry", "hook-0", "a b"], "room:"),
    ] {
        let output = run(&server, arguments).await;
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && stderr.contains(why), "{arguments:?}: {stderr}");
    }
    // A page in an operator's browser.
    let admin = Http::new(server.admin());
    let page = admin.get("/consumers").header("origin", "http://evil.example").send().await.unwrap();
    assert_eq!(page.status, 403);
    let form = admin.call(http::Method::POST, "/consumers/hook-0").header("content-type", "text/plain");
    assert_eq!(form.body(r#"{"do":"pause"}"#).send().await.unwrap().status, 415);
    let resume = admin.call(http::Method::POST, "/consumers/hook-0");
    let resume = resume.header("content-type", "Application/JSON; charset=utf-8").body(r#"{"do":"resume"}"#);
    assert_eq!(resume.send().await.unwrap().status, 200);
    assert_eq!(state(&server).await, "running");
}
