//! Selects the connection for a request.

/// The result of probing a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// The node answers and accepts new sessions.
    Ready,
    /// The node answers, but new sessions should go elsewhere.
    NotReady,
    /// An answer is overdue.
    Late,
}

/// A connection that could be used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    pub(crate) standing: Standing,
    /// It accepts no further streams.
    pub(crate) closed: bool,
    /// Its node has already failed to answer this request.
    pub(crate) avoided: bool,
    /// Open streams on it.
    pub(crate) streams: usize,
}

/// Returns the index of the best candidate: one that answers, of a ready node if there is one, with the fewest
/// streams. A node that is not ready is better than none.
pub(crate) fn choose(candidates: impl IntoIterator<Item = Candidate>) -> Option<usize> {
    let usable = |candidate: &Candidate| !candidate.closed && candidate.standing != Standing::Late;
    let open = candidates.into_iter().enumerate().filter(|(_, candidate)| usable(candidate));
    let best = open.min_by_key(|(_, candidate)| (candidate.avoided, candidate.standing, candidate.streams));
    best.map(|(index, _)| index)
}

/// Why no new sessions are accepted, if so, from the results of probing.
pub(crate) fn missing(standings: impl IntoIterator<Item = Standing>) -> Option<&'static str> {
    match standings.into_iter().min() {
        Some(Standing::Ready) => None,
        Some(Standing::NotReady) => Some("none of the nodes is ready"),
        Some(Standing::Late) | None => Some("no node is reachable"),
    }
}

#[cfg(test)]
mod tests {
    use super::Standing::{Late, NotReady, Ready};
    use super::*;

    fn link(standing: Standing, streams: usize) -> Candidate {
        Candidate { standing, closed: false, avoided: false, streams }
    }

    fn check(candidates: &[Candidate], expected: Option<usize>) {
        assert_eq!(choose(candidates.iter().copied()), expected, "{candidates:?}");
    }

    #[test]
    fn fewest_streams_win_among_ready_nodes() {
        check(&[link(Ready, 7), link(Ready, 3), link(Ready, 5)], Some(1));
        check(&[], None);
    }

    #[test]
    fn late_answers_are_worse_than_many_streams() {
        check(&[link(Late, 0), link(Ready, 9_000)], Some(1));
        check(&[link(Late, 0)], None);
    }

    #[test]
    fn node_that_is_not_ready_is_taken_where_no_other_is() {
        check(&[link(NotReady, 0), link(Ready, 9_000)], Some(1));
        check(&[link(NotReady, 0), link(Late, 0)], Some(0));
    }

    #[test]
    fn closed_connections_are_not_taken() {
        check(&[Candidate { closed: true, ..link(Ready, 0) }, link(NotReady, 4)], Some(1));
    }

    #[test]
    fn repeat_goes_to_another_node_if_there_is_one() {
        let silent = Candidate { avoided: true, ..link(Ready, 0) };
        check(&[silent, link(NotReady, 4)], Some(1));
        check(&[silent, link(Late, 4)], Some(0));
    }

    #[test]
    fn bridge_is_ready_while_one_node_is() {
        assert_eq!(missing([Late, Ready, NotReady]), None);
        assert_eq!(missing([Late, NotReady]), Some("none of the nodes is ready"));
        assert_eq!(missing([Late]), Some("no node is reachable"));
        assert_eq!(missing([]), Some("no node is reachable"));
    }
}
