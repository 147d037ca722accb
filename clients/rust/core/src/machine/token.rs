//! Which tokens were refused, and what follows.

use std::time::Duration;

/// Tokens that may be refused in a row: the one that had expired, the fresh one, and one more after a while.
const MAX_REFUSED: u32 = 3;

/// The wait before a further fresh token. A refusal may pass by itself, for example once a
/// clock is right, a new key was read or a cache has let go of the old token.
const PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct Token {
    /// The last one was refused.
    pub(super) want_fresh: bool,
    /// Refused in a row by the server, since the last welcome.
    in_a_row: u32,
    /// Refused by anyone, since the last good connection.
    since_good: u32,
}

/// What follows a refusal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A fresh token is worth a try, after this pause.
    TryFresh { after: Duration },
    /// The identity is refused for good.
    Final,
}

impl Token {
    /// The token was refused, by the server or by a proxy. Only the server ends a session.
    pub(super) fn refused(&mut self, by_server: bool) -> Refusal {
        self.in_a_row += u32::from(by_server);
        if self.in_a_row >= MAX_REFUSED {
            return Refusal::Final;
        }
        self.want_fresh = true;
        self.since_good = self.since_good.saturating_add(1);
        // A token that is accepted and refused again within seconds is no reason to hurry either.
        Refusal::TryFresh { after: if self.since_good == 1 { Duration::ZERO } else { PAUSE } }
    }

    /// The server welcomed the session.
    pub(super) fn accepted(&mut self) {
        self.in_a_row = 0;
    }

    /// The connection was a good one.
    pub(super) fn proved(&mut self) {
        self.since_good = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Refusal = Refusal::TryFresh { after: Duration::ZERO };
    const LATER: Refusal = Refusal::TryFresh { after: PAUSE };

    #[test]
    fn a_second_fresh_token_is_tried_after_a_pause_and_a_third_never() {
        let mut token = Token::default();
        assert_eq!(
            [token.refused(true), token.refused(true), token.refused(true)],
            [AT_ONCE, LATER, Refusal::Final]
        );
    }

    #[test]
    fn a_welcome_starts_the_count_over_and_a_good_connection_the_pauses() {
        let mut token = Token::default();
        assert_eq!([token.refused(true), token.refused(true)], [AT_ONCE, LATER]);
        token.accepted();
        assert_eq!([token.refused(true), token.refused(true)], [LATER, LATER]);
        token.accepted();
        token.proved();
        assert_eq!(
            [token.refused(true), token.refused(true), token.refused(true)],
            [AT_ONCE, LATER, Refusal::Final]
        );
    }

    #[test]
    fn a_proxy_never_refuses_for_good() {
        let mut token = Token::default();
        assert_eq!(token.refused(false), AT_ONCE);
        assert!((0..100).all(|_| token.refused(false) == LATER));
        assert_eq!(
            [token.refused(true), token.refused(true), token.refused(true)],
            [LATER, LATER, Refusal::Final]
        );
    }
}
