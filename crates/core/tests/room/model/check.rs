use std::collections::{BTreeMap, BTreeSet};

use parlance_core::{
    Body, Cursors, JoinRequest, Link, Outcome, Overlay, Refusal, RequestEnd, RoomKind, Unread, UserId,
};

use super::cluster::{Cluster, Op};
use super::truth::{Truth, ensure};

/// Previously observed values that must only grow.
#[derive(Default)]
pub(crate) struct Watch {
    cursors: BTreeMap<UserId, Cursors>,
    floor: u64,
    /// Chunks, answers and the log's last nonce as of the last fold.
    folded: (usize, usize, [u8; 16]),
}

/// Checks the invariants that hold at any moment.
pub(crate) fn step(cluster: &Cluster, watch: &mut Watch) -> Result<(), String> {
    let store = &cluster.store;
    ensure!(store.info.floor >= watch.floor, "the floor went back to {}", store.info.floor);
    watch.floor = store.info.floor;
    marks(cluster, watch)?;
    let answers = cluster.ops.iter().map(|op| op.answers.len()).sum();
    let folded = (store.log.len() + store.retired.len(), answers, *store.tail().nonce());
    if folded == watch.folded {
        return Ok(());
    }
    watch.folded = folded;
    let truth = fold(cluster)?;
    projections(cluster, &truth)?;
    messages_once(&truth)?;
    for op in &cluster.ops {
        answers_of(op, &truth)?;
    }
    let heads: Vec<_> = store.log.values().chain(store.retired.values()).map(|chunk| chunk.head()).collect();
    for room in cluster.nodes.iter().filter_map(|node| node.room.as_ref()) {
        ensure!(heads.contains(&room.head()), "a node's head {:?} ends no chunk", room.head());
    }
    Ok(())
}

/// Checks the invariants that hold once every node has caught up and every client has
/// retried.
pub(crate) fn settled(cluster: &Cluster) -> Result<(), String> {
    let store = &cluster.store;
    let truth = fold(cluster)?;
    for node in &cluster.nodes {
        let room = node.room.as_ref().ok_or("a node without its room")?;
        ensure!(room.head() == store.tail().head(), "a node stands at {:?}", room.head());
        ensure!(room.info().settings == store.info.settings, "a node has other settings");
        for (user, row) in store.members.iter() {
            let known = room.member(user);
            ensure!(
                known.is_none_or(|known| known.as_ref() == Some(row)),
                "a node has {known:?} for {row:?}"
            );
        }
    }
    for op in cluster.ops.iter().filter(|op| op.command.after.is_some()) {
        ensure!(!op.answers.is_empty(), "{:?} was never answered", op.command);
    }
    // Unread counts are exact for every member.
    for (user, member) in truth.members.iter().filter(|(_, member)| member.is_active()) {
        let mark = store.cursors.get(user).ok_or("a member without a mark")?.read;
        let after =
            truth.messages.range(mark.seq + 1..).filter(|(_, sent)| !sent.overlay.deleted).count() as u64;
        let said = store.unread(mark);
        ensure!(said == after, "{said} unread for {member:?}, {after} messages after the mark");
        let deletions = Unread::new(store.tail().head(), mark).deleted_in();
        let since = deleted(cluster, mark.seq);
        ensure!(since > 0 || deletions.is_none(), "deleted messages are counted where nothing was deleted");
    }
    Ok(())
}

/// Deletions in the log after `seq`.
fn deleted(cluster: &Cluster, seq: u64) -> usize {
    let chunks = cluster.store.log.values().chain(cluster.store.retired.values());
    let events = chunks.flat_map(|chunk| chunk.events());
    let deletions =
        events.filter(|event| event.seq > seq && matches!(event.body, Body::MessageDeleted { .. }));
    deletions.count()
}

fn fold(cluster: &Cluster) -> Result<Truth, String> {
    Truth::fold(cluster.store.retired.values().chain(cluster.store.log.values()))
}

/// Marks never move back.
fn marks(cluster: &Cluster, watch: &mut Watch) -> Result<(), String> {
    for (user, cursors) in &cluster.store.cursors {
        let before = watch.cursors.insert(user.clone(), *cursors).unwrap_or_default();
        let forward = cursors.delivered >= before.delivered
            && cursors.read.seq >= before.read.seq
            && cursors.read.message_count >= before.read.message_count;
        ensure!(forward, "{user} went back from {before:?} to {cursors:?}");
    }
    Ok(())
}

