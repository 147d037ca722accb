//! The claims of a token, parsed according to RFC 7519, and for scopes RFC 8693 (`scope`) as well
//! as variants of common issuers (`scp`, lists).
use std::sync::Arc;

use parlance_core::{Caller, TokenId, UserId};
use serde_json::{Map, Value};

use crate::expectations::Expectations;
use crate::problem::{ME, TokenProblem};
use crate::profile;

/// Why the claims of a token are rejected.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Rejected {
    Expired,
    Invalid(TokenProblem),
}

impl From<TokenProblem> for Rejected {
    fn from(problem: TokenProblem) -> Self {
        Self::Invalid(problem)
    }
}

/// Parses and checks the claims of a token with a valid signature. `now` is in seconds since the
/// Unix epoch.
pub(crate) fn check(
    claims: &Map<String, Value>,
    expectations: &Expectations,
    now: u64,
) -> Result<Caller, Rejected> {
    let expires = date(claims, "exp")?.ok_or(TokenProblem::Missing("exp"))?;
    let expires_at = expires.saturating_add(expectations.skew);
    if expires_at < now {
        return Err(Rejected::Expired);
    }
    if date(claims, "nbf")?.is_some_and(|from| from > now.saturating_add(expectations.skew)) {
        return Err(TokenProblem::NotYet.into());
    }
    check_issuer(claims.get("iss"), expectations.issuer.as_deref())?;
    if let Some(audience) = &expectations.audience {
        check_audience(claims.get("aud"), audience)?;
    }
    let user = subject(claims.get("sub"))?;
    let (mut is_service, mut is_admin) = (false, false);
    let mut allow = |scope: &str| {
        is_admin |= scope == "admin";
        is_service |= scope == "service" || scope == "admin";
    };
    for name in ["scope", "scp"] {
        scopes(claims.get(name), name)?.for_each(&mut allow);
    }
    if let Some(path) = &expectations.scope_claim {
        scopes(claim(claims, path), "the claim of scopes")?.for_each(&mut allow);
    }
    let issued_at = date(claims, "iat")?;
    expectations.check_lifetime(issued_at, expires, now)?;
    let token = token_id(claims.get("jti"))?.map(Arc::new);
    let (service, client) = (None, None);
    let profile = if expectations.profile { profile::read(claims).map(Arc::new) } else { None };
    Ok(Caller { user, is_service, is_admin, service, client, expires_at, token, issued_at, profile })
}

/// The claim with this name, or at this path.
fn claim<'c>(claims: &'c Map<String, Value>, path: &str) -> Option<&'c Value> {
    // Some issuers name their own claims by URLs, which contain dots.
    if let Some(claim) = claims.get(path) {
        return Some(claim);
    }
    let (first, rest) = path.split_once('.')?;
    claim(claims.get(first)?.as_object()?, rest)
}

fn token_id(id: Option<&Value>) -> Result<Option<TokenId>, TokenProblem> {
    let wrong = TokenProblem::Type("jti", "a string of 1 to 256 bytes");
    match id {
        None => Ok(None),
        Some(Value::String(id)) => TokenId::parse(id).map(Some).ok_or(wrong),
        Some(_) => Err(wrong),
    }
}

/// A NumericDate: seconds since the Unix epoch; a fraction is truncated.
fn date(claims: &Map<String, Value>, name: &'static str) -> Result<Option<u64>, TokenProblem> {
    let wrong = TokenProblem::Type(name, "a number of seconds since 1970-01-01");
    let Some(value) = claims.get(name) else { return Ok(None) };
    let Value::Number(number) = value else { return Err(wrong) };
    match (number.as_u64(), number.as_f64()) {
        (Some(seconds), _) => Ok(Some(seconds)),
        // The cast saturates: times before 1970 become 0, and times that are too large the maximum.
        (None, Some(seconds)) if seconds.is_finite() => Ok(Some(seconds as u64)),
        _ => Err(wrong),
    }
}

