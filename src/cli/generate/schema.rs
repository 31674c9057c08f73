//! JSON schemas of watch files and of `twitcher.conf`, for editors that complete fields (Taplo, VS Code).
//!
//! They help while typing; the program itself decides what is valid, and checks more than a schema can express.

use serde_json::{Map, Value, json};

use crate::config::fields::{DAEMON, FLEET, FLEET_SETTINGS, Field, Kind, NOT_DEFAULTS, STORE, TLS, WATCH};

const DRAFT: &str = "http://json-schema.org/draft-07/schema#";

/// Of watch files.
pub(super) fn watch() -> Value {
    let mut table = object(WATCH);
    table["properties"]["fleet"] = fleet(FLEET);
    // `key` has another name, and the command has two forms.
    table["required"] = json!([]);
    table["allOf"] = json!([
        { "oneOf": [{ "required": ["key"] }, { "required": ["znode"] }] },
        { "oneOf": [{ "required": ["action"] }, { "required": ["script"] }] }
    ]);
    json!({
        "$schema": DRAFT,
        "title": "A watch file of twitcher",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "watch": { "description": "What is watched, and what is run.", "type": "array", "items": table }
        }
    })
}

/// Of `twitcher.conf`.
pub(super) fn conf() -> Value {
    let mut schema = object(DAEMON);
    schema["$schema"] = json!(DRAFT);
    schema["title"] = json!("Settings and stores of twitcher");
    let mut store = object(STORE);
    store["properties"]["tls"] = object(TLS);
    let default = |field: &&Field| !NOT_DEFAULTS.contains(&field.name);
    schema["properties"]["defaults"] = object(WATCH.iter().filter(default));
    schema["properties"]["defaults"]["description"] = json!("For every watch that does not say otherwise.");
    schema["properties"]["defaults"]["properties"]["fleet"] =
        fleet(FLEET.iter().filter(|field| field.name != "group"));
    schema["properties"]["fleet"] = object(FLEET_SETTINGS);
    schema["properties"]["fleet"]["description"] = json!("What this machine is in its fleets.");
    schema["properties"]["vars"] = json!({
        "description": "Names for this machine, used as ${name} in watch files.",
        "type": "object",
        "propertyNames": { "pattern": "^[a-z][a-z0-9_-]*$", "not": { "const": "host" } },
        "additionalProperties": { "type": "string" }
    });
    schema["properties"]["store"] = json!({
        "description": "The stores, by name.",
        "type": "object",
        "additionalProperties": store
    });
    schema
}

fn object<'f>(fields: impl IntoIterator<Item = &'f Field, IntoIter: Clone>) -> Value {
    let fields = fields.into_iter();
    let mut properties = Map::new();
    for field in fields.clone() {
        for name in std::iter::once(field.name).chain(field.alias) {
            properties.insert(name.to_owned(), property(field));
        }
    }
    let required: Vec<&str> =
        fields.filter(|field| field.default.is_none()).map(|field| field.name).collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties, "required": required })
}

fn property(field: &Field) -> Value {
    let mut schema = of_kind(&field.kind);
    let default =
        field.default.map_or_else(|| "Required.".to_owned(), |default| format!("Default: {default}."));
    schema["description"] = json!(format!("{} {default} Example: {}", field.doc, field.sample()));
    schema
}

fn of_kind(kind: &Kind) -> Value {
    match kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Program => json!({ "type": "string", "pattern": "^#! */" }),
        Kind::Line | Kind::Name | Kind::Key | Kind::Address | Kind::Url => {
            json!({ "type": "string", "minLength": 1 })
        }
        Kind::Path => json!({ "type": "string", "pattern": "^(/|\\$\\{)" }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::FlagOr(words) => {
            let mut values = vec![json!(true), json!(false)];
            values.extend(words.iter().map(|word| json!(word.word)));
            json!({ "enum": values })
        }
        Kind::Choice(words) => json!({ "enum": words.iter().map(|word| word.word).collect::<Vec<_>>() }),
        Kind::Log(words) => json!({
            "anyOf": [
                { "enum": words.iter().map(|word| word.word).collect::<Vec<_>>() },
                { "type": "string", "pattern": "^syslog(\\+tcp)?://[^/:@ ]+:[0-9]+$|^syslog(\\+tcp)?://\\[[0-9A-Fa-f:.]+\\]:[0-9]+$" }
            ]
        }),
        Kind::Integer { least, most } => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::IntegerOr { least, most, word } => json!({
            "anyOf": [{ "type": "integer", "minimum": least, "maximum": most }, { "enum": [word.word] }]
        }),
        Kind::Duration { zero: true } => json!({
            "anyOf": [
                { "type": "string", "pattern": "^ *([0-9.]*[0-9][0-9.]* *(ms|s|m|h|d) *)+$" },
                { "type": "number", "minimum": 0 }
            ]
        }),
        Kind::Duration { zero: false } => json!({
            "anyOf": [
                { "type": "string", "pattern": "^ *([0-9.]*[0-9][0-9.]* *(ms|s|m|h|d) *)*[0-9.]*[1-9][0-9.]* *(ms|s|m|h|d) *([0-9.]*[0-9][0-9.]* *(ms|s|m|h|d) *)*$" },
                { "type": "number", "exclusiveMinimum": 0 }
            ]
        }),
        Kind::Signal => json!({
            "anyOf": [{ "type": "string", "minLength": 1 }, { "type": "integer", "minimum": 1, "maximum": 64 }]
        }),
        Kind::Command => json!({
            "anyOf": [
                { "type": "string", "minLength": 1 },
                { "type": "array", "items": { "type": "string" }, "minItems": 1 }
            ]
        }),
        Kind::Account => {
            json!({ "anyOf": [{ "type": "string", "minLength": 1 }, { "type": "integer", "minimum": 0 }] })
        }
        Kind::Mask => json!({
            "anyOf": [{ "type": "string", "pattern": "^0?[0-7]{1,3}$" }, { "type": "integer", "minimum": 0, "maximum": 0o777 }]
        }),
        Kind::Percent => json!({ "type": "string", "pattern": "^0*[0-9]{1,2}%$" }),
        Kind::Variables => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Kind::Limits => json!({
            "type": "object",
            "additionalProperties": { "anyOf": [{ "type": "integer", "minimum": 0 }, { "enum": ["unlimited"] }] }
        }),
        Kind::Hosts => json!({
            "type": "array",
            "items": { "type": "string", "pattern": "^!?[^!]" },
            "minItems": 1
        }),
        Kind::Globs => json!({ "type": "array", "items": { "type": "string", "pattern": "^!?[^!]" } }),
        Kind::Share(word) => json!({ "anyOf": [hosts(), percent(), { "enum": [word.word] }] }),
        Kind::Shares => json!({ "type": "array", "items": { "anyOf": [hosts(), percent()] } }),
        Kind::ExitCodes => json!({
            "type": "array",
            "items": { "type": "integer", "minimum": 0, "maximum": 255 },
            "minItems": 1
        }),
    }
}

fn hosts() -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": 1_000_000 })
}

fn percent() -> Value {
    json!({ "type": "string", "pattern": "^0*([1-9][0-9]?|100)%$" })
}

/// `fleet` of a watch or of `[defaults]`.
fn fleet<'f>(fields: impl IntoIterator<Item = &'f Field, IntoIter: Clone>) -> Value {
    json!({
        "description": "At most max_parallel hosts of a group act at once, canaries first. An empty table: one host at a time. false: no fleet.",
        "anyOf": [{ "enum": [false] }, object(fields)]
    })
}

#[cfg(test)]
mod tests;
