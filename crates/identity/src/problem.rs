//! Why a token is refused.

use parlance_core::IdError;

/// The id that refers to the caller.
pub const ME: &str = "me";

/// Why a token is refused. Contains nothing of the token's signature or key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenProblem {
    /// The header value is not `Bearer` followed by a token.
    #[error("authorization: want Bearer and a token")]
    NotBearer,
    /// The token exceeds this size in bytes.
    #[error("longer than {0} bytes")]
    TooLong(usize),
    /// Not three parts of base64url and JSON.
    #[error("not a JSON web token")]
    Malformed,
    /// The algorithm does not match the key.
    #[error("alg: want {0}")]
    Algorithm(String),
    /// The signature was not made with a key of this server.
    #[error("the signature does not match a key of this server")]
    Signature,
    /// The issuer publishes no key with this id.
    #[error("kid: no such key")]
    UnknownKey,
    /// The token requires extensions that are not implemented.
    #[error("crit: names extensions that are not supported")]
    Critical,
    /// A claim is missing.
    #[error("{0}: missing")]
    Missing(&'static str),
    /// A claim does not have the type required by the standard.
    #[error("{0}: must be {1}")]
    Type(&'static str, &'static str),
    /// A claim does not have the configured value.
    #[error("{0}: want {1}")]
    Want(&'static str, String),
    /// The token is not valid yet.
    #[error("nbf: lies in the future")]
    NotYet,
    /// The token was issued later than now.
    #[error("iat: lies in the future")]
    NotIssued,
    /// The token lives longer than this.
    #[error("exp: more than {0} seconds after iat")]
    LivesLong(u64),
    /// The subject is not a valid user id.
    #[error("sub: {0}")]
    Subject(IdError),
    /// The subject is the reserved word for the caller.
    #[error("sub: \"{ME}\" stands for the caller and is nobody's id")]
    SubjectMe,
}