fn check_issuer(issuer: Option<&Value>, expected: Option<&str>) -> Result<(), TokenProblem> {
    match (issuer, expected) {
        (None, None) => Ok(()),
        (None, Some(expected)) => Err(TokenProblem::Want("iss", expected.to_owned())),
        (Some(Value::String(issuer)), Some(expected)) if issuer != expected => {
            Err(TokenProblem::Want("iss", expected.to_owned()))
        }
        (Some(Value::String(_)), _) => Ok(()),
        (Some(_), _) => Err(TokenProblem::Type("iss", "a string")),
    }
}

fn check_audience(audience: Option<&Value>, expected: &str) -> Result<(), TokenProblem> {
    let wrong = TokenProblem::Type("aud", "a string or a list of strings");
    let is_named = match audience {
        None => false,
        Some(Value::String(audience)) => audience == expected,
        Some(Value::Array(audiences)) if audiences.iter().all(Value::is_string) => {
            audiences.iter().any(|audience| audience == expected)
        }
        Some(_) => return Err(wrong),
    };
    if is_named { Ok(()) } else { Err(TokenProblem::Want("aud", expected.to_owned())) }
}

fn subject(subject: Option<&Value>) -> Result<UserId, TokenProblem> {
    let subject = match subject {
        None => return Err(TokenProblem::Missing("sub")),
        Some(Value::String(subject)) => subject,
        Some(_) => return Err(TokenProblem::Type("sub", "a string")),
    };
    if subject == ME {
        return Err(TokenProblem::SubjectMe);
    }
    UserId::parse_new(subject).map_err(TokenProblem::Subject)
}

/// A space-separated string, as in OAuth 2.0, or a list of strings.
fn scopes<'c>(
    claim: Option<&'c Value>,
    name: &'static str,
) -> Result<impl Iterator<Item = &'c str>, TokenProblem> {
    let wrong = || TokenProblem::Type(name, "a string or a list of strings");
    let values = match claim {
        None | Some(Value::Null) => &[],
        Some(value @ Value::String(_)) => std::slice::from_ref(value),
        Some(Value::Array(values)) => values.as_slice(),
        Some(_) => return Err(wrong()),
    };
    let values: Option<Vec<&str>> = values.iter().map(Value::as_str).collect();
    Ok(values.ok_or_else(wrong)?.into_iter().flat_map(|value| value.split(' ')))
}

#[cfg(test)]
mod tests {
    use parlance_core::limits::CLOCK_SKEW;
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    /// Reads the claims of a valid token, modified by `change`; null removes nothing.
    fn read(change: &Value, expectations: &Expectations) -> Result<Caller, String> {
        let mut claims = json!({"sub": "alice", "exp": NOW + 60});
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        check(claims.as_object().unwrap(), expectations, NOW).map_err(|refused| match refused {
            Rejected::Expired => "expired".to_owned(),
            Rejected::Invalid(problem) => problem.to_string(),
        })
    }

    fn good(change: Value) -> Caller {
        read(&change, &Expectations::default()).unwrap_or_else(|problem| panic!("{change}: {problem}"))
    }

    fn refused(change: Value, expected: &str) {
        assert_eq!(read(&change, &Expectations::default()), Err(expected.to_owned()), "{change}");
    }

