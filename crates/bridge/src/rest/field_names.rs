use parlance_proto::error::Failure;

/// Renames the invalid fields of a failure to their JSON names: `requestId` instead of the
/// backend's `request_id`.
pub(super) fn in_json(mut failure: Failure) -> Failure {
    for (field, _) in &mut failure.fields {
        let name = camel_case(field);
        // Messages start with the field.
        if let Some(rest) = failure.message.strip_prefix(field.as_str())
            && rest.starts_with(':')
        {
            failure.message = format!("{name}{rest}");
        }
        *field = name;
    }
    failure
}

/// Derives the JSON names of protobuf fields, in each part of a path.
fn camel_case(path: &str) -> String {
    let mut name = String::with_capacity(path.len());
    let mut raise = false;
    for c in path.chars() {
        match c {
            '_' => raise = true,
            c if raise => {
                name.extend(c.to_uppercase());
                raise = false;
            }
            c => name.push(c),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_named_as_in_json() {
        let check = |field: &str, name: &str| {
            let failure = in_json(Failure::field(field, "must not be empty"));
            assert_eq!(failure.fields[0], (name.to_owned(), "must not be empty".to_owned()));
            assert_eq!(failure.message, format!("{name}: must not be empty"));
        };
        check("request_id", "requestId");
        check("text", "text");
        check("settings.history_visibility", "settings.historyVisibility");
    }
}
