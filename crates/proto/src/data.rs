//! The app's own data: `google.protobuf.Struct` on the wire and in the store, keys with encoded values
//! in the core.

use std::collections::BTreeMap;

use parlance_core::{Data, DataTooLarge};
use prost::Message;
use prost_types::value::Kind;
use prost_types::{Struct, Value};

use crate::limits::MAX_DATA_DEPTH;

/// Why a struct is not accepted as app data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    /// Too many bytes.
    #[error(transparent)]
    TooLarge(#[from] DataTooLarge),
    /// A value that JSON cannot represent.
    #[error("contains a value that JSON cannot represent, such as NaN")]
    NotJson,
    /// Nesting that is too deep.
    #[error("must not be nested deeper than {MAX_DATA_DEPTH}")]
    TooDeep,
}

/// Validates the data of a request.
///
/// # Errors
/// If it is too large, or cannot be sent over all transports.
pub fn parse(data: Option<&Struct>) -> Result<Data, DataError> {
    let Some(data) = data else { return Ok(Data::default()) };
    for value in data.fields.values() {
        check(value, 1)?;
    }
    Ok(Data::new(encoded(data))?)
}

fn check(value: &Value, depth: usize) -> Result<(), DataError> {
    if depth > MAX_DATA_DEPTH {
        return Err(DataError::TooDeep);
    }
    match &value.kind {
        None => Err(DataError::NotJson),
        Some(Kind::NumberValue(number)) if !number.is_finite() => Err(DataError::NotJson),
        Some(Kind::StructValue(within)) => {
            within.fields.values().try_for_each(|value| check(value, depth + 1))
        }
        Some(Kind::ListValue(within)) => within.values.iter().try_for_each(|value| check(value, depth + 1)),
        Some(_) => Ok(()),
    }
}

/// Reads stored data without validation.
pub fn stored(data: &Struct) -> Data {
    Data::stored(encoded(data))
}

fn encoded(data: &Struct) -> BTreeMap<String, Vec<u8>> {
    data.fields.iter().map(|(key, value)| (key.clone(), value.encode_to_vec())).collect()
}

/// The data in the contract and the store; unset if there are no keys.
pub fn to_struct(data: &Data) -> Option<Struct> {
    (!data.is_empty()).then(|| whole_struct(data))
}

/// Like [`to_struct`], but set even without keys: where empty data and no change are different things.
pub fn whole_struct(data: &Data) -> Struct {
    let value = |value: &[u8]| Value::decode(value).unwrap_or_default();
    Struct { fields: data.entries().map(|(key, bytes)| (key.to_owned(), value(bytes))).collect() }
}

#[cfg(test)]
mod tests {
    use parlance_core::limits::MAX_DATA_BYTES;
    use prost_types::ListValue;

    use super::*;

    fn one(kind: Option<Kind>) -> Struct {
        Struct { fields: [("key".to_owned(), Value { kind })].into() }
    }

    #[test]
    fn data_is_read_back() {
        let text = Value { kind: Some(Kind::StringValue("x".into())) };
        let list = ListValue { values: vec![text.clone(), Value { kind: Some(Kind::NullValue(0)) }] };
        let within = Struct { fields: [("a".to_owned(), text), ("b".to_owned(), Value::default())].into() };
        let kinds = [
            Kind::NullValue(0),
            Kind::BoolValue(false),
            Kind::NumberValue(-0.5),
            Kind::StringValue(String::new()),
            Kind::ListValue(list),
        ];
        for kind in kinds {
            let data = one(Some(kind));
            assert_eq!(to_struct(&parse(Some(&data)).unwrap()), Some(data));
        }
        assert_eq!(to_struct(&parse(None).unwrap()), None);
        assert_eq!(parse(Some(&one(Some(Kind::StructValue(within))))), Err(DataError::NotJson));
    }

    #[test]
    fn values_not_carried_by_every_transport_are_refused() {
        assert_eq!(parse(Some(&one(None))), Err(DataError::NotJson));
        for number in [f64::NAN, f64::INFINITY] {
            assert_eq!(parse(Some(&one(Some(Kind::NumberValue(number))))), Err(DataError::NotJson));
        }
        let mut value = Value { kind: Some(Kind::BoolValue(true)) };
        for _ in 0..MAX_DATA_DEPTH {
            value = Value { kind: Some(Kind::ListValue(ListValue { values: vec![value] })) };
        }
        assert_eq!(parse(Some(&one(value.kind))), Err(DataError::TooDeep));
        let long = Kind::StringValue("x".repeat(MAX_DATA_BYTES));
        assert_eq!(parse(Some(&one(Some(long)))), Err(DataTooLarge.into()));
    }
}