    #[test]
    fn times_are_numeric_dates() {
        assert_eq!(good(json!({"exp": NOW as f64 + 3600.75})).expires_at, NOW + 3600 + CLOCK_SKEW);
        assert_eq!(good(json!({"exp": 1e300})).expires_at, u64::MAX);
        assert_eq!(good(json!({"exp": u64::MAX})).expires_at, u64::MAX);
        good(json!({"exp": NOW - CLOCK_SKEW}));
        good(json!({"nbf": NOW as f64 + 59.5}));
        for past in [json!(NOW - CLOCK_SKEW - 1), json!(-1), json!(-1.5), json!(0), json!(0.5)] {
            refused(json!({ "exp": past }), "expired");
        }
        refused(json!({"nbf": NOW + 3600}), "nbf: lies in the future");
        good(json!({"iat": NOW + CLOCK_SKEW}));
        for later in [json!(NOW + CLOCK_SKEW + 1), json!(NOW as f64 + 61.5), json!(1e300), json!(u64::MAX)] {
            refused(json!({ "iat": later }), "iat: lies in the future");
        }
        refused(json!({"exp": "1800000060"}), "exp: must be a number of seconds since 1970-01-01");
        refused(json!({ "exp": null }), "exp: must be a number of seconds since 1970-01-01");
        refused(json!({ "nbf": [1] }), "nbf: must be a number of seconds since 1970-01-01");
        let limited = Expectations { max_lifetime: Some(100), ..Expectations::default() };
        let read_limited = |change: Value| read(&change, &limited).map(|caller| caller.expires_at);
        assert_eq!(read_limited(json!({"iat": NOW - 40})), Ok(NOW + 60 + CLOCK_SKEW));
        for (change, problem) in [
            (json!({}), "iat: missing"),
            (json!({"iat": NOW - 41}), "exp: more than 100 seconds after iat"),
            (json!({"iat": NOW + CLOCK_SKEW + 1}), "iat: lies in the future"),
        ] {
            assert_eq!(read_limited(change), Err(problem.to_owned()));
        }
        let claims = json!({"sub": "alice"});
        let missing = check(claims.as_object().unwrap(), &Expectations::default(), NOW);
        assert_eq!(missing, Err(TokenProblem::Missing("exp").into()));
    }

    #[test]
    fn scopes_are_strings_or_lists_in_either_claim() {
        for name in ["scope", "scp"] {
            for scopes in
                [json!("service"), json!("read admin"), json!(["service"]), json!(["read", "chat admin"])]
            {
                assert!(good(json!({ name: scopes })).is_service, "{name}: {scopes}");
            }
            assert!(good(json!({ name: "admin" })).is_admin && !good(json!({ name: "service" })).is_admin);
            for scopes in [json!("services"), json!(""), json!([]), json!(null), json!(["read", "Service"])] {
                assert!(!good(json!({ name: scopes })).is_service, "{name}: {scopes}");
            }
            for scopes in [json!(5), json!({"service": true}), json!(["service", 5])] {
                refused(json!({ name: scopes }), &format!("{name}: must be a string or a list of strings"));
            }
        }
        assert!(good(json!({"scope": "read", "scp": ["service"]})).is_service);
    }

    #[test]
    fn issuer_and_audience_are_checked_where_they_are_expected() {
        let expectations = Expectations {
            audience: Some("chat".into()),
            issuer: Some("app".into()),
            ..Expectations::default()
        };
        let check = |iss: Value, aud: Value, expected: Result<(), &str>| {
            let read = read(&json!({"iss": iss, "aud": aud}), &expectations);
            assert_eq!(read.map(|_| ()), expected.map_err(str::to_owned), "{iss} {aud}");
        };
        check(json!("app"), json!("chat"), Ok(()));
        check(json!("app"), json!(["mail", "chat"]), Ok(()));
        check(json!("other"), json!("chat"), Err("iss: want app"));
        check(json!(null), json!("chat"), Err("iss: must be a string"));
        check(json!(["app"]), json!("chat"), Err("iss: must be a string"));
        check(json!("app"), json!("mail"), Err("aud: want chat"));
        check(json!("app"), json!([]), Err("aud: want chat"));
        check(json!("app"), json!(null), Err("aud: must be a string or a list of strings"));
        check(json!("app"), json!(["chat", 1]), Err("aud: must be a string or a list of strings"));
        assert_eq!(read(&json!({}), &expectations), Err("iss: want app".to_owned()));
        assert_eq!(read(&json!({"iss": "app"}), &expectations), Err("aud: want chat".to_owned()));
        // Without expectations, any value is accepted.
        good(json!({"iss": "anyone", "aud": ["anything"]}));
        refused(json!({ "iss": null }), "iss: must be a string");
    }

