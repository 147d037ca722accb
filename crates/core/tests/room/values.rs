//! Short constructors of ids, texts and commands.

use parlance_core::{
    Action, Authority, Command, DataChange, Emoji, Message, Reason, RequestId, Settings, SettingsChange,
    Text, Title, Topic, UserId, Visibility,
};

/// All users. The first three are initial members of a room.
pub(crate) const USERS: [&str; 5] = ["ann", "bob", "cat", "dan", "eve"];

pub(crate) fn user(id: &str) -> UserId {
    UserId::parse(id).unwrap()
}

pub(crate) fn request(id: &str) -> RequestId {
    RequestId::parse(id).unwrap()
}

pub(crate) fn text(text: &str) -> Text {
    Text::parse(text).unwrap()
}

pub(crate) fn emoji(emoji: &str) -> Emoji {
    Emoji::parse(emoji).unwrap()
}

pub(crate) fn settings(visibility: Visibility) -> Settings {
    Settings { title: Title::default(), topic: Topic::default(), visibility, ..Settings::default() }
}

pub(crate) fn send(words: &str) -> Action {
    Action::Send(Message::plain(text(words)))
}

pub(crate) fn reply(words: &str, to: u64) -> Action {
    Action::Send(Message { reply_to: Some(to), ..Message::plain(text(words)) })
}

pub(crate) fn mention_all(words: &str) -> Action {
    Action::Send(Message { mentions_all: true, ..Message::plain(text(words)) })
}

pub(crate) fn edit(target: u64, words: &str) -> Action {
    Action::Edit { target, text: text(words), data: DataChange::default() }
}

pub(crate) fn delete(target: u64) -> Action {
    Action::Delete { target }
}

pub(crate) fn react(target: u64, with: &str) -> Action {
    Action::React { target, emoji: emoji(with) }
}

pub(crate) fn unreact(target: u64, with: &str) -> Action {
    Action::Unreact { target, emoji: emoji(with) }
}

pub(crate) fn add(users: &[&str]) -> Action {
    Action::Add { users: users.iter().map(|id| user(id)).collect() }
}

pub(crate) fn remove(id: &str) -> Action {
    Action::Remove { user: user(id) }
}

pub(crate) fn ban(id: &str) -> Action {
    Action::Ban { user: user(id), lasts: None, reason: Reason::default() }
}

pub(crate) fn set_role(id: &str, role: parlance_core::Role) -> Action {
    Action::SetRole { user: user(id), role }
}

pub(crate) fn rename(title: &str) -> Action {
    Action::Update(SettingsChange { title: Some(Title::parse(title).unwrap()), ..SettingsChange::default() })
}

pub(crate) fn command(actor: &str, id: &str, after: Option<u64>, action: Action) -> Command {
    Command { actor: user(actor), authority: Authority::Member, request: request(id), after, action }
}
