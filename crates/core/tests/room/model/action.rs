use std::time::Duration;

use parlance_core::{Action, Data, DataChange, Link, LinkHash, Reason, SettingsChange, Title, Visibility};

use super::cluster::{Cluster, MINUTE};
use super::script::What;
use crate::values::{USERS, add, ban, delete, edit, react, remove, reply, send, set_role, unreact, user};

impl Cluster {
    /// The action with real messages and users. Texts include the op, so that the checks
    /// find duplicates regardless of the request id.
    pub(super) fn action(&self, op: usize, what: &What) -> Action {
        let events = self.store.log.values().rev().flat_map(|chunk| chunk.events().iter().rev());
        let messages: Vec<u64> =
            events.filter(|event| self.store.message(event.seq).is_some()).take(6).map(|e| e.seq).collect();
        // The two picks past the messages are seqs that may or may not hold a message.
        let find = |back: &u64| match messages.len() as u64 {
            0 => *back,
            _ if *back >= 6 => self.store.head() + 7 - back,
            count => messages[(back % count) as usize],
        };
        let emojis = ["👍", "🎉", "👍\u{fe0f}"];
        match what {
            What::Send { reply: None } => send(&format!("message {op}")),
            What::Send { reply: Some(to) } => reply(&format!("message {op}"), find(to)),
            What::Edit { message } => edit(find(message), &format!("edit {op}")),
            What::Delete { message } => delete(find(message)),
            What::React { message, emoji } => react(find(message), emojis[*emoji]),
            What::Unreact { message, emoji } => unreact(find(message), emojis[*emoji]),
            What::Add { users } => add(&users.iter().map(|id| USERS[*id]).collect::<Vec<_>>()),
            What::Invite { user: id } => {
                let lasts = Duration::from_millis(10 * MINUTE);
                Action::Invite { users: vec![user(USERS[*id])], added: Vec::new(), lasts }
            }
            What::Accept => Action::Accept,
            What::Decline => Action::Decline,
            What::Revoke { user: id } => Action::Revoke { user: user(USERS[*id]) },
            What::Remove { user } => remove(USERS[*user]),
            What::Ban { user: id } => ban(USERS[*id]),
            What::Unban { user: id } => Action::Unban { user: user(USERS[*id]) },
            What::SetRole { user, role } => set_role(USERS[*user], *role),
            What::SetData { user: id } => {
                let set = Data::new([("op".to_owned(), op.to_string().into_bytes())].into()).unwrap();
                Action::UpdateMember { user: user(USERS[*id]), data: DataChange { set, unset: Vec::new() } }
            }
            What::Join => Action::Join,
            What::Leave => Action::Leave,
            What::Retitle { title } => {
                let title = Some(Title::parse(["red", "green", "blue"][*title]).unwrap());
                Action::Update(SettingsChange { title, ..SettingsChange::default() })
            }
            What::List { listed } => {
                Action::Update(SettingsChange { listed: Some(*listed), ..SettingsChange::default() })
            }
            What::Open { joining } => {
                Action::Update(SettingsChange { joining: Some(*joining), ..SettingsChange::default() })
            }
            What::MakeLink { max_uses } => {
                let hash = LinkHash::new([op as u8; LinkHash::BYTES]);
                let lasts = Duration::from_millis(10 * MINUTE);
                Action::CreateLink { hash, lasts, max_uses: *max_uses }
            }
            What::RevokeLink => Action::RevokeLink { link: self.last_link().map_or(1, |link| link.seq) },
            What::JoinByLink => {
                let hash = self.last_link().map_or(LinkHash::new([0; LinkHash::BYTES]), |link| link.hash);
                Action::JoinByLink { hash }
            }
            What::Knock => Action::Request { note: Reason::parse_new(&format!("r{op}")).unwrap() },
            What::Withdraw => Action::Withdraw,
            What::Approve { user: id } => Action::Approve { user: user(USERS[*id]) },
            What::Reject { user: id } => Action::Reject { user: user(USERS[*id]) },
            What::Show { all } => {
                let visibility = Some(if *all { Visibility::All } else { Visibility::SinceJoined });
                Action::Update(SettingsChange { visibility, ..SettingsChange::default() })
            }
        }
    }

    fn last_link(&self) -> Option<&Link> {
        self.store.invitations.links().last()
    }
}
