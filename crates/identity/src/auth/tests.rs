use parlance_core::limits::CLOCK_SKEW;

use super::*;

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn refusals_are_distinguished() {
    let auth = Auth::local(&[7; 32]);
    let alice = UserId::parse("alice").unwrap();
    let refused = |header: &str| match auth.verify(Some(header), NOW) {
        Err(Refused::Invalid(problem)) => problem.to_string(),
        other => panic!("{header}: {other:?}"),
    };
    let token = auth.mint(&alice, MINUTE, NOW).unwrap();
    assert_eq!(auth.verify(Some(&format!("bearer {token}")), NOW).unwrap().user, alice);
    assert_eq!(refused(&token), "authorization: want Bearer and a token");
    assert_eq!(refused(&format!("Basic {token}")), "authorization: want Bearer and a token");
    assert_eq!(refused("Bearer garbage"), "not a JSON web token");
    assert_eq!(refused(&format!("Bearer {}", "x".repeat(9000))), "longer than 8192 bytes");
    let other = Auth::local(&[8; 32]).mint(&alice, MINUTE, NOW).unwrap();
    assert_eq!(refused(&format!("Bearer {other}")), "the signature does not match a key of this server");
    let encoding = EncodingKey::from_secret(&[7; 32]);
    let signed = |header: &Header| {
        let claims = OwnClaims { sub: "alice", exp: u64::MAX, iat: None, scope: "", iss: LOCAL_ISSUER };
        format!("Bearer {}", jsonwebtoken::encode(header, &claims, &encoding).unwrap())
    };
    assert_eq!(refused(&signed(&Header::new(Algorithm::HS512))), "alg: want HS256");
    let critical = Header { crit: Some(vec!["b64".to_owned()]), ..Header::default() };
    assert_eq!(refused(&signed(&critical)), "crit: names extensions that are not supported");
}

#[test]
fn crit_must_be_a_list_of_names() {
    let auth = Auth::local(&[7; 32]);
    let claims = OwnClaims { sub: "alice", exp: u64::MAX, iat: None, scope: "", iss: LOCAL_ISSUER };
    let key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
    let verify = |header: &str| {
        let claims = serde_json::to_vec(&claims).unwrap();
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
        match auth.verify(Some(&format!("Bearer {signed}.{signature}")), NOW) {
            Ok(caller) => caller.user.to_string(),
            Err(Refused::Invalid(problem)) => problem.to_string(),
            Err(other) => panic!("{header}: {other:?}"),
        }
    };
    assert_eq!(verify(r#"{"alg":"HS256"}"#), "alice");
    let malformed = ["crit: must be a list of names", "not a JSON web token"];
    for crit in ["null", "[]", r#""b64""#, "true", "{}", "1", "[null]", r#"["b64",1]"#] {
        let answer = verify(&format!(r#"{{"alg":"HS256","crit":{crit}}}"#));
        assert!(malformed.contains(&answer.as_str()), "{crit}: {answer}");
    }
    let named = verify(r#"{"alg":"HS256","crit":["exp"]}"#);
    assert_eq!(named, "crit: names extensions that are not supported");
}

#[test]
fn own_tokens_may_have_a_scope() {
    let auth = Auth::local(&[7; 32]);
    let backend = UserId::parse("backend").unwrap();
    let token = auth.mint_with_scope(&backend, "service", MINUTE, NOW).unwrap();
    assert!(auth.verify(Some(&format!("Bearer {token}")), NOW).unwrap().is_service);
}

/// Only `now` decides, not the machine's clock.
#[test]
fn tokens_expire_by_the_time_that_is_handed_in() {
    let auth = Auth::local(&[7; 32]);
    let alice = UserId::parse("alice").unwrap();
    let bearer = format!("Bearer {}", auth.mint(&alice, MINUTE, NOW).unwrap());
    let after = |seconds: u64| Timestamp(NOW.0 + seconds * 1_000);
    let caller = auth.verify(Some(&bearer), NOW).unwrap();
    assert_eq!(caller.remaining(NOW), Duration::from_secs(60 + CLOCK_SKEW));
    assert_eq!(caller.remaining(after(100)), Duration::from_secs(CLOCK_SKEW - 40));
    assert!(auth.verify(Some(&bearer), after(60 + CLOCK_SKEW - 1)).is_ok());
    let late = auth.verify(Some(&bearer), after(61 + CLOCK_SKEW));
    assert!(matches!(late, Err(Refused::Expired)), "{late:?}");
}

#[test]
fn fingerprints_only_distinguish_keys() {
    let [one, two] = [7, 8].map(|byte| Key::Secret(vec![byte; 32]));
    let auth = Auth::new(std::slice::from_ref(&one), None, Expectations::default()).unwrap();
    // Nodes of different versions must agree.
    let first = "8e8e2b30f93a12c7".to_owned();
    assert_eq!(auth.key_fingerprints(), std::slice::from_ref(&first));
    auth.set_keys(&[two]).unwrap();
    let both = auth.key_fingerprints();
    assert!(both.len() == 2 && both.contains(&first), "those before count, too: {both:?}");
}

#[test]
fn replaced_keys_verify_from_then_on() {
    let [one, two] = [7, 8].map(|byte| vec![byte; 32]);
    let alice = UserId::parse("alice").unwrap();
    let minted = |secret: &[u8]| format!("Bearer {}", Auth::local(secret).mint(&alice, MINUTE, NOW).unwrap());
    let auth = Auth::new(&[Key::Secret(one.clone())], None, Expectations::default()).unwrap();
    let verifies = |secret: &[u8]| auth.verify(Some(&minted(secret)), NOW).is_ok();
    assert!(verifies(&one) && !verifies(&two));
    auth.set_keys(&[Key::Secret(one.clone()), Key::Secret(two.clone())]).unwrap();
    assert!(verifies(&one) && verifies(&two));
    auth.set_keys(&[Key::Secret(two.clone())]).unwrap();
    assert!(!verifies(&one) && verifies(&two));
    assert_eq!(auth.set_keys(&[Key::Secret(b"short".to_vec())]), Err(KeyError::ShortSecret));
    assert!(verifies(&two), "unusable keys replace nothing");
}