/// The data next to the log agrees with the log.
fn projections(cluster: &Cluster, truth: &Truth) -> Result<(), String> {
    let store = &cluster.store;
    ensure!(Some(&store.info.settings) == truth.settings.as_ref(), "other settings than the log's");
    ensure!(store.members == truth.members, "rows {:?}, log {:?}", store.members, truth.members);
    for (seq, sent) in &truth.messages {
        let stored = store.overlays.get(seq).cloned().unwrap_or_default();
        ensure!(stored == sent.overlay, "overlay {stored:?} at {seq}, log {:?}", sent.overlay);
        let mark = store.cursors.get(&sent.sender).map_or(0, |cursors| cursors.read.seq);
        ensure!(mark >= *seq, "{} sent {seq} and has read {mark}", sent.sender);
    }
    let now = truth.now();
    let open: BTreeMap<_, _> = store.invitations.open_at(now).collect();
    let expected: BTreeMap<_, _> = truth.invitations.iter().filter(|(_, it)| it.is_open_at(now)).collect();
    ensure!(open == expected, "invitations {open:?}, log {expected:?}");
    for (user, invitation) in open {
        ensure!(
            store.invited.get(user).is_some_and(|listed| listed.seq == invitation.seq),
            "{user} finds no {invitation:?} of the invitations"
        );
    }
    let open =
        |link: &Link| link.is_open_at(now).then_some((link.seq, (link.until, link.max_uses, link.uses)));
    let links: BTreeMap<_, _> = store.invitations.links().filter_map(open).collect();
    let expected = truth.links.iter().filter(|(_, (until, most, uses))| now < *until && uses < most);
    let expected: BTreeMap<_, _> = expected.map(|(seq, link)| (*seq, *link)).collect();
    ensure!(links == expected, "links {links:?}, log {expected:?}");
    let withdrawn = |request: &JoinRequest| request.ended == Some(RequestEnd::Withdrawn);
    let requests = store.invitations.requests().filter(|(_, request)| !withdrawn(request));
    let requests = requests.map(|(user, request)| (user, (request.until, request.is_rejected())));
    let requests: BTreeMap<_, _> = requests.filter(|(_, (until, _))| now < *until).collect();
    let expected = truth.requests.iter().filter(|(_, (until, _))| now < *until);
    let expected: BTreeMap<_, _> = expected.map(|(user, request)| (user, *request)).collect();
    ensure!(requests == expected, "requests {requests:?}, log {expected:?}");
    for (user, request) in store.invitations.requests().filter(|(user, _)| requests.contains_key(user)) {
        let listed = store.invited.get(user).ok_or("a user does not find their request")?;
        let asked_by = store.decided(request.seq).map(|event| event.request.as_str());
        let note = Some(listed.note.as_str());
        let expected = if request.is_rejected() { Some("") } else { asked_by };
        ensure!(note == expected, "{user} asks with the note {note:?} by {asked_by:?}");
    }
    let is_listed = store.info.kind == RoomKind::Channel && store.info.settings.listed;
    let members = truth.members.values().filter(|member| member.is_active()).count() as u64;
    let listed: Vec<_> =
        store.directory.iter().map(|(place, members)| (place.title.as_str(), *members)).collect();
    let row = (store.info.settings.title.as_str(), members);
    let expected = if is_listed && members > 0 && !row.0.is_empty() { vec![row] } else { Vec::new() };
    ensure!(listed == expected, "the directory has {listed:?}, the log {expected:?}");
    let others = store.overlays.iter().filter(|(seq, _)| !truth.messages.contains_key(seq));
    let others: BTreeMap<_, _> = others.map(|(seq, overlay)| (*seq, overlay.clone())).collect();
    let outdated = truth.outdated.iter().map(|(seq, by)| (*seq, Overlay::outdated(*by)));
    let outdated: BTreeMap<_, _> = outdated.collect();
    ensure!(others == outdated, "an overlay of no message: {others:?}, log {outdated:?}");
    for (user, row) in &truth.members {
        let Cursors { read, .. } = store.cursors.get(user).ok_or("a member without a mark")?;
        let joined = row.intervals.last().map_or(0, |interval| interval.joined);
        ensure!(read.seq >= joined, "{user} joined at {joined} and has read {}", read.seq);
        let counted = truth.messages.range(..=read.seq).count() as u64;
        ensure!(read.message_count == counted, "{counted} messages up to {user}'s mark {read:?}");
    }
    Ok(())
}

/// No message exists twice, whatever its request id.
fn messages_once(truth: &Truth) -> Result<(), String> {
    let mut texts = BTreeSet::new();
    for (seq, sent) in &truth.messages {
        ensure!(texts.insert(&sent.text), "{:?} is there twice, again at {seq}", sent.text);
    }
    Ok(())
}

/// Every answer that a client ever received agrees with the log.
fn answers_of(op: &Op, truth: &Truth) -> Result<(), String> {
    let mut first_hand = 0;
    for told in &op.answers {
        let command = &told.answer.attempt.command;
        let run = truth.runs.get(&(command.actor.clone(), command.request.clone()));
        match &told.answer.result {
            // Nothing had to change: the log has no event for it.
            Ok(outcome) if outcome.first == 0 => {}
            Ok(outcome) => {
                let run = run.ok_or_else(|| format!("{outcome:?} is not in the log"))?;
                let expected = Outcome {
                    first: run.first,
                    last: run.last,
                    at: run.at,
                    message_count: run.message_count,
                    is_repeat: outcome.is_repeat,
                };
                ensure!(*outcome == expected, "answered {outcome:?}, the log has {run:?}");
                first_hand += u32::from(!outcome.is_repeat);
            }
            Err(Refusal::OutcomeUnknown { .. }) => {
                let below = op.command.after.is_some_and(|after| after + 1 < told.floor);
                ensure!(below, "{:?} is above the floor {}", op.command, told.floor);
            }
            // Clients are honest, and all logs are short.
            Err(
                refusal @ (Refusal::CursorAhead { .. }
                | Refusal::CatchUpFirst { .. }
                | Refusal::RequestIdReused),
            ) => return Err(format!("{:?} was refused: {refusal}", op.command)),
            Err(refusal) => {
                let was_done = run.is_some_and(|run| run.first <= told.answer.head);
                ensure!(!was_done, "{:?} was done, then refused: {refusal}", op.command);
            }
        }
    }
    ensure!(first_hand <= 1, "{:?} was done {first_hand} times", op.command);
    Ok(())
}
