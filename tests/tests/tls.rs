//! TLS at the server's own listener, with the shipped client: `parlance chat` on the
//! other end.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use std::process::{Output, Stdio};

use parlance_faults::Certificate;
use parlance_tests::{Server, eventually, parlance, within};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

async fn with_tls(certificate: &Certificate) -> Server {
    let (path, key) = (certificate.path(), certificate.key());
    let options = ["--tls-certificate", path.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    Server::start_with(&options).await
}

/// Starts `parlance chat` with this trusted certificate.
fn chat(server: &Server, certificate: Option<&Certificate>, more: &[&str]) -> Child {
    let mut command = Command::new(parlance());
    command.arg("chat").args(more).arg("--server").arg(format!("https://{}", server.address()));
    if let Some(certificate) = certificate {
        command.env("SSL_CERT_FILE", certificate.path());
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.spawn().unwrap()
}

/// Types a line, and waits for the exit.
async fn say(mut client: Child, line: &str) -> Output {
    // It may have exited before: its output says why.
    let _ = client.stdin.take().unwrap().write_all(format!("{line}\n").as_bytes()).await;
    within("the client ends", client.wait_with_output()).await.unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn people_talk_through_tls_and_go_on_with_a_renewed_certificate() {
    let certificate = Certificate::new().unwrap();
    let server = with_tls(&certificate).await;

    let mut bob = chat(&server, Some(&certificate), &["#tls", "--user", "bob"]);
    let mut shown = BufReader::new(bob.stdout.take().unwrap()).lines();
    // The channel exists from now on: a client before that would create its own.
    let mut status = BufReader::new(bob.stderr.take().unwrap()).lines();
    within("it is there", async {
        while !status.next_line().await.unwrap().unwrap().contains("talking to #tls") {}
    })
    .await;
    for door in [&["--user", "bob"][..], &["--user", "bob", "--websocket"]] {
        let arguments = [&["#tls"], door].concat();
        let line = format!("hello, {}", door.len());
        let sent = say(chat(&server, Some(&certificate), &arguments), &line).await;
        assert!(sent.status.success(), "{}", said(&sent));
        within("it is shown", async { while !shown.next_line().await.unwrap().unwrap().contains(&line) {} })
            .await;
    }

    let refused = say(chat(&server, None, &["#tls", "--user", "bob"]), "hello, whoever you are").await;
    assert!(!refused.status.success() && said(&refused).contains("certificate"), "{}", said(&refused));

    certificate.renew().unwrap();
    eventually("the renewed certificate is shown", async || {
        let sent = say(chat(&server, Some(&certificate), &["#tls", "--user", "bob"]), "renewed").await;
        sent.status.success().then_some(())
    })
    .await;
    // Existing connections stay open.
    within("it is shown", async { while !shown.next_line().await.unwrap().unwrap().contains("renewed") {} })
        .await;
}

#[tokio::test]
async fn clear_text_gets_no_answer_at_a_door_with_tls() {
    let certificate = Certificate::new().unwrap();
    let server = with_tls(&certificate).await;
    let clear = parlance_client::create_user(&server.address(), "eve", "").await;
    assert!(clear.is_err(), "{clear:?}");
}
