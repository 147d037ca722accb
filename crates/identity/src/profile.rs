//! The profile of a user as their token has it.

use parlance_core::{ClaimedProfile, ImageUrl, Name};
use serde_json::{Map, Value};

/// The profile that the token names, by the standard claims of OpenID Connect. What cannot be a name or a picture here
/// is left out: the token is valid without it.
pub(crate) fn read(claims: &Map<String, Value>) -> Option<ClaimedProfile> {
    let text = |claim: &str| claims.get(claim).and_then(Value::as_str);
    let name = text("name").and_then(|name| Name::parse_new(name).ok());
    let image = text("picture").and_then(|url| ImageUrl::parse_new(url).ok());
    (name.is_some() || image.is_some()).then_some(ClaimedProfile { name, image })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_would_be_refused_from_the_user_is_not_taken() {
        let check = |claims: Value, name: Option<&str>, image: Option<&str>| {
            let profile = read(claims.as_object().unwrap());
            assert_eq!(profile.is_some(), name.is_some() || image.is_some(), "{claims}");
            let profile = profile.unwrap_or_default();
            let found =
                (profile.name.as_ref().map(Name::as_str), profile.image.as_ref().map(ImageUrl::as_str));
            assert_eq!(found, (name, image), "{claims}");
        };
        let picture = "https://id.example/alice.png";
        check(json!({"name": "Alice", "picture": picture}), Some("Alice"), Some(picture));
        check(json!({"picture": ""}), None, Some(""));
        check(json!({}), None, None);
        for name in [json!(""), json!("a\u{202e}b"), json!("x".repeat(1_000)), json!(5), json!(null)] {
            check(json!({"name": name, "picture": picture}), None, Some(picture));
        }
        for url in [json!("ftp://id.example/a"), json!("javascript:x"), json!("x".repeat(3_000)), json!({})] {
            check(json!({"name": "Alice", "picture": url}), Some("Alice"), None);
        }
    }
}
