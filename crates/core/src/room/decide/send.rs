use super::stop::Stop;
use super::view::View;
use crate::{Body, Member, Message, Text};

pub(super) fn send(
    view: View<'_>,
    actor: &Member,
    text: &Text,
    reply_to: Option<u64>,
) -> Result<Vec<Body>, Stop> {
    if let Some(seq) = reply_to {
        view.message(actor, seq)?;
    }
    Ok(vec![Body::Message(Message { text: text.clone(), reply_to })])
}
