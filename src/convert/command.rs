//! Converts a value of the script to a command.

use std::rc::Rc;

use super::value::{Command, Value, Why};

/// The command that a string or a list stands for; the error says which part is unknown and why.
pub(super) fn command_of(value: &Value<'_>) -> Result<Command, Option<Rc<Why>>> {
    let items = match value {
        Value::Str(text) => return Ok(Command::Shell(text.to_string())),
        Value::List(items) => items.borrow().clone(),
        Value::Tuple(items) => items.to_vec(),
        Value::Unknown(why) => return Err(Some(why.clone())),
        Value::None
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Dict(_)
        | Value::Exec(_)
        | Value::Builtin(_)
        | Value::Function(_)
        | Value::Module(_)
        | Value::Account(_) => return Err(None),
    };
    let mut words = Vec::new();
    for item in items {
        match item {
            Value::Str(word) => words.push(word.to_string()),
            Value::Unknown(why) => return Err(Some(why)),
            Value::None
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::List(_)
            | Value::Tuple(_)
            | Value::Dict(_)
            | Value::Exec(_)
            | Value::Builtin(_)
            | Value::Function(_)
            | Value::Module(_)
            | Value::Account(_) => return Err(None),
        }
    }
    if words.is_empty() { Err(None) } else { Ok(Command::Program(words)) }
}
