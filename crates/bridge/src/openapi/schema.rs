use prost_reflect::{DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::comments::comment;

/// 64-bit numbers are strings in canonical JSON.
const NUMBER: &str = "^[0-9]{1,20}$";

/// The messages and enums that operations refer to.
#[derive(Default)]
pub(super) struct Schemas(Map<String, Value>);

impl Schemas {
    pub(super) fn insert(&mut self, name: &str, schema: Value) {
        self.0.insert(name.to_owned(), schema);
    }

    pub(super) fn into_map(self) -> Map<String, Value> {
        self.0
    }

    /// A reference to a message of the contract.
    pub(super) fn reference_to(&mut self, pool: &DescriptorPool, full_name: &str) -> Value {
        match pool.get_message_by_name(full_name) {
            Some(message) => self.message(&message),
            None => unreachable!("{full_name} is in the contract"),
        }
    }

    /// An object with these fields. All are optional and have default values.
    pub(super) fn object(&mut self, fields: impl Iterator<Item = FieldDescriptor>) -> Value {
        let mut properties = Map::new();
        for field in fields {
            let mut schema = self.of_field(&field);
            schema["description"] = comment(&field).into();
            properties.insert(field.json_name().to_owned(), schema);
        }
        json!({ "type": "object", "properties": properties })
    }

    pub(super) fn of_field(&mut self, field: &FieldDescriptor) -> Value {
        if field.is_map() {
            // All maps of the contract have string values.
            return json!({ "type": "object", "additionalProperties": { "type": "string" } });
        }
        let one = self.of_kind(&field.kind());
        if field.is_list() { json!({ "type": "array", "items": one }) } else { one }
    }

    fn of_kind(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Bool => json!({ "type": "boolean" }),
            Kind::Uint32 | Kind::Fixed32 => json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX }),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                json!({ "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX })
            }
            Kind::Uint64 | Kind::Fixed64 | Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                json!({ "type": "string", "format": "uint64", "pattern": NUMBER })
            }
            Kind::Float | Kind::Double => json!({ "type": "number" }),
            Kind::String => json!({ "type": "string" }),
            Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
            Kind::Enum(of) => self.enumeration(of),
            Kind::Message(of) => self.message(of),
        }
    }

    fn message(&mut self, message: &MessageDescriptor) -> Value {
        match message.full_name() {
            "google.protobuf.Timestamp" => return json!({ "type": "string", "format": "date-time" }),
            "google.protobuf.Duration" => {
                return json!({ "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?s$" });
            }
            "google.protobuf.Struct" => return json!({ "type": "object" }),
            _ => {}
        }
        let name = message.name();
        if !self.0.contains_key(name) {
            // Inserted first, for recursive messages.
            self.insert(name, Value::Null);
            let mut schema = self.object(message.fields());
            schema["description"] = comment(message).into();
            self.insert(name, schema);
        }
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }

    fn enumeration(&mut self, of: &EnumDescriptor) -> Value {
        let name = of.name();
        if !self.0.contains_key(name) {
            let values: Vec<_> = of.values().map(|value| value.name().to_owned()).collect();
            self.insert(name, json!({ "type": "string", "enum": values, "description": comment(of) }));
        }
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }
}
