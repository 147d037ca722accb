//! Keys published by an issuer that rotates them, stalls, lies and disappears.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

mod issuer;

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use issuer::{Answer, Issuer, Pair, ok};
use parlance_core::{Clock as _, SystemClock};
use parlance_identity::{Auth, Expectations, Jwks, Key, Pace, Refused, TokenProblem};
use tokio::time::timeout;

/// Fetches are only triggered by tokens, and may follow each other immediately.
const EAGER: Pace = Pace {
    within: Duration::from_millis(300),
    at_most_every: Duration::ZERO,
    every: Duration::from_secs(3_600),
    first_again: Duration::from_millis(10),
};

/// Deadline for everything.
const DEADLINE: Duration = Duration::from_secs(30);

fn auth(jwks: &Arc<Jwks>) -> Auth {
    let expectations =
        Expectations { issuer: Some("https://id.example/".to_owned()), ..Expectations::default() };
    Auth::new(&[], Some(jwks.clone()), expectations).unwrap()
}

async fn who(auth: &Auth, bearer: &str) -> Result<String, Refused> {
    let identified = timeout(DEADLINE, auth.identify(Some(bearer), SystemClock.now())).await;
    identified.expect("an answer").map(|caller| caller.user.to_string())
}

#[tokio::test]
async fn keys_of_all_kinds_verify_what_they_are_for() {
    let (ed, ec, rsa) = (Pair::ed(), Pair::ec(), Pair::rsa());
    let mut pss = rsa.jwk("pss");
    pss["alg"] = "PS256".into();
    let keys = vec![ed.jwk("ed"), ec.jwk("ec"), rsa.jwk("rsa"), pss];
    let jwks = Issuer::start(Answer::Keys(keys)).await.keys(EAGER);
    assert!(jwks.settled().await);
    let auth = auth(&jwks);
    for (pair, alg, kid) in
        [(&ed, "EdDSA", "ed"), (&ec, "ES256", "ec"), (&rsa, "RS256", "rsa"), (&rsa, "PS256", "pss")]
    {
        assert_eq!(who(&auth, &pair.bearer(alg, Some(kid))).await, Ok("alice".to_owned()), "{alg}");
        assert_eq!(who(&auth, &pair.bearer(alg, None)).await, Ok("alice".to_owned()), "{alg}");
    }
    // A key is only valid for its algorithms and its key id.
    for (alg, kid) in [("PS256", "rsa"), ("RS256", "pss"), ("RS256", "ec"), ("RS512", "rsa")] {
        assert!(who(&auth, &rsa.bearer(alg, Some(kid))).await.is_err(), "{alg} {kid}");
    }
}

/// A public key is not accepted as a secret, whatever its source.
#[tokio::test]
async fn nobody_signs_with_a_public_key() {
    let rsa = Pair::rsa();
    let jwks = Issuer::start(Answer::Keys(vec![rsa.jwk("rsa")])).await.keys(EAGER);
    assert!(jwks.settled().await);
    let forger = |secret: &[u8]| {
        let (signed, _) = rsa
            .bearer("HS256", Some("rsa"))
            .rsplit_once('.')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        let signed_bytes = signed.trim_start_matches("Bearer ").as_bytes().to_vec();
        let tag = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret), &signed_bytes);
        use base64::Engine as _;
        format!("{signed}.{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(tag))
    };
    let jwk = rsa.jwk("rsa");
    for secret in [jwk["n"].as_str().unwrap().as_bytes(), jwk.to_string().as_bytes()] {
        let refused = who(&auth(&jwks), &forger(secret)).await;
        assert!(matches!(refused, Err(Refused::Invalid(TokenProblem::Algorithm(_)))), "{refused:?}");
    }
    let none = rsa.bearer("none", Some("rsa"));
    assert!(matches!(who(&auth(&jwks), &none).await, Err(Refused::Invalid(_))));
}

#[tokio::test]
async fn a_rotated_key_is_found_and_the_withdrawn_one_does_not_count() {
    let (old, new) = (Pair::ed(), Pair::ed());
    let issuer = Issuer::start(Answer::Keys(vec![old.jwk("1")])).await;
    let jwks = issuer.keys(EAGER);
    assert!(jwks.settled().await);
    let auth = auth(&jwks);
    assert!(who(&auth, &old.bearer("EdDSA", Some("1"))).await.is_ok());
    issuer.answer(Answer::Keys(vec![new.jwk("2")]));
    assert!(who(&auth, &new.bearer("EdDSA", Some("2"))).await.is_ok());
    let withdrawn = who(&auth, &old.bearer("EdDSA", Some("1"))).await;
    assert_eq!(withdrawn, Err(Refused::Invalid(TokenProblem::UnknownKey)));
}

