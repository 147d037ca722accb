//! History of an earlier system.

use super::stop::Stop;
use super::view::View;
use crate::room::command::{Authority, Command, ImportedMessage, Refusal};
use crate::{Body, Member, Message};

/// A message to append, with the sender and request of its own.
pub(crate) struct Appended<'c> {
    pub(crate) message: &'c ImportedMessage,
    pub(crate) body: Body,
}

/// The messages of `messages` that have not been imported yet. Their numbers decide that, not their request ids, which a
/// room remembers for a while only.
pub(super) fn import<'c>(
    view: View<'_>,
    command: &Command,
    messages: &'c [ImportedMessage],
) -> Result<Vec<Appended<'c>>, Stop> {
    if !matches!(command.authority, Authority::App { .. }) {
        return Err(Refusal::NeedsScope("service").into());
    }
    let imported = view.room.info.imported;
    let new: Vec<_> = messages.iter().filter(|message| message.imported.number > imported).collect();
    if let Some(first) = new.first().map(|first| first.imported.number).filter(|first| *first != imported + 1)
    {
        return Err(Refusal::ImportGap { imported, first }.into());
    }
    let app = Member::app(command.actor.clone());
    let mut appended = Vec::with_capacity(new.len());
    for message in new {
        // Whoever has a row in the room is found there when they are deleted or exported.
        if message.sender != command.actor && view.row(&message.sender)?.is_none() {
            return Err(Refusal::TargetNotMember(message.sender.clone()).into());
        }
        if let Some(seq) = message.message.reply_to {
            view.message(&app, seq)?;
        }
        let body = Message { imported: Some(message.imported), ..message.message.clone() };
        appended.push(Appended { message, body: Body::Message(body) });
    }
    Ok(appended)
}
