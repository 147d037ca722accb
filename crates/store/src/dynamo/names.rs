/// The names of the tables.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) users: String,
    pub(super) rooms: String,
    pub(super) messages: String,
    pub(super) user_rooms: String,
    pub(super) consumers: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        let name = |table| format!("{prefix}{table}");
        Self {
            users: name("users"),
            rooms: name("rooms"),
            messages: name("messages"),
            user_rooms: name("user_rooms"),
            consumers: name("consumers"),
        }
    }
}
