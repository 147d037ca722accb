//! Key sets according to RFC 7517. Each key gets the algorithms that it may be used with. Keys of other
//! kinds and uses are ignored, and so are shared secrets: a published secret is none.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use crate::key::VerifyingKey;
use crate::limits::{MAX_KEYS, MAX_RSA_BYTES, MIN_RSA_BYTES};

#[derive(Deserialize)]
struct Set {
    /// Parsed one by one: a key of an unknown kind must not affect the others.
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The keys in a set that can verify tokens.
///
/// # Errors
/// What is wrong with the set, if there is no such key.
pub(crate) fn read_set(json: &[u8]) -> Result<Vec<VerifyingKey>, String> {
    let set: Set = serde_json::from_slice(json).map_err(|error| format!("not a key set: {error}"))?;
    let count = set.keys.len();
    let keys = set.keys.into_iter().filter_map(|key| read_key(serde_json::from_value(key).ok()?));
    let keys: Vec<_> = keys.take(MAX_KEYS).collect();
    if keys.is_empty() {
        return Err(format!("none of its {count} keys can be used"));
    }
    Ok(keys)
}

fn read_key(jwk: Jwk) -> Option<VerifyingKey> {
    let verifies = |ops: &Vec<String>| ops.iter().any(|op| op == "verify");
    if jwk.usage.as_deref().is_some_and(|usage| usage != "sig")
        || jwk.key_ops.as_ref().is_some_and(|ops| !verifies(ops))
    {
        return None;
    }
    let (decoding, algorithms) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => (rsa(jwk.n.as_deref()?, jwk.e.as_deref()?)?, RSA),
        ("EC", Some("P-256")) => (point(&jwk, 32)?, &[Algorithm::ES256][..]),
        ("EC", Some("P-384")) => (point(&jwk, 48)?, &[Algorithm::ES384][..]),
        ("OKP", Some("Ed25519")) => {
            let x = URL_SAFE_NO_PAD.decode(jwk.x.as_deref()?).ok().filter(|x| x.len() == 32)?;
            (DecodingKey::from_ed_der(&x), &[Algorithm::EdDSA][..])
        }
        _ => return None,
    };
    let algorithms: Vec<_> = match jwk.alg.as_deref() {
        // PSS is only used if the key names it.
        None => algorithms.iter().copied().filter(|algorithm| !PSS.contains(algorithm)).collect(),
        // RFC 9864 names the curve.
        Some("Ed25519") if jwk.kty == "OKP" => vec![Algorithm::EdDSA],
        Some(named) => {
            algorithms.iter().copied().filter(|algorithm| format!("{algorithm:?}") == named).collect()
        }
    };
    (!algorithms.is_empty()).then(|| VerifyingKey::new(jwk.kid, decoding, algorithms))
}

const PSS: [Algorithm; 3] = [Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];

const RSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

fn rsa(n: &str, e: &str) -> Option<DecodingKey> {
    let number = |text: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Some(bytes[zeros..].to_vec())
    };
    let (n, e) = (number(n)?, number(e)?);
    let is_sound = (MIN_RSA_BYTES..=MAX_RSA_BYTES).contains(&n.len()) && (1..=8).contains(&e.len());
    is_sound.then(|| DecodingKey::from_rsa_der(&der(SEQUENCE, &[der_integer(&n), der_integer(&e)].concat())))
}

fn point(jwk: &Jwk, bytes: usize) -> Option<DecodingKey> {
    let coordinate = |text: &Option<String>| {
        URL_SAFE_NO_PAD.decode(text.as_deref()?).ok().filter(|coordinate| coordinate.len() == bytes)
    };
    let (x, y) = (coordinate(&jwk.x)?, coordinate(&jwk.y)?);
    Some(DecodingKey::from_ec_der(&[&[UNCOMPRESSED], x.as_slice(), y.as_slice()].concat()))
}

/// Prefix of a point with both coordinates (SEC 1, 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// ASN.1 tags.
const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;

