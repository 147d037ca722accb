//! How large answers may be, for those who make room for them first.

use crate::limits::{ENTRY_BYTES, PAGE_BYTES, PROFILES_BYTES};

/// About the largest answer of the method at `path` (or of that name), in bytes; 0 for the small ones of changes. Methods
/// are named by what they do.
pub fn expected_bytes(path: &str) -> usize {
    let method = path.rsplit('/').next().unwrap_or_default();
    let begins = |with: &[&str]| with.iter().any(|with| method.starts_with(with));
    match method {
        // Not in pages.
        "GetUsers" => PROFILES_BYTES,
        "GetPresence" => PAGE_BYTES,
        // Of anyone.
        "GetServer" => 0,
        _ if begins(&["List", "Search", "Export"]) => PAGE_BYTES,
        _ if begins(&["Get"]) => ENTRY_BYTES,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use parlance_core::limits::{
        MAX_DATA_BYTES, MAX_ID_BYTES, MAX_IMAGE_URL_BYTES, MAX_NAME_BYTES, MAX_PRESENCE_USERS,
    };
    use prost::Message;
    use prost_reflect::Kind;
    use prost_types::value::Kind as Data;
    use prost_types::{Struct, Timestamp, Value};

    use super::*;
    use crate::v1;

    /// A list of messages is a page, whatever its method is called.
    #[test]
    fn methods_that_answer_with_lists_are_expected_to_answer_with_pages() {
        let services =
            crate::json::pool().services().filter(|service| service.package_name() == "parlance.v1");
        for method in services.flat_map(|service| service.methods().collect::<Vec<_>>()) {
            let is_list = method
                .output()
                .fields()
                .any(|field| field.is_list() && matches!(field.kind(), Kind::Message(_)));
            if is_list && !method.is_server_streaming() {
                assert!(expected_bytes(method.name()) >= PAGE_BYTES, "{}", method.full_name());
            }
        }
        assert_eq!(expected_bytes("/parlance.v1.ChatService/GetMessage"), ENTRY_BYTES);
        for small in ["/parlance.v1.ChatService/SendMessage", "/parlance.v1.ServerService/GetServer"] {
            assert_eq!(expected_bytes(small), 0, "{small}");
        }
    }

    /// Who reads them is charged for them as they are made.
    #[test]
    fn as_many_profiles_as_there_may_be_are_no_more_than_expected() {
        let at = Some(Timestamp { seconds: i64::MAX, nanos: 999_999_999 });
        let value = Value { kind: Some(Data::StringValue("x".repeat(MAX_DATA_BYTES))) };
        let user = v1::User {
            user_id: "x".repeat(MAX_ID_BYTES),
            name: "x".repeat(MAX_NAME_BYTES),
            created_at: at,
            updated_at: at,
            image_url: "x".repeat(MAX_IMAGE_URL_BYTES),
            data: Some(Struct { fields: [("x".to_owned(), value)].into() }),
            deactivated: true,
            deleted: true,
        };
        let bytes = v1::GetUsersResponse { users: vec![user; MAX_PRESENCE_USERS] }.encoded_len();
        let expected = expected_bytes("/parlance.v1.UserService/GetUsers");
        assert!((expected / 2..=expected).contains(&bytes), "{bytes}");
    }
}
