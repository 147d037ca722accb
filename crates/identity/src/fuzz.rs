//! Tokens, keys and key sets from mutated bytes. A token is accepted only if somebody with a key has signed it.

use std::time::Duration;

use parlance_core::{Timestamp, UserId};
use parlance_fuzz::Target;

use crate::{Auth, Expectations, JwksUrl, Key, Refused};

const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn target<'t>(name: &'t str, seeds: &[&str], dictionary: &'t [&'t str]) -> Target<'t> {
    let seeds = seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect();
    Target { name, crate_dir: env!("CARGO_MANIFEST_DIR"), seeds, dictionary, cost: 1 }
}

#[test]
fn fuzz_tokens() {
    let secret = [7; 32];
    let auth = Auth::local(&secret);
    let alice = UserId::parse("alice").unwrap();
    let token = auth.mint(&alice, Duration::from_secs(3_600), NOW).unwrap();
    // {"alg":"none"} and {"alg":"RS256","kid":"1"}
    let words =
        ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ", ".", "..", "=", "Bearer ", "e30"];
    target("tokens", &[&token, "e30.e30.e30", "eyJhbGciOiJub25lIn0.e30."], &words).run(|input| {
        let text = String::from_utf8_lossy(input);
        match auth.verify(Some(&format!("Bearer {text}")), NOW) {
            Ok(caller) => {
                assert_eq!(caller.user, alice);
                // What is signed is as it was; the same signature may be written in two ways.
                let signed = |token: &str| token.trim().rsplit_once('.').map(|(signed, _)| signed.to_owned());
                assert_eq!(signed(&text), signed(&token));
                "accepted".to_owned()
            }
            Err(Refused::Invalid(problem)) => problem.to_string(),
            Err(other) => other.to_string(),
        }
    });
}

/// Claims that a key holder has signed, whatever they are.
#[test]
fn fuzz_claims() {
    let claims = [
        r#"{"sub":"alice","exp":1800003600,"iat":1799999999,"jti":"t","scope":"service admin"}"#,
        r#"{"sub":"alice","exp":1.8e9,"nbf":0,"aud":["a","chat"],"iss":"app","scp":["service"]}"#,
        r#"{"sub":"me","exp":"1800003600","realm_access":{"roles":["admin"]}}"#,
    ];
    let words = [
        "exp", "nbf", "iat", "sub", "aud", "iss", "scope", "jti", "1e400", "-1", "null", "[]", "{}", "\"me\"",
    ];
    let expectations = Expectations {
        audience: Some("chat".to_owned()),
        scope_claim: Some("realm_access.roles".to_owned()),
        ..Expectations::default()
    };
    target("claims", &claims, &words).run(|input| {
        let read = serde_json::from_slice::<serde_json::Map<_, _>>(input).ok();
        read.map(|claims| {
            let checked = crate::claims::check(&claims, &expectations, NOW.0 / 1_000);
            if let Ok(caller) = &checked {
                assert!(caller.expires_at >= NOW.0 / 1_000, "an expired token is refused");
                assert!(claims.get("aud").is_some_and(|aud| aud.to_string().contains("chat")));
            }
            checked.map(|caller| (caller.is_service, caller.is_admin, caller.token.is_some())).map_err(|_| ())
        })
    });
}

#[test]
fn fuzz_keys_and_key_sets() {
    crate::provider::install();
    let ed25519 = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
                   -----END PUBLIC KEY-----\n";
    let set = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","use":"sig","x":"Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE"},
        {"kty":"EC","crv":"P-256","kid":"2","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
        {"kty":"RSA","n":"AQAB","e":"AQAB","alg":"RS256","key_ops":["verify"]}]}"#;
    let words = [
        "kty",
        "crv",
        "alg",
        "RSA",
        "EC",
        "P-256",
        "P-384",
        "oct",
        "AQAB",
        "none",
        "null",
        "-----BEGIN",
        "\n",
    ];
    let seeds = [ed25519, set, "https://id.example.org/keys?v=1", "http://127.0.0.1:80/"];
    target("keys", &seeds, &words).run(|input| {
        let text = String::from_utf8_lossy(input);
        let url = text.parse::<JwksUrl>().map(|url| {
            let url = url.to_string();
            assert!(
                url.starts_with("https:")
                    || url.contains("127.")
                    || url.contains("localhost")
                    || url.contains("::1")
            );
        });
        let keys = crate::jwk::read_set(input).map(|keys| keys.len());
        let checks = [Key::PublicPem(input.to_vec()).check(), Key::Secret(input.to_vec()).check()];
        (url.is_ok(), keys.ok(), checks)
    });
}
