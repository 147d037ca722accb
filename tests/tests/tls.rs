//! TLS at the server's own listener, with the shipped client: `parlance chat` on the
//! other end.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use std::process::{Output, Stdio};

use parlance_faults::{Authority, Certificate, TlsClient, exchange_by_tls};
use parlance_tests::{Launch, Server, eventually, parlance, within};
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

#[tokio::test]
async fn events_are_printed_through_tls() {
    let certificate = Certificate::new().unwrap();
    let server = with_tls(&certificate).await;
    let sent = say(chat(&server, Some(&certificate), &["#tls", "--user", "bob"]), "through TLS").await;
    assert!(sent.status.success(), "{}", said(&sent));
    prints(events(&server, Some(&certificate), &[]), "through TLS").await;
    let refused = within("it ends", events(&server, None, &[]).wait_with_output()).await.unwrap();
    assert!(!refused.status.success() && refused.stdout.is_empty(), "{refused:?}");
    assert!(said(&refused).contains("certificate"), "{}", said(&refused));
}

/// Starts `parlance events` with this trusted certificate.
fn events(server: &Server, certificate: Option<&Certificate>, more: &[&str]) -> Child {
    let mut command = Command::new(parlance());
    command.args(["events", "--beginning"]).args(more);
    command.arg("--server").arg(format!("https://{}", server.address()));
    command.envs(certificate.map(|certificate| ("SSL_CERT_FILE", certificate.path())));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.spawn().unwrap()
}

/// Waits until a line with this text is printed.
async fn prints(mut events: Child, text: &str) {
    let mut printed = BufReader::new(events.stdout.take().unwrap()).lines();
    let found = async { while !printed.next_line().await.unwrap().unwrap().contains(text) {} };
    within("the message is printed", found).await;
}

#[tokio::test]
async fn commands_show_their_certificate_where_the_server_wants_one() {
    let (certificate, authority) = (Certificate::new().unwrap(), Authority::new().unwrap());
    let (path, key, clients) = (certificate.path(), certificate.key(), authority.path());
    let options = ["--tls-certificate", path.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let client_ca = ["--tls-client-ca", clients.to_str().unwrap()];
    let server = Server::start_with(&[&options[..], &client_ca].concat()).await;
    let own = authority.issue().unwrap();
    let (own, its_key) = (own.path(), own.key());
    let shown = ["--client-certificate", own.to_str().unwrap(), "--client-key", its_key.to_str().unwrap()];
    let bob = ["#tls", "--user", "bob"];
    for (door, line) in [(&[][..], "by gRPC"), (&["--websocket"], "by WebSocket")] {
        let sent = say(chat(&server, Some(&certificate), &[&bob, door, &shown].concat()), line).await;
        assert!(sent.status.success(), "{}", said(&sent));
        prints(events(&server, Some(&certificate), &shown), line).await;
    }
    for refused in [
        say(chat(&server, Some(&certificate), &bob), "hello").await,
        within("it ends", events(&server, Some(&certificate), &[]).wait_with_output()).await.unwrap(),
        say(chat(&server, Some(&certificate), &[&bob[..], &shown[..2]].concat()), "hello").await,
    ] {
        assert!(!refused.status.success() && refused.stdout.is_empty(), "{refused:?}");
        assert!(said(&refused).contains("--client-key"), "{}", said(&refused));
    }
}

/// The status that a client with this certificate gets, or `None` if it is not let in.
async fn status(server: &Server, trusted: &Certificate, own: Option<&Certificate>) -> Option<String> {
    let request = b"GET /v1/users/me HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = within("an answer", exchange_by_tls(&server.address(), trusted, own, request)).await.ok()?;
    String::from_utf8_lossy(&answer).split(' ').nth(1).map(ToOwned::to_owned)
}

/// A resumed session would not show the client's certificate again, which may have expired meanwhile.
#[tokio::test]
async fn sessions_are_resumed_where_no_certificate_is_asked_for() {
    let (certificate, authority) = (Certificate::new().unwrap(), Authority::new().unwrap());
    let (path, key, clients) = (certificate.path(), certificate.key(), authority.path());
    let options = ["--tls-certificate", path.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let client_ca = ["--tls-client-ca", clients.to_str().unwrap()];
    let own = authority.issue().unwrap();
    let request = b"GET /v1/users/me HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    for (more, expected) in [(&[][..], [false, true]), (&client_ca, [false, false])] {
        let server = Server::start_with(&[&options[..], more].concat()).await;
        let client = TlsClient::new(&certificate, Some(&own)).unwrap();
        for is_resumed in expected {
            let exchanged = within("an answer", client.exchange(&server.address(), request)).await.unwrap();
            assert!(exchanged.0.starts_with(b"HTTP/1.1 401"), "{more:?}");
            assert_eq!(exchanged.1, is_resumed, "{more:?}");
        }
    }
}

#[tokio::test]
async fn with_an_authority_for_clients_only_those_with_its_certificate_are_let_in() {
    let (certificate, authority) = (Certificate::new().unwrap(), Authority::new().unwrap());
    let (path, key, clients) = (certificate.path(), certificate.key(), authority.path());
    let options = ["--tls-certificate", path.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let client_ca = ["--tls-client-ca", clients.to_str().unwrap()];
    let server = Server::start_with(&[&options[..], &client_ca].concat()).await;
    let (known, another) = (authority.issue().unwrap(), Authority::new().unwrap());
    // A certificate opens the connection; who calls, the token says.
    assert_eq!(status(&server, &certificate, Some(&known)).await.as_deref(), Some("401"));
    assert_eq!(status(&server, &certificate, None).await, None);
    let of_another = another.issue().unwrap();
    assert_eq!(status(&server, &certificate, Some(&of_another)).await, None);
    assert_eq!(status(&server, &certificate, Some(&certificate)).await, None, "self-signed");

    // Authorities are replaced like certificates.
    std::fs::copy(another.path(), &clients).unwrap();
    eventually("the other authority counts", async || {
        (status(&server, &certificate, Some(&of_another)).await.as_deref() == Some("401")).then_some(())
    })
    .await;
    assert_eq!(status(&server, &certificate, Some(&known)).await, None);

    for (file, said) in [
        (key.as_path(), "contains no certificate"),
        (path.as_path(), "contains a certificate that is none of an authority"),
        (std::path::Path::new("/nowhere.pem"), "cannot read /nowhere.pem"),
    ] {
        let file = file.to_str().unwrap();
        let options = [&options[..], &["--tls-client-ca", file]].concat();
        let options = options.iter().map(ToString::to_string).collect();
        let refused = Server::refused(Launch { options, ..Launch::default() }).await;
        assert!(refused.contains(said) && refused.contains(file), "{refused}");
    }
}
