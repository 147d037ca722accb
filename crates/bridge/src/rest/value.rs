use prost_reflect::{Kind, Value};

/// Parses a scalar from a path segment or a query parameter; an error describes the problem.
pub(super) fn parse(kind: &Kind, text: &str) -> Result<Value, String> {
    fn number<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, String> {
        // `parse` would accept a plus sign, which canonical JSON does not.
        let plain = Some(text).filter(|text| !text.starts_with('+'));
        plain.and_then(|text| text.parse().ok()).ok_or_else(|| format!("must be {what}"))
    }
    let value = match kind {
        Kind::String => Value::String(text.to_owned()),
        Kind::Bool => match text {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => return Err("must be true or false".to_owned()),
        },
        Kind::Uint64 | Kind::Fixed64 => Value::U64(number(text, "a whole number, not negative")?),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(number(text, "a whole number, at most 4294967295")?),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(number(text, "a whole number")?),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(number(text, "a whole number of 32 bits")?),
        Kind::Double => Value::F64(number(text, "a number")?),
        Kind::Float => Value::F32(number(text, "a number")?),
        Kind::Enum(names) => match names.get_value_by_name(text) {
            Some(value) => Value::EnumNumber(value.number()),
            // Later versions may name numbers that this one does not know.
            None => Value::EnumNumber(number(text, &format!("a value of {} or its number", names.name()))?),
        },
        Kind::Bytes | Kind::Message(_) => return Err("can only be given in a body".to_owned()),
    };
    Ok(value)
}

#[cfg(test)]
mod tests {
    use parlance_proto::json;

    use super::*;

    fn check(kind: &Kind, text: &str, expected: Option<Value>) {
        assert_eq!(parse(kind, text).ok(), expected, "{text}");
    }

    #[test]
    fn scalars_are_read_as_canonical_json_writes_them() {
        check(&Kind::String, "", Some(Value::String(String::new())));
        check(&Kind::Bool, "true", Some(Value::Bool(true)));
        check(&Kind::Bool, "1", None);
        check(&Kind::Uint64, "18446744073709551615", Some(Value::U64(u64::MAX)));
        check(&Kind::Uint64, "18446744073709551616", None);
        check(&Kind::Uint64, "+1", None);
        check(&Kind::Uint64, "", None);
        check(&Kind::Uint32, "4294967296", None);
        check(&Kind::Int64, "-5", Some(Value::I64(-5)));
        check(&Kind::Int32, "-5", Some(Value::I32(-5)));
        check(&Kind::Double, "1.5", Some(Value::F64(1.5)));
        check(&Kind::Bytes, "aGk=", None);
    }

    #[test]
    fn enums_are_read_by_name_or_number() {
        let role = Kind::Enum(json::pool().get_enum_by_name("parlance.v1.Role").unwrap());
        check(&role, "ROLE_ADMIN", Some(Value::EnumNumber(2)));
        check(&role, "2", Some(Value::EnumNumber(2)));
        check(&role, "99", Some(Value::EnumNumber(99)));
        check(&role, "admin", None);
    }
}
