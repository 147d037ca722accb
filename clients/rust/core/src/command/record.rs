//! The stored form of commands.

use parlance_proto::v1;
use prost::Message as _;

use super::{Command, CommandError, CommandState};
use crate::request::repeatable;

/// The version of the stored form. A later version increments it if earlier ones must not send the command.
const VERSION: u32 = 1;

/// A stored command: its id, and a record that is opaque to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCommand {
    /// Its id.
    pub id: String,
    /// Its encoded form.
    pub record: Vec<u8>,
}

/// A change to a command store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreChange {
    /// The id of the command.
    pub id: String,
    /// The record to keep under the id; `None` to delete it.
    pub record: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Record {
    #[prost(uint32, tag = "1")]
    version: u32,
    /// The operation, as a client frame, which has a field for each.
    #[prost(message, optional, tag = "2")]
    frame: Option<v1::ClientFrame>,
    #[prost(string, optional, tag = "3")]
    user_id: Option<String>,
    #[prost(uint64, tag = "4")]
    epoch: u64,
    #[prost(uint64, tag = "5")]
    written_at_millis: u64,
    #[prost(bool, tag = "6")]
    is_claimed: bool,
    #[prost(message, optional, tag = "7")]
    failure: Option<Refusal>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Refusal {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    message: String,
}

pub(crate) fn encode(command: &Command) -> Vec<u8> {
    let failure = command.error.clone().map(|CommandError { reason, message }| Refusal { reason, message });
    let operation = Some(command.operation.clone());
    let record = Record {
        version: VERSION,
        frame: Some(v1::ClientFrame { request_id: String::new(), operation, as_user: String::new() }),
        user_id: command.user_id.clone(),
        epoch: command.epoch,
        written_at_millis: command.written_at_millis,
        is_claimed: command.is_claimed,
        failure,
    };
    record.encode_to_vec()
}

/// Decodes a command; `None` if it is damaged, or from a later version.
pub(crate) fn decode(stored: &StoredCommand) -> Option<Command> {
    let record = Record::decode(stored.record.as_slice()).ok()?;
    if record.version == 0 || record.version > VERSION {
        return None;
    }
    let mut operation = record.frame?.operation?;
    if *repeatable(&mut operation)?.id != stored.id {
        return None;
    }
    let error = record.failure.map(|Refusal { reason, message }| CommandError { reason, message });
    let state = match (&error, record.is_claimed) {
        (Some(_), _) => CommandState::Failed,
        (None, true) => CommandState::Sending,
        (None, false) => CommandState::Waiting,
    };
    Some(Command {
        id: stored.id.clone(),
        operation,
        user_id: record.user_id,
        epoch: record.epoch,
        written_at_millis: record.written_at_millis,
        state,
        error,
        event: None,
        is_claimed: record.is_claimed,
    })
}

#[cfg(test)]
mod tests {
    use parlance_proto::v1::client_frame::Operation;

    use super::*;

    fn command() -> Command {
        let request = v1::EditMessageRequest {
            room_id: "r".to_owned(),
            seq: 4,
            text: "better".to_owned(),
            request_id: "c1".to_owned(),
            after_seq: Some(9),
            ..Default::default()
        };
        Command {
            id: "c1".to_owned(),
            operation: Operation::EditMessage(request),
            user_id: Some("ann".to_owned()),
            epoch: 3,
            written_at_millis: 1_700_000_000_000,
            state: CommandState::Sending,
            error: None,
            event: None,
            is_claimed: true,
        }
    }

    fn stored(command: &Command) -> StoredCommand {
        StoredCommand { id: command.id.clone(), record: encode(command) }
    }

    #[test]
    fn a_command_survives_its_stored_form() {
        for error in [None, Some(CommandError { reason: "not_member".to_owned(), message: "no".to_owned() })]
        {
            let state = if error.is_some() { CommandState::Failed } else { CommandState::Sending };
            let command = Command { error, state, ..command() };
            assert_eq!(decode(&stored(&command)), Some(command));
        }
        let waiting = Command { is_claimed: false, state: CommandState::Waiting, ..command() };
        assert_eq!(decode(&stored(&waiting)), Some(waiting));
    }

    #[test]
    fn records_of_version_1_are_read() {
        let golden = include_bytes!("golden/command.v1.bin");
        assert_eq!(encode(&command()), golden);
        assert_eq!(decode(&StoredCommand { id: "c1".to_owned(), record: golden.to_vec() }), Some(command()));
    }

    #[test]
    fn damaged_commands_and_those_of_a_later_version_are_skipped() {
        let good = stored(&command());
        let mut record = Record::decode(good.record.as_slice()).unwrap();
        record.version = VERSION + 1;
        assert_eq!(decode(&StoredCommand { record: record.encode_to_vec(), ..good.clone() }), None);
        assert_eq!(decode(&StoredCommand { record: b"\xff\xff".to_vec(), ..good.clone() }), None);
        assert_eq!(decode(&StoredCommand { record: Vec::new(), ..good.clone() }), None);
        assert_eq!(decode(&StoredCommand { id: "c2".to_owned(), ..good }), None);
    }
}
