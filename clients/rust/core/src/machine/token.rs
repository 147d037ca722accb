//! Tracks refused tokens, and decides what follows.

use std::time::Duration;

/// Maximum number of consecutively refused tokens: the expired one, the fresh one, and one more after a
/// pause.
const MAX_REFUSED: u32 = 3;

/// The pause before another fresh token. A refusal may be temporary, for example until a clock is corrected,
/// a new key is loaded or a cached token expires.
const PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct Token {
    /// The last one was refused.
    pub(super) want_fresh: bool,
    /// Consecutive refusals by the server since the last welcome.
    in_a_row: u32,
    /// Refusals by anyone since the last good connection.
    since_good: u32,
}

/// The consequence of a refusal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Try a fresh token, after this pause.
    TryFresh { after: Duration },
    /// The identity is refused permanently.
    Final,
}

impl Token {
    /// The token was refused, by the server or by a proxy. Only the server can end a session.
    pub(super) fn refused(&mut self, by_server: bool) -> Refusal {
        self.in_a_row += u32::from(by_server);
        if self.in_a_row >= MAX_REFUSED {
            return Refusal::Final;
        }
        self.want_fresh = true;
        self.since_good = self.since_good.saturating_add(1);
        // Also paused for a token that is accepted and refused again within seconds.
        Refusal::TryFresh { after: if self.since_good == 1 { Duration::ZERO } else { PAUSE } }
    }

    /// The server welcomed the session.
    pub(super) fn accepted(&mut self) {
        self.in_a_row = 0;
    }

    /// The connection was good.
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
