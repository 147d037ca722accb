//! What a webhook posts: ids alone, signatures under several secrets, and nothing of who was erased.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parlance_client::transport::Door;
use parlance_proto::v1;
use parlance_tests::{Server, fresh};
use ring::hmac;
use serde_json::Value;

use crate::app::App;
use crate::consumers::said;
use crate::erasure::delete;
use crate::webhooks::{Endpoint, Mode, PRIVATE, file, server};

/// Neither texts, nor titles, nor whom an event is about.
#[tokio::test]
async fn a_webhook_of_ids_gets_no_content() {
    let endpoint = Endpoint::start(Mode::Accept).await;
    let (server, _dir) = server(&[&endpoint], &format!("{PRIVATE}\ncontent = 'ids'")).await;
    let (alice, bob) = (server.person(&fresh("alice")).await, server.person(&fresh("bobby")).await);
    let room = alice.group(&[&bob]).await;
    let titled = v1::UpdateRoomRequest {
        room_id: room.clone(),
        request_id: fresh("title"),
        title: Some("Plans for the summer".to_owned()),
        ..Default::default()
    };
    alice.rooms().update_room(titled).await.unwrap();
    let head = alice.say(&room, "nobody else reads this").await;
    endpoint.has_all(&room, head).await;
    for body in endpoint.bodies() {
        let text = String::from_utf8(body.to_vec()).unwrap();
        for content in ["nobody else", "summer", bob.id.as_str()] {
            assert!(!text.contains(content), "{content}: {text}");
        }
        // What it is, and where to read it.
        let post: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(post["data"]["roomId"], room);
        assert!(post["type"].as_str().unwrap().starts_with("parlance."), "{text}");
    }
}

const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &str = "whsec_bmV3LW5ldy1uZXctbmV3LW5ldy1uZXct";

/// Which of the secrets have signed each post so far.
fn signed(endpoint: &Endpoint) -> Vec<(bool, bool)> {
    let of = |secret: &str| {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        endpoint.signed().into_iter().map(move |(signatures, content)| {
            let mut signatures = signatures.split(' ').map(|one| one.strip_prefix("v1,").unwrap());
            signatures.any(|one| hmac::verify(&key, &content, &STANDARD.decode(one).unwrap()).is_ok())
        })
    };
    of(OLD).zip(of(NEW)).collect()
}

/// While an endpoint learns the new secret, both sign; then the old one goes.
#[tokio::test]
async fn a_secret_is_replaced_without_a_post_that_the_endpoint_cannot_verify() {
    let endpoint = Endpoint::start(Mode::Accept).await;
    let (dir, path) = file(&[&endpoint], PRIVATE);
    let mut server = Server::start_with(&["--user-rate", "0", "--webhooks", &path]).await;
    let alice = server.person(&fresh("alice")).await;
    let room = alice.group(&[]).await;
    let mut seen = 0;
    for (secrets, by) in [
        (OLD.to_owned(), (true, false)),
        (format!("{NEW}\n{OLD}\n"), (true, true)),
        (NEW.to_owned(), (false, true)),
    ] {
        server.stop().await;
        std::fs::write(dir.path().join("secret"), secrets).unwrap();
        seen = seen.max(endpoint.posts());
        server.start_again().await;
        let head = alice.say(&room, "hello").await;
        endpoint.has_all(&room, head).await;
        let signed = signed(&endpoint);
        assert!(signed.len() > seen && signed[seen..].iter().all(|one| *one == by), "{signed:?} from {seen}");
    }
}

/// What waits for a consumer is read when it is sent.
#[tokio::test]
async fn a_text_of_an_erased_user_that_was_pending_is_not_posted() {
    let endpoint = Endpoint::start(Mode::Accept).await;
    let (_dir, path) = file(&[&endpoint], PRIVATE);
    let app = App::start_with(&["--webhooks", &path]).await;
    let mut at_app = app.backend.connect(Door::Grpc).await;
    let rooms = [app.alice.group(&[&app.bob]).await, app.alice.group(&[&app.bob]).await];
    let head = app.bob.say(&rooms[1], "a first one").await;
    endpoint.has_all(&rooms[1], head).await;
    said(&app.server, &["pause", "hook-0"]).await;
    for room in &rooms {
        app.bob.say(room, "a secret").await;
    }
    delete(&mut at_app, "bob", v1::ErasedMessages::Remove).await;
    said(&app.server, &["resume", "hook-0"]).await;
    for room in &rooms {
        let head = app.alice.say(room, "who was that?").await;
        endpoint.has_all(room, head).await;
    }
    let posted: Vec<String> =
        endpoint.bodies().iter().map(|body| String::from_utf8(body.to_vec()).unwrap()).collect();
    assert!(posted.iter().all(|text| !text.contains("a secret")), "{posted:?}");
    let deletions = posted.iter().filter(|text| text.contains("parlance.message.deleted.v1")).count();
    assert_eq!(deletions, 3, "{posted:?}");
}
