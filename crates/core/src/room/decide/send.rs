use super::stop::Stop;
use super::view::{View, allowed};
use crate::room::command::{Authority, Refusal};
use crate::{Body, Member, Message, MessageKind, Permission};

pub(super) fn send(
    view: View<'_>,
    actor: &Member,
    authority: &Authority,
    message: &Message,
) -> Result<Vec<Body>, Stop> {
    allowed(view, actor, Permission::Post)?;
    if message.kind == MessageKind::System && *authority == Authority::Member {
        return Err(Refusal::NeedsScope("service").into());
    }
    if let Some(seq) = message.reply_to {
        view.message(actor, seq)?;
    }
    Ok(vec![Body::Message(message.clone())])
}
