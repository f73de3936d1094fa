//! `schema`: the wire format as JSON Schema.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::{CliError, Exit, print};
use crate::model::event::{self, SourcePlace, VERSION};

/// Prints the schema.
///
/// # Errors
/// Standard output cannot be written.
pub fn run() -> Result<Exit, CliError> {
    let mut text = serde_json::to_vec_pretty(&schema()).unwrap_or_default();
    text.push(b'\n');
    print(&text)
}

/// Returns the JSON Schema (2020-12) of an event: one branch a type.
pub fn schema() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let mut generator = SchemaGenerator::new(settings);
    let place = generator.subschema_for::<SourcePlace>();
    let branches: Vec<Value> = event::body_schemas(&mut generator)
        .into_iter()
        .map(|(name, body)| branch(name, body.as_value(), place.as_value()))
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "session-doctor event",
        "description": "One event a line. Unknown fields and types may appear in later versions; existing ones do not change their meaning.",
        "oneOf": branches,
    })
}

fn branch(name: &str, body: &Value, place: &Value) -> Value {
    let common = json!({
        "v": { "const": VERSION, "description": "The version of the wire format." },
        "type": { "const": name },
        "id": { "type": "string", "description": "Derived from content: the same input gives the same id." },
        "session": { "type": "string", "description": "The agent's own session id, or one derived from the source." },
        "parent_session": { "type": "string", "description": "The session that a sub-agent belongs to." },
        "agent": { "type": "string", "description": "The format's name, or `unknown`." },
        "time": { "type": ["string", "null"], "format": "date-time", "description": "When it says it happened; null if it does not say." },
        "observed_time": { "type": "string", "format": "date-time", "description": "When it was observed." },
        "source": place,
    });
    let mut properties: Map<String, Value> = common.as_object().cloned().unwrap_or_default();
    let mut required = vec!["v", "type", "id", "session", "agent", "time", "observed_time"];
    if let Some(fields) = body.get("properties").and_then(Value::as_object) {
        properties.extend(fields.clone());
    }
    if let Some(fields) = body.get("required").and_then(Value::as_array) {
        required.extend(fields.iter().filter_map(Value::as_str));
    }
    json!({
        "title": name,
        "description": body.get("description"),
        "type": "object",
        "properties": properties,
        "required": required,
    })
}
