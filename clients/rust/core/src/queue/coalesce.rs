//! How a new command affects queued ones.

use parlance_proto::v1::client_frame::Operation;

use crate::command::{Command, CommandKind, CommandState, kind_of};
use crate::request::{named_seq, room_of};
use crate::state::is_same_emoji;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Coalesced {
    /// Ids of queued commands replaced or cancelled by the new one.
    pub(super) drop: Vec<String>,
    pub(super) fate: Fate,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is queued.
    Keep,
    /// The queued command with this id has the same effect.
    Same(String),
    /// It only undoes dropped commands, and nothing is left to do.
    Cancelled,
}

/// Merges a new command with the queued ones: the highest mark wins, the latest hidden flag and the latest
/// edit of a message, and a reaction and its removal cancel out. Only commands that are not in flight, or
/// were refused, are dropped.
pub(super) fn coalesce<'a>(queued: impl Iterator<Item = &'a Command>, next: &Operation) -> Coalesced {
    let kind = kind_of(next);
    let mut open = queued
        .filter(|command| command.state != CommandState::Confirmed && command.room_id() == room_of(next))
        .filter(|command| is_alike(command, next));
    let keep = |drop| Coalesced { drop, fate: Fate::Keep };
    let ids = |commands: Vec<&Command>| commands.into_iter().map(|command| command.id.clone()).collect();
    match kind {
        CommandKind::MarkRead | CommandKind::AcknowledgeDelivery => {
            let mut lower = Vec::new();
            for command in open {
                let is_failed = command.state == CommandState::Failed;
                if !is_failed && named_seq(&command.operation) >= named_seq(next) {
                    return Coalesced { drop: Vec::new(), fate: Fate::Same(command.id.clone()) };
                }
                if command.state != CommandState::Sending {
                    lower.push(command);
                }
            }
            keep(ids(lower))
        }
        CommandKind::Hide | CommandKind::Edit => {
            let is_replaced = |command: &&Command| {
                command.state != CommandState::Sending && !changes_data(&command.operation)
            };
            keep(ids(open.filter(is_replaced).collect()))
        }
        CommandKind::React | CommandKind::Unreact => {
            let (mut drop, mut last) = (Vec::new(), None);
            for command in open.by_ref() {
                if command.state == CommandState::Failed {
                    drop.push(command);
                } else {
                    last = Some(command);
                }
            }
            match last {
                Some(last) if last.kind() == kind => {
                    Coalesced { drop: ids(drop), fate: Fate::Same(last.id.clone()) }
                }
                Some(last) if last.state == CommandState::Waiting && !last.is_claimed => {
                    drop.push(last);
                    Coalesced { drop: ids(drop), fate: Fate::Cancelled }
                }
                _ => keep(ids(drop)),
            }
        }
        _ => keep(Vec::new()),
    }
}

/// Whether two commands of one room concern the same thing.
fn is_alike(command: &Command, next: &Operation) -> bool {
    match (&command.operation, next) {
        (Operation::MarkRead(_), Operation::MarkRead(_))
        | (Operation::AcknowledgeDelivery(_), Operation::AcknowledgeDelivery(_))
        | (Operation::SetRoomHidden(_), Operation::SetRoomHidden(_)) => true,
        (Operation::EditMessage(one), Operation::EditMessage(other)) => one.seq == other.seq,
        (one, other) => match (reaction(one), reaction(other)) {
            (Some((one, emoji)), Some((other, next))) => one == other && is_same_emoji(emoji, next),
            _ => false,
        },
    }
}

/// Whether an edit has an effect beside the text.
fn changes_data(operation: &Operation) -> bool {
    matches!(operation, Operation::EditMessage(edit) if edit.data.is_some() || !edit.unset_data.is_empty())
}