    #[test]
    fn scopes_are_in_the_claim_that_is_configured_too() {
        let check = |claim: &str, change: Value, expected: bool| {
            let expectations =
                Expectations { scope_claim: Some(claim.to_owned()), ..Expectations::default() };
            assert_eq!(
                read(&change, &expectations).map(|caller| caller.is_service),
                Ok(expected),
                "{change}"
            );
        };
        check("permissions", json!({"permissions": ["service"]}), true);
        check("permissions", json!({"scope": "admin"}), true);
        check("realm_access.roles", json!({"realm_access": {"roles": ["user", "admin"]}}), true);
        check("realm_access.roles", json!({"realm_access": "admin"}), false);
        check("realm_access.roles", json!({"roles": ["admin"]}), false);
        check("https://app.example/roles", json!({"https://app.example/roles": ["admin"]}), true);
    }

    #[test]
    fn clocks_may_differ_as_much_as_is_configured() {
        let strict = Expectations { skew: 0, ..Expectations::default() };
        assert_eq!(read(&json!({"exp": NOW}), &strict).map(|caller| caller.expires_at), Ok(NOW));
        assert_eq!(read(&json!({"exp": NOW - 1}), &strict), Err("expired".to_owned()));
        assert_eq!(read(&json!({"nbf": NOW + 1}), &strict), Err("nbf: lies in the future".to_owned()));
        assert_eq!(read(&json!({"iat": NOW + 1}), &strict), Err("iat: lies in the future".to_owned()));
    }

    #[test]
    fn tokens_may_have_an_id_and_a_time() {
        let caller = good(json!({"jti": "a1", "iat": NOW as f64 - 0.5}));
        assert_eq!(caller.token.unwrap().as_str(), "a1");
        assert_eq!(caller.issued_at, Some(NOW - 1));
        assert_eq!(good(json!({})).issued_at, None);
        for wrong in [json!(5), json!(""), json!("x".repeat(257)), json!(null)] {
            refused(json!({ "jti": wrong }), "jti: must be a string of 1 to 256 bytes");
        }
        refused(json!({"iat": "now"}), "iat: must be a number of seconds since 1970-01-01");
    }

    #[test]
    fn moderating_takes_admin_in_whichever_claim() {
        let expectations =
            Expectations { scope_claim: Some("app.roles".to_owned()), ..Expectations::default() };
        for (change, expected) in [
            (json!({"app": {"roles": ["admin"]}}), (true, true)),
            (json!({"app": {"roles": "read admin"}}), (true, true)),
            (json!({"app": {"roles": ["service"]}}), (true, false)),
            (json!({"app": {"roles": ["Admin"]}}), (false, false)),
            (json!({"scope": "service", "app": {"roles": ["admin"]}}), (true, true)),
            (json!({"scope": "admin", "app": {"roles": ["service"]}}), (true, true)),
            (json!({}), (false, false)),
        ] {
            let caller = read(&change, &expectations).unwrap();
            assert_eq!((caller.is_service, caller.is_admin), expected, "{change}");
            assert_eq!(caller.service, None);
        }
    }

    #[test]
    fn profiles_are_taken_from_tokens_where_that_is_configured() {
        let named = json!({"name": "Alice"});
        assert_eq!(good(named.clone()).profile, None);
        let expectations = Expectations { profile: true, ..Expectations::default() };
        let profile = read(&named, &expectations).unwrap().profile.unwrap();
        assert_eq!(profile.name.as_ref().map(parlance_core::Name::as_str), Some("Alice"));
    }

    #[test]
    fn subjects_are_ids_of_users() {
        assert_eq!(good(json!({"sub": "auth0|5f7c8ec7"})).user.as_str(), "auth0|5f7c8ec7");
        refused(json!({"sub": "me"}), "sub: \"me\" stands for the caller and is nobody's id");
        refused(json!({"sub": ""}), "sub: must not be empty");
        refused(json!({"sub": "x".repeat(65)}), "sub: must be at most 64 bytes");
        refused(json!({"sub": "a/b"}), "sub: may hold only letters, digits and -_.~@|:+= (found '/')");
        refused(json!({"sub": ".."}), "sub: must not be . or ..");
        refused(json!({"sub": 7}), "sub: must be a string");
        refused(json!({ "sub": null }), "sub: must be a string");
    }
}