#[tokio::test]
async fn the_keys_that_were_there_count_while_the_issuer_is_away_or_lies() {
    let (known, other) = (Pair::ed(), Pair::ed());
    let issuer = Issuer::start(Answer::Keys(vec![known.jwk("1")])).await;
    let jwks = issuer.keys(EAGER);
    assert!(jwks.settled().await);
    let auth = auth(&jwks);
    let endless = [ok(b"").as_slice(), &vec![b' '; 1024 * 1024]].concat();
    for (what, answer) in [
        ("no answer", Answer::Stall),
        ("hangs up", Answer::Gone),
        ("an error", Answer::Raw(b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n".to_vec())),
        (
            "elsewhere",
            Answer::Raw(
                b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_vec(),
            ),
        ),
        ("a page", Answer::Raw(ok(b"<html>welcome</html>"))),
        ("no keys", Answer::Keys(Vec::new())),
        ("secrets", Answer::Keys(vec![serde_json::json!({"kty": "oct", "kid": "2", "k": "c2VjcmV0"})])),
        ("more than there may be", Answer::Raw(ok(&vec![b' '; 300 * 1024]))),
        ("more than it said", Answer::Raw(endless)),
        ("nonsense", Answer::Raw(vec![0xff; 64])),
        ("a half", Answer::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{\"keys\":[".to_vec())),
    ] {
        issuer.answer(answer);
        let before = issuer.asked();
        let refused = who(&auth, &other.bearer("EdDSA", Some("2"))).await;
        assert_eq!(refused, Err(Refused::Invalid(TokenProblem::UnknownKey)), "{what}");
        assert!(issuer.asked() > before, "{what}");
        assert!(who(&auth, &known.bearer("EdDSA", Some("1"))).await.is_ok(), "{what}");
    }
    // The key returns.
    issuer.answer(Answer::Keys(vec![known.jwk("1"), other.jwk("2")]));
    assert!(who(&auth, &other.bearer("EdDSA", Some("2"))).await.is_ok());
}

#[tokio::test]
async fn unknown_keys_do_not_have_the_issuer_asked_again_and_again() {
    let known = Pair::ed();
    let issuer = Issuer::start(Answer::Keys(vec![known.jwk("1")])).await;
    let jwks = issuer.keys(Pace { at_most_every: Duration::from_secs(3_600), ..EAGER });
    assert!(jwks.settled().await);
    let auth = Arc::new(auth(&jwks));
    let asking: Vec<_> = (0..100)
        .map(|number| {
            let (auth, bearer) = (auth.clone(), known.bearer("EdDSA", Some(&format!("x{number}"))));
            tokio::spawn(async move { who(&auth, &bearer).await })
        })
        .collect();
    for asked in asking {
        assert!(asked.await.unwrap().is_err());
    }
    assert_eq!(issuer.asked(), 1);
}

/// A caller that names an unknown key and is dropped must not end the fetch that others
/// wait for.
#[tokio::test]
async fn a_caller_who_goes_away_does_not_end_a_fetch() {
    let (old, new) = (Pair::ed(), Pair::ed());
    let issuer = Issuer::start(Answer::Keys(vec![old.jwk("1")])).await;
    let jwks = issuer.keys(EAGER);
    assert!(jwks.settled().await);
    let auth = auth(&jwks);
    issuer.answer(Answer::Keys(vec![new.jwk("2")]));
    let bearer = new.bearer("EdDSA", Some("2"));
    {
        let mut gone = pin!(auth.identify(Some(&bearer), SystemClock.now()));
        let waits = gone.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending();
        assert!(waits, "it waits for the issuer");
    }
    let fetched = async {
        while auth.verify(Some(&bearer), SystemClock.now()).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, fetched).await.expect("it is fetched all the same");
}

#[tokio::test]
async fn calls_are_unavailable_until_first_key_set() {
    let known = Pair::ed();
    let issuer = Issuer::start(Answer::Gone).await;
    let jwks = issuer.keys(EAGER);
    assert!(!jwks.settled().await);
    let auth = auth(&jwks);
    let bearer = known.bearer("EdDSA", Some("1"));
    assert_eq!(who(&auth, &bearer).await, Err(Refused::KeysAway));
    issuer.answer(Answer::Keys(vec![known.jwk("1")]));
    let let_in = async {
        while who(&auth, &bearer).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, let_in).await.expect("the keys are fetched again");
}

#[tokio::test]
async fn keys_that_were_given_count_beside_those_that_are_published() {
    let (given, published) = (b"a secret of more than 32 bytes: 0123456789".to_vec(), Pair::ed());
    let jwks = Issuer::start(Answer::Keys(vec![published.jwk("1")])).await.keys(EAGER);
    assert!(jwks.settled().await);
    let second = Key::Secret(b"another secret of more than 32 bytes: 01234".to_vec());
    let auth = Auth::new(&[Key::Secret(given.clone()), second], Some(jwks), Expectations::default()).unwrap();
    assert!(who(&auth, &published.bearer("EdDSA", Some("1"))).await.is_ok());
    let minted = Auth::local(&given).mint(
        &parlance_core::UserId::parse("bob").unwrap(),
        Duration::from_secs(60),
        SystemClock.now(),
    );
    assert_eq!(who(&auth, &format!("Bearer {}", minted.unwrap())).await, Ok("bob".to_owned()));
    assert_eq!(auth.algorithms(), "HS256, HS384, HS512");
}