/// A positive integer without leading zeros.
fn der_integer(number: &[u8]) -> Vec<u8> {
    // The first bit would be its sign.
    let sign: &[u8] = if number.first().is_some_and(|first| first & 0x80 != 0) { &[0] } else { &[] };
    der(INTEGER, &[sign, number].concat())
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
        out.push(0x80 | bytes.len() as u8);
        out.extend(bytes);
    }
    out.extend(content);
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn n(bytes: usize) -> String {
        URL_SAFE_NO_PAD.encode(vec![0xc1; bytes])
    }

    fn x(bytes: usize) -> String {
        URL_SAFE_NO_PAD.encode(vec![7; bytes])
    }

    fn read(jwk: Value) -> Option<String> {
        let key = read_key(serde_json::from_value(jwk).ok()?)?;
        Some(format!("{:?}", key.algorithms()))
    }

    #[test]
    fn algorithms_are_pinned_to_each_key() {
        let check = |jwk: Value, expected: Option<&str>| {
            assert_eq!(read(jwk.clone()).as_deref(), expected, "{jwk}");
        };
        let rsa = json!({"kty": "RSA", "n": n(256), "e": "AQAB"});
        let ec = json!({"kty": "EC", "crv": "P-256", "x": x(32), "y": x(32)});
        let with = |key: &Value, name: &str, value: Value| {
            let mut key = key.clone();
            key[name] = value;
            key
        };
        check(rsa.clone(), Some("[RS256, RS384, RS512]"));
        check(with(&rsa, "alg", json!("RS512")), Some("[RS512]"));
        check(with(&rsa, "alg", json!("PS256")), Some("[PS256]"));
        check(with(&rsa, "alg", json!("HS256")), None);
        check(with(&rsa, "alg", json!("none")), None);
        check(with(&rsa, "alg", json!("RSA-OAEP")), None);
        check(with(&rsa, "use", json!("enc")), None);
        check(with(&rsa, "use", json!("sig")), Some("[RS256, RS384, RS512]"));
        check(with(&rsa, "key_ops", json!(["sign"])), None);
        check(with(&rsa, "key_ops", json!(["verify"])), Some("[RS256, RS384, RS512]"));
        check(with(&rsa, "n", json!(n(128))), None);
        check(with(&rsa, "n", json!(n(1025))), None);
        check(with(&rsa, "n", json!("!")), None);
        check(with(&rsa, "e", json!("")), None);
        check(ec.clone(), Some("[ES256]"));
        check(with(&ec, "alg", json!("ES384")), None);
        check(with(&ec, "x", json!(x(31))), None);
        check(with(&ec, "crv", json!("secp256k1")), None);
        let ed = json!({"kty": "OKP", "crv": "Ed25519", "x": x(32)});
        check(ed.clone(), Some("[EdDSA]"));
        check(with(&ed, "alg", json!("Ed25519")), Some("[EdDSA]"));
        check(with(&ed, "alg", json!("RS256")), None);
        check(json!({"kty": "oct", "k": x(64)}), None);
        check(json!({"kty": "RSA"}), None);
        check(json!({"kid": "1"}), None);
        check(json!("RSA"), None);
    }

    #[test]
    fn key_set_without_usable_key_is_rejected() {
        let read = |set: Value| read_set(set.to_string().as_bytes()).map(|keys| keys.len());
        let ed = json!({"kty": "OKP", "crv": "Ed25519", "x": x(32), "kid": "a"});
        assert_eq!(read(json!({"keys": [{"kty": "new"}, ed, 5]})), Ok(1));
        assert_eq!(read(json!({"keys": vec![ed.clone(); 100]})), Ok(MAX_KEYS));
        for nothing in [json!({}), json!([]), json!({"keys": {}}), json!({"keys": []}), json!({"keys": [1]})]
        {
            assert!(read(nothing.clone()).is_err(), "{nothing}");
        }
    }

    /// The encoding of public keys in RFC 8017, A.1.1.
    #[test]
    fn modulus_and_exponent_become_asn_1() {
        assert_eq!(der_integer(&[0x81]), [2, 2, 0, 0x81]);
        assert_eq!(der_integer(&[1, 0, 1]), [2, 3, 1, 0, 1]);
        assert_eq!(der(SEQUENCE, &[9; 0x80])[..4], [0x30, 0x81, 0x80, 9]);
        assert_eq!(der(SEQUENCE, &[9; 0x123])[..5], [0x30, 0x82, 1, 0x23, 9]);
    }
}
