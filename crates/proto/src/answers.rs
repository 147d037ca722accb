//! How large answers may be, for those who make room for them first.

use crate::limits::{ENTRY_BYTES, PAGE_BYTES};

/// About the largest answer of the method at `path` (or of that name), in bytes; 0 for the small ones of changes. Methods
/// are named by what they do.
pub fn expected_bytes(path: &str) -> usize {
    let method = path.rsplit('/').next().unwrap_or_default();
    let begins = |with: &[&str]| with.iter().any(|with| method.starts_with(with));
    match method {
        "GetUsers" | "GetPresence" => PAGE_BYTES,
        _ if begins(&["List", "Search", "Export"]) => PAGE_BYTES,
        _ if begins(&["Get"]) => ENTRY_BYTES,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use prost_reflect::Kind;

    use super::*;

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
                assert_eq!(expected_bytes(method.name()), PAGE_BYTES, "{}", method.full_name());
            }
        }
        assert_eq!(expected_bytes("/parlance.v1.ChatService/GetMessage"), ENTRY_BYTES);
        assert_eq!(expected_bytes("/parlance.v1.ChatService/SendMessage"), 0);
    }
}
