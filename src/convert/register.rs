//! One call of `RegisterWatch`: its arguments as fields of a watch file, and what prevents the conversion.

use ruff_text_size::{Ranged, TextRange};
use toml::Value as Toml;

use super::command::command_of;
use super::lines::Lines;
use super::value::{Command, Value};
use crate::config::fields::WATCH;
use crate::config::template::escape;

/// The parameters of the old function, in their order.
const ARGUMENTS: [&str; 11] = [
    "znode",
    "action",
    "pipe_stdin",
    "run_on_load",
    "run_mode",
    "description",
    "uid",
    "gid",
    "watch_type",
    "notify_signal",
    "timeout",
];

/// A watch, as far as its arguments are known.
#[derive(Debug)]
pub(super) struct Registration {
    /// The call.
    pub(super) range: TextRange,
    /// Fields of the watch file, in the order of the old arguments.
    pub(super) fields: Vec<(&'static str, Toml)>,
    /// Whole sentences; if there are any, the watch needs manual work.
    pub(super) problems: Vec<String>,
    /// Whole sentences: notes on a watch that was converted.
    pub(super) hints: Vec<String>,
    /// Functions of the file that the action calls.
    pub(super) also: Vec<TextRange>,
}

/// Reads the arguments of a call.
pub(super) fn registration<'a>(
    lines: &Lines<'a>,
    range: TextRange,
    positional: &[Value<'a>],
    named: Vec<(String, Value<'a>)>,
    spread: Option<&Value<'a>>,
) -> Registration {
    let mut result =
        Registration { range, fields: Vec::new(), problems: Vec::new(), hints: Vec::new(), also: Vec::new() };
    let mut arguments: Vec<(&'static str, Value<'a>)> = Vec::new();
    if positional.len() > ARGUMENTS.len() {
        result.problems.push("RegisterWatch() has too many arguments.".into());
    }
    arguments.extend(ARGUMENTS.into_iter().zip(positional.iter().cloned()));
    for (name, value) in named {
        match ARGUMENTS.into_iter().find(|known| *known == name) {
            Some(known) if arguments.iter().all(|(seen, _)| *seen != known) => arguments.push((known, value)),
            Some(_) => result.problems.push(format!("`{name}` is given twice.")),
            None => result.problems.push(format!("RegisterWatch() has no argument `{name}`.")),
        }
    }
    if let Some(Value::Unknown(why)) = spread {
        result.problems.push(format!("its `**` argument is not known: {why}."));
    }
    arguments.sort_by_key(|(name, _)| ARGUMENTS.iter().position(|known| known == name));

    for required in ["znode", "action"] {
        if spread.is_none() && arguments.iter().all(|(name, _)| *name != required) {
            result.problems.push(format!("`{required}` is missing."));
        }
    }
    let queue = arguments
        .iter()
        .all(|(name, value)| *name != "run_mode" || matches!(value, Value::None | Value::Int(1)));
    for (name, value) in &arguments {
        if let Value::Unknown(why) = value {
            result.problems.push(format!("its `{name}` is not known: {why}."));
        } else if !matches!(value, Value::None) || matches!(*name, "znode" | "action") {
            result.argument(lines, name, value, queue);
        }
    }
    if result.problems.is_empty() {
        // A value that the daemon would refuse needs manual work; the daemon's own error says why.
        let mistakes = crate::config::mistakes(&result.table());
        result.problems.extend(mistakes.iter().map(|mistake| format!("{}.", mistake.message)));
    }
    result
}

impl Registration {
    /// The watch as TOML.
    pub(super) fn table(&self) -> String {
        let fields = self.fields.iter();
        fields.fold("[[watch]]\n".to_owned(), |text, (name, value)| {
            text + &format!("{name} = {}\n", written(name, value))
        })
    }

    fn argument(&mut self, lines: &Lines<'_>, name: &'static str, value: &Value<'_>, queue: bool) {
        match (name, value) {
            ("znode", Value::Str(key)) => match crate::watch::Key::new(key) {
                Ok(_) => self.field("key", Toml::String(key.to_string())),
                Err(error) => self.problems.push(format!("its `znode` is not a key: {error}.")),
            },
            ("action", Value::Function(function)) => {
                let line = lines.line(function.range().start());
                self.problems.push(format!(
                    "its action is the Python function `{}` of line {line}: put what it does into a program.",
                    function.name
                ));
                self.also.push(function.range());
            }
            ("action", Value::Exec(command)) => self.command(command),
            ("action", value) => match command_of(value) {
                Ok(command) => self.command(&command),
                Err(Some(why)) => self.problems.push(format!("its `action` is not known: {why}.")),
                Err(None) => self.wrong(name, "Exec(), a string or a list of strings", value),
            },
            ("pipe_stdin", Value::Bool(value)) => self.field("pipe_stdin", Toml::Boolean(*value)),
            ("run_on_load", Value::Bool(value)) => self.field("run_on_load", Toml::Boolean(*value)),
            ("run_mode", Value::Int(1)) => self.field("run_mode", Toml::String("queue".into())),
            ("run_mode", Value::Int(2)) => self.field("run_mode", Toml::String("parallel".into())),
            ("run_mode", Value::Int(3)) => self.field("run_mode", Toml::String("discard".into())),
            ("run_mode", _) => self.wrong(name, "QUEUE, PARALLEL or DISCARD", value),
            ("description", Value::Str(text)) => self.field("description", Toml::String(text.to_string())),
            ("uid" | "gid", Value::Int(number)) if u32::try_from(*number).is_ok() => {
                self.field(name, Toml::Integer(*number));
            }
            ("uid" | "gid", Value::Str(account)) if !account.is_empty() && !account.contains('\0') => {
                self.field(name, Toml::String(account.to_string()));
            }
            ("uid" | "gid", _) => self.wrong(name, "a number of 0 or more, or a name", value),
            ("watch_type", Value::Int(1)) => self.field("watch_type", Toml::String("data".into())),
            ("watch_type", Value::Int(2)) => self.field("watch_type", Toml::String("children".into())),
            ("watch_type", _) => self.wrong(name, "WATCH_DATA or WATCH_CHILDREN", value),
            ("notify_signal", Value::Int(number @ 1..=31)) => {
                if queue {
                    self.field("notify_signal", signal(*number));
                } else {
                    self.hints.push(
                        "notify_signal was left out: it has an effect only with run_mode QUEUE.".into(),
                    );
                }
            }
            ("notify_signal", _) => self.wrong(name, "a number from 1 to 31", value),
            ("timeout", Value::Int(seconds @ 1..)) => {
                self.field("timeout", Toml::String(format!("{seconds}s")));
            }
            ("timeout", Value::Float(seconds)) if (0.001..1e12).contains(seconds) => {
                self.field("timeout", Toml::String(milliseconds(*seconds)));
            }
            ("timeout", _) => self.wrong(name, "a number of seconds above 0", value),
            ("pipe_stdin" | "run_on_load", _) => self.wrong(name, "True or False", value),
            (_, value) => self.wrong(name, "a string", value),
        }
    }

    fn field(&mut self, name: &'static str, value: Toml) {
        self.fields.push((name, value));
    }

    fn wrong(&mut self, name: &str, wanted: &str, value: &Value<'_>) {
        self.problems.push(format!("its `{name}` is {}; expected {wanted}.", value.kind()));
    }

    fn command(&mut self, command: &Command) {
        let words: Vec<&String> = match command {
            Command::Shell(text) => vec![text],
            Command::Program(words) => words.iter().collect(),
        };
        if words.iter().any(|word| word.contains('\0')) {
            self.problems.push("its `action` has a NUL character, which no command line can hold.".into());
        } else if words.first().is_none_or(|first| first.trim().is_empty()) {
            self.problems.push("its `action` is empty.".into());
        } else {
            self.field(
                "action",
                match command {
                    Command::Shell(text) => Toml::String(text.clone()),
                    Command::Program(words) => Toml::Array(words.iter().cloned().map(Toml::String).collect()),
                },
            );
        }
    }
}

/// By name if it has one.
fn signal(number: i64) -> Toml {
    let known = i32::try_from(number).ok().and_then(|number| nix::sys::signal::Signal::try_from(number).ok());
    match known {
        Some(signal) => Toml::String(signal.as_str().trim_start_matches("SIG").to_owned()),
        None => Toml::Integer(number),
    }
}

/// A duration in whole milliseconds, the resolution of the old select(2) loop.
fn milliseconds(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "the caller's range is far below 2^63 milliseconds")]
    let milliseconds = (seconds * 1000.0).round() as i64;
    if milliseconds % 1000 == 0 { format!("{}s", milliseconds / 1000) } else { format!("{milliseconds}ms") }
}

/// A field's value as a watch file writes it: where `${` would begin a name, it is escaped.
pub(super) fn written(field: &str, value: &Toml) -> String {
    let expands = WATCH.iter().any(|known| known.name == field && known.expands);
    let text = value.to_string();
    if expands { escape(&text) } else { text }
}
