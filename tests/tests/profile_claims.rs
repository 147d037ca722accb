//! Names and pictures from the tokens of their users.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use parlance_client::transport::Door;
use parlance_proto::v1;
use parlance_proto::v1::signal::Signal;
use parlance_tests::{Person, Server, Signer, claims, for_each_door, fresh, now, refused};
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::Code;

const PICTURE: &str = "https://id.example/alice.png";

struct Issuer {
    server: Server,
    signer: Signer,
    _dir: TempDir,
}

impl Issuer {
    async fn start(options: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let (key, secret) = (dir.path().join("key"), b"a secret of more than 32 bytes: 0123456789");
        std::fs::write(&key, secret).unwrap();
        let keyed = ["--jwt-secret-file", key.to_str().unwrap()];
        // Tokens of later are issued in advance.
        let skewed = ["--jwt-skew-seconds", "600"];
        let server = Server::start_with(&[&keyed[..], &skewed, options].concat()).await;
        Self { server, signer: Signer::Hs256(secret.to_vec()), _dir: dir }
    }

    /// The user with a token that was issued `after` seconds from now.
    fn person(&self, id: &str, after: u64, profile: Value) -> Person {
        let mut claims = claims(id, now() + 3600);
        claims["iat"] = json!(now() + after);
        claims.as_object_mut().unwrap().extend(profile.as_object().unwrap().clone());
        self.server.person_with(id, &self.signer.token(&claims))
    }
}

/// One's own profile.
async fn own(person: &Person) -> v1::User {
    let me = v1::GetUserRequest { user_id: "me".to_owned() };
    person.users().get_user(me).await.unwrap().into_inner().user.unwrap()
}

async fn shown(person: &Person) -> (String, String) {
    let user = own(person).await;
    (user.name, user.image_url)
}

fn named(name: &str, image: &str) -> (String, String) {
    (name.to_owned(), image.to_owned())
}

#[tokio::test]
async fn profiles_follow_tokens_on_every_door() {
    let issuer = Issuer::start(&["--jwt-profile-claims", "on"]).await;
    for_each_door(async |door| {
        let id = fresh("alice");
        let first = issuer.person(&id, 0, json!({"name": "Alice", "picture": PICTURE}));
        // By hello.
        let mut at_alice = first.connect(door).await;
        assert_eq!(shown(&first).await, named("Alice", PICTURE));
        let bob = issuer.person(&fresh("bob"), 0, json!({"name": "Bob"}));
        let mut at_bob = bob.connect(Door::Grpc).await;
        bob.group(&[&first]).await;

        let second = issuer.person(&id, 100, json!({"name": "Alicia", "picture": ""}));
        let mut again = second.connect(door).await;
        for at in [&mut at_bob, &mut at_alice] {
            let user = loop {
                if let Signal::UserUpdated(user) = at.signal().await {
                    break user;
                }
            };
            assert_eq!(
                (user.user_id.as_str(), user.name.as_str(), user.image_url.as_str()),
                (&*id, "Alicia", "")
            );
        }
        let written = own(&second).await.updated_at;
        // Both tokens stay in use.
        for _ in 0..2 {
            for at in [&mut at_alice, &mut again] {
                at.call(v1::ListInboxRequest::default()).await.unwrap();
            }
        }
        assert_eq!(shown(&first).await, named("Alicia", ""));
        assert_eq!(own(&second).await.updated_at, written, "nothing was written");

        // What is missing or no name changes nothing.
        let third = issuer.person(&id, 200, json!({"name": "a\nb", "picture": "ftp://id.example/a"}));
        assert_eq!(shown(&third).await, named("Alicia", ""));
    })
    .await;
}

#[tokio::test]
async fn what_the_user_changes_lasts_until_the_next_token() {
    let issuer = Issuer::start(&["--jwt-profile-claims", "on"]).await;
    let first = issuer.person("alice", 0, json!({"name": "Alice"}));
    // With a unary call.
    assert_eq!(shown(&first).await, named("Alice", ""));
    let rename = || v1::UpdateUserRequest {
        user_id: "me".to_owned(),
        name: Some("Al".to_owned()),
        ..Default::default()
    };
    first.users().update_user(rename()).await.unwrap();
    assert_eq!(shown(&first).await, named("Al", ""));
    let next = issuer.person("alice", 100, json!({"name": "Alice"}));
    assert_eq!(shown(&next).await, named("Alice", ""));

    let issuer = Issuer::start(&["--jwt-profile-claims", "on", "--own-profile", "off"]).await;
    let first = issuer.person("alice", 0, json!({"name": "Alice"}));
    assert_eq!(shown(&first).await, named("Alice", ""));
    let refused = first.users().update_user(rename()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    let next = issuer.person("alice", 100, json!({"name": "Alicia"}));
    assert_eq!(shown(&next).await, named("Alicia", ""));
}

#[tokio::test]
async fn claims_are_ignored_unless_asked_for_and_in_tokens_of_the_app() {
    let issuer = Issuer::start(&[]).await;
    let alice = issuer.person("alice", 0, json!({"name": "Alice", "picture": PICTURE}));
    assert_eq!(shown(&alice).await, named("alice", ""));
    let issuer = Issuer::start(&["--jwt-profile-claims", "on"]).await;
    let backend = issuer.person("backend", 0, json!({"name": "Backend", "scope": "service"}));
    let create = v1::CreateUserRequest { user_id: "alice".to_owned(), ..Default::default() };
    backend.users().create_user(create).await.unwrap();
    // Created by the app without a name, after the token was issued.
    let alice = issuer.person("alice", 0, json!({"name": "Alice"}));
    assert_eq!(shown(&alice).await, named("Alice", ""));
    let get = v1::GetUserRequest { user_id: "backend".to_owned() };
    assert!(alice.users().get_user(get).await.is_err(), "no user comes of it");
}

/// No later token would be followed.
#[tokio::test]
async fn a_token_of_the_far_future_does_not_hold_a_profile() {
    let issuer = Issuer::start(&["--jwt-profile-claims", "on"]).await;
    let id = fresh("alice");
    assert_eq!(own(&issuer.person(&id, 0, json!({"name": "Alice"}))).await.name, "Alice");
    // In milliseconds.
    let ahead = issuer.person(&id, now() * 999, json!({"name": "Mallory"}));
    let me = v1::GetUserRequest { user_id: "me".to_owned() };
    assert_eq!(
        refused(ahead.users().get_user(me).await),
        (Code::Unauthenticated, "token_invalid".to_owned())
    );
    assert_eq!(own(&issuer.person(&id, 100, json!({"name": "Alicia"}))).await.name, "Alicia");
}