fn reaction(operation: &Operation) -> Option<(u64, &str)> {
    match operation {
        Operation::AddReaction(request) => Some((request.seq, &request.emoji)),
        Operation::RemoveReaction(request) => Some((request.seq, &request.emoji)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use parlance_proto::v1;
    use prost_types::Struct;

    use super::*;

    fn command(id: &str, operation: Operation, state: CommandState) -> Command {
        Command {
            id: id.to_owned(),
            operation,
            user_id: None,
            epoch: 0,
            written_at_millis: 1,
            state,
            error: None,
            event: None,
            is_claimed: state == CommandState::Sending,
        }
    }

    fn mark(seq: u64) -> Operation {
        Operation::MarkRead(v1::MarkReadRequest { room_id: "r".to_owned(), seq, ..Default::default() })
    }

    fn edit(seq: u64) -> Operation {
        Operation::EditMessage(v1::EditMessageRequest { room_id: "r".to_owned(), seq, ..Default::default() })
    }

    fn react(emoji: &str) -> Operation {
        let (room_id, emoji) = ("r".to_owned(), emoji.to_owned());
        Operation::AddReaction(v1::AddReactionRequest { room_id, seq: 4, emoji, ..Default::default() })
    }

    fn unreact(emoji: &str) -> Operation {
        let (room_id, emoji) = ("r".to_owned(), emoji.to_owned());
        Operation::RemoveReaction(v1::RemoveReactionRequest { room_id, seq: 4, emoji, ..Default::default() })
    }

    /// Checks the result of `next` after `queued`, whose ids are their indices: what is dropped, and the
    /// fate.
    fn check(queued: &[(Operation, CommandState)], next: &Operation, drop: &[&str], fate: Fate) {
        let queued: Vec<Command> = queued
            .iter()
            .enumerate()
            .map(|(place, (operation, state))| command(&place.to_string(), operation.clone(), *state))
            .collect();
        let drop = drop.iter().map(|id| (*id).to_owned()).collect();
        assert_eq!(coalesce(queued.iter(), next), Coalesced { drop, fate }, "{next:?}");
    }

    #[test]
    fn newer_commands_make_older_ones_needless_that_are_not_on_the_wire() {
        use CommandState::{Confirmed, Failed, Sending, Waiting};
        check(&[(mark(3), Waiting), (mark(4), Failed)], &mark(5), &["0", "1"], Fate::Keep);
        check(&[(mark(3), Sending)], &mark(5), &[], Fate::Keep);
        check(&[(mark(5), Sending)], &mark(5), &[], Fate::Same("0".to_owned()));
        check(&[(mark(9), Failed)], &mark(5), &["0"], Fate::Keep);
        check(&[(mark(9), Confirmed)], &mark(5), &[], Fate::Keep);
        check(&[(edit(1), Waiting), (edit(2), Waiting), (edit(1), Sending)], &edit(1), &["0"], Fate::Keep);
        let edit_of_data = |data: Option<Struct>, unset: &[&str]| {
            let Operation::EditMessage(mut request) = edit(1) else { unreachable!() };
            (request.data, request.unset_data) = (data, unset.iter().map(ToString::to_string).collect());
            (Operation::EditMessage(request), Waiting)
        };
        let of_data = [edit_of_data(Some(Struct::default()), &[]), edit_of_data(None, &["a"])];
        check(&of_data, &edit(1), &[], Fate::Keep);
        check(&[(react("+1"), Waiting)], &react("+1"), &[], Fate::Same("0".to_owned()));
        check(&[(react("+1"), Waiting)], &unreact("+1"), &["0"], Fate::Cancelled);
        check(&[(react("+1"), Sending)], &unreact("+1"), &[], Fate::Keep);
        check(&[(react("+1"), Failed)], &unreact("+1"), &["0"], Fate::Keep);
        check(&[(react("\u{2764}"), Waiting)], &unreact("\u{2764}\u{fe0f}"), &["0"], Fate::Cancelled);
        check(&[(react("+1"), Waiting)], &react("-1"), &[], Fate::Keep);
        let join = Operation::JoinRoom(v1::JoinRoomRequest { room_id: "r".to_owned(), ..Default::default() });
        check(&[(join.clone(), Waiting)], &join, &[], Fate::Keep);
    }

    #[test]
    fn commands_possibly_sent_by_an_earlier_process_are_not_cancelled_out() {
        let mut earlier = command("0", react("+1"), CommandState::Waiting);
        earlier.is_claimed = true;
        let kept = Coalesced { drop: Vec::new(), fate: Fate::Keep };
        assert_eq!(coalesce([&earlier].into_iter(), &unreact("+1")), kept);
    }
}
