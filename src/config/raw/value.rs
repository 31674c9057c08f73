//! One value of one field: of the right type and in range, or the reason why not.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::{DeInteger, DeValue};

use super::kind::kind_of;
use super::signal;
use crate::config::duration;
use crate::config::fields::{Field, Kind, Word};
use crate::config::problem::{nearest, word};
use crate::config::template::{self, InvalidTemplate};
use crate::log::{InvalidLogServer, LogServer};
use crate::store::url::{example_like, suggested};
use crate::store::{InvalidStoreUrl, StoreUrl};
use crate::watch::fleet::HostGlobs;
use crate::watch::fleet::terms::Share;
use crate::watch::hosts::Hosts;
use crate::watch::{Action, Key, Limit, Machine, SignalNumber, StoreName};

/// Linux refuses to execute with a longer argument or variable: `MAX_ARG_STRLEN` of execve(2), with its NUL.
const LONGEST_ARGUMENT: usize = 128 * 1024 - 1;

/// A value of the right type. Its meaning is decided elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::config) enum Value {
    Text(String),
    Key(Key),
    Flag(bool),
    Word(&'static str),
    Number(i64),
    Duration(Duration),
    Signal(SignalNumber),
    Action(Action),
    Account(AccountName),
    Path(PathBuf),
    Mask(u32),
    Variables(BTreeMap<String, String>),
    Limits(BTreeMap<Limit, Option<u64>>),
    Codes(Vec<i32>),
    Hosts(Hosts),
    Globs(HostGlobs),
    Share(Share),
    Shares(Vec<Share>),
    Address(SocketAddr),
    Url(StoreUrl),
    LogServer(LogServer),
}

/// A user or group as written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::config) enum AccountName {
    Name(String),
    Number(u32),
}

/// Why a value is invalid, and its position. Without help of its own a valid example is shown.
#[derive(Debug)]
pub(super) struct ValueFault {
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

pub(super) fn fault(span: &Range<usize>, message: impl Into<String>) -> ValueFault {
    ValueFault { span: span.clone(), message: message.into(), help: None }
}

impl ValueFault {
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl Value {
    /// Parses the value of a field.
    ///
    /// Without a machine `${name}` is unknown, and stands for `/` so that the text around it can be checked.
    pub(super) fn read(
        field: &Field,
        value: &DeValue<'_>,
        span: Range<usize>,
        machine: Option<&Machine>,
    ) -> Result<Self, Vec<ValueFault>> {
        let one = Reading { field, span, machine };
        match field.kind {
            Kind::Command => one.command(value).map(Self::Action),
            Kind::Variables => one.variables(value).map(Self::Variables),
            Kind::Limits => one.limits(value).map(Self::Limits),
            Kind::ExitCodes => one.codes(value).map(Self::Codes),
            Kind::Hosts => one.hosts(value).map(Self::Hosts),
            Kind::Globs => one.globs(value).map(Self::Globs),
            Kind::Shares => one.shares(value).map(Self::Shares),
            Kind::Text
            | Kind::Line
            | Kind::Name
            | Kind::Key
            | Kind::Flag
            | Kind::FlagOr(_)
            | Kind::Choice(_)
            | Kind::Integer { .. }
            | Kind::IntegerOr { .. }
            | Kind::Duration { .. }
            | Kind::Signal
            | Kind::Program
            | Kind::Account
            | Kind::Path
            | Kind::Mask
            | Kind::Share(_)
            | Kind::Percent
            | Kind::Address
            | Kind::Url
            | Kind::Log(_) => one.single(value).map_err(|fault| vec![fault]),
        }
    }
}

impl Value {
    /// Adds missing variables and limits.
    pub(super) fn fill_up(&mut self, default: &Self) {
        if let (Self::Variables(own), Self::Variables(default)) = (&mut *self, default) {
            for (name, value) in default {
                own.entry(name.clone()).or_insert_with(|| value.clone());
            }
        } else if let (Self::Limits(own), Self::Limits(default)) = (self, default) {
            for (limit, most) in default {
                own.entry(*limit).or_insert(*most);
            }
        }
    }
}

/// The field and position that a value is parsed for.
pub(super) struct Reading<'f> {
    pub(super) field: &'f Field,
    pub(super) span: Range<usize>,
    pub(super) machine: Option<&'f Machine>,
}

impl Reading<'_> {
    fn single(&self, value: &DeValue<'_>) -> Result<Value, ValueFault> {
        let name = self.field.name;
        match self.field.kind {
            Kind::Text => self.text(value).map(Value::Text),
            Kind::Line => {
                let text = self.text(value)?;
                if text.is_empty() || text.chars().any(char::is_control) {
                    return Err(self.fault(format!("`{name}` must be one line that is not empty")));
                }
                Ok(Value::Text(text))
            }
            Kind::Name => {
                let text = self.text(value)?;
                StoreName::new(&text).map_err(|invalid| self.fault(invalid.to_string()))?;
                Ok(Value::Text(text))
            }
            Kind::Key => {
                let text = self.text(value)?;
                Key::new(&text).map(Value::Key).map_err(|invalid| self.fault(invalid.to_string()))
            }
            Kind::Flag => self.flag(value),
            Kind::FlagOr(words) => match value {
                DeValue::Boolean(flag) => Ok(Value::Flag(*flag)),
                _ => self.choice(value, words),
            },
            Kind::Choice(words) => self.choice(value, words),
            Kind::Integer { least, most } => self.integer(value, least, most).map(Value::Number),
            Kind::IntegerOr { least, most, word } => match value {
                DeValue::String(_) => self.choice(value, &[word]),
                _ => self.integer(value, least, most).map(Value::Number),
            },
            Kind::Duration { zero } => self.duration(value, zero),
            Kind::Signal => self.signal(value),
            Kind::Program => self.program(value),
            Kind::Account => self.account(value).map(Value::Account),
            Kind::Path => self.path(value).map(Value::Path),
            Kind::Mask => self.mask(value).map(Value::Mask),
            Kind::Percent => self.percent(value).map(Value::Number),
            Kind::Address => {
                let text = self.text(value)?;
                text.parse().map(Value::Address).map_err(|_| {
                    self.fault(format!(
                        "`{}` is not an address with a port; host names are not resolved",
                        word(&text)
                    ))
                })
            }
            Kind::Url => {
                let text = self.text(value)?;
                let refused = |invalid: InvalidStoreUrl| {
                    let help = match suggested(&text) {
                        Some(url) => format!("did you mean `{} = \"{url}\"`?", self.field.name),
                        None => format!("for example `{} = \"{}\"`", self.field.name, example_like(&text)),
                    };
                    self.fault(invalid.to_string()).help(help)
                };
                text.parse().map(Value::Url).map_err(refused)
            }
            Kind::Log(words) => match value {
                DeValue::String(text) if text.contains("://") => {
                    let refused =
                        |invalid: InvalidLogServer| self.fault(invalid.to_string()).help(invalid.hint());
                    text.parse().map(Value::LogServer).map_err(refused)
                }
                _ => self.choice(value, words),
            },
            Kind::Share(word) => self.share(value, word),
            Kind::Command
            | Kind::Variables
            | Kind::Limits
            | Kind::ExitCodes
            | Kind::Hosts
            | Kind::Globs
            | Kind::Shares => Err(self.type_of(value)),
        }
    }

    pub(super) fn fault(&self, message: impl Into<String>) -> ValueFault {
        fault(&self.span, message)
    }

    pub(super) fn type_of(&self, value: &DeValue<'_>) -> ValueFault {
        let Field { name, kind, .. } = self.field;
        self.fault(format!("`{name}` is {}, expected {}", kind_of(value), kind.expected()))
    }

    pub(super) fn text(&self, value: &DeValue<'_>) -> Result<String, ValueFault> {
        let DeValue::String(text) = value else { return Err(self.type_of(value)) };
        let text = without_nul(text, &self.span)?;
        if self.field.expands { self.expand(text, &self.span) } else { Ok(text.to_owned()) }
    }

    /// A text with every `${name}` replaced.
    pub(super) fn expand(&self, text: &str, span: &Range<usize>) -> Result<String, ValueFault> {
        let Some(machine) = self.machine else { return Ok(template::expand_blindly(text)) };
        template::expand(text, machine).map_err(|InvalidTemplate { at, message, help }| {
            // If the text is only surrounded by quotes, the position in it is known.
            let plain = span.len() == text.len() + 2;
            let place = if plain { span.start + 1 + at..span.end - 1 } else { span.clone() };
            fault(&place, message).help(help)
        })
    }

    fn flag(&self, value: &DeValue<'_>) -> Result<Value, ValueFault> {
        match value {
            DeValue::Boolean(flag) => Ok(Value::Flag(*flag)),
            DeValue::String(text) if matches!(&**text, "true" | "false") => Err(self
                .type_of(value)
                .help(format!("write it without quotes: `{} = {text}`", self.field.name))),
            _ => Err(self.type_of(value)),
        }
    }

    fn choice(&self, value: &DeValue<'_>, words: &[Word]) -> Result<Value, ValueFault> {
        let Field { name, kind, .. } = self.field;
        let DeValue::String(text) = value else { return Err(self.type_of(value)) };
        if let Some(known) = words.iter().find(|known| known.word == text) {
            return Ok(Value::Word(known.word));
        }
        let wrong = self.fault(format!("`{name}` is `\"{}\"`, expected {}", word(text), kind.expected()));
        Err(match nearest(text, words.iter().map(|known| known.word)) {
            Some(near) => wrong.help(format!("did you mean `{name} = \"{near}\"`?")),
            None => wrong,
        })
    }

    fn integer(&self, value: &DeValue<'_>, least: i64, most: i64) -> Result<i64, ValueFault> {
        let DeValue::Integer(integer) = value else { return Err(self.type_of(value)) };
        number(integer).filter(|number| (least..=most).contains(number)).ok_or_else(|| {
            let Field { name, kind, .. } = self.field;
            self.fault(format!("`{name}` is {}, expected {}", word(&integer.to_string()), kind.expected()))
        })
    }

    fn duration(&self, value: &DeValue<'_>, zero: bool) -> Result<Value, ValueFault> {
        let name = self.field.name;
        let read = match value {
            DeValue::String(text) => duration::from_text(text),
            #[expect(
                clippy::cast_precision_loss,
                reason = "a number of seconds beyond 2^52 is refused anyway"
            )]
            DeValue::Integer(integer) => match number(integer) {
                Some(seconds) => duration::from_seconds(seconds as f64),
                None => Err(duration::InvalidDuration::TooLong),
            },
            DeValue::Float(float) => duration::from_seconds(float.as_str().parse().unwrap_or(f64::NAN)),
            _ => return Err(self.type_of(value)),
        };
        match read {
            Ok(Duration::ZERO) if !zero => Err(self.fault(format!("`{name}` must be above zero")).help(
                format!("leave `{name}` out for its default, {}", self.field.default.unwrap_or("none")),
            )),
            Ok(duration) => Ok(Value::Duration(duration)),
            Err(invalid) => Err(self.fault(format!("`{name}` is not a duration: {invalid}"))),
        }
    }

    fn signal(&self, value: &DeValue<'_>) -> Result<Value, ValueFault> {
        let (read, near) = match value {
            DeValue::String(text) => {
                let short = text.to_ascii_uppercase();
                let near = nearest(short.trim_start_matches("SIG"), signal::names());
                (signal::from_name(text), near)
            }
            DeValue::Integer(integer) => (number(integer).and_then(signal::from_number), None),
            _ => return Err(self.type_of(value)),
        };
        read.map(Value::Signal).ok_or_else(|| {
            let wrong = self.fault("there is no such signal; a signal is a name such as `\"HUP\"` or a number from 1 to 64 (32 and 33 are the C library's)");
            match near {
                Some(near) => wrong.help(format!("did you mean `\"{near}\"`?")),
                None => wrong.help("`kill -l` lists the signals"),
            }
        })
    }

    fn program(&self, value: &DeValue<'_>) -> Result<Value, ValueFault> {
        let text = self.text(value)?;
        let first = text.lines().next().unwrap_or_default();
        if !first.strip_prefix("#!").is_some_and(|interpreter| interpreter.trim_start().starts_with('/')) {
            return Err(self
                .fault("a script begins with a `#!` line that names its interpreter by an absolute path")
                .help("for example a first line `#!/bin/sh`; for one line of shell use `action = \"…\"`"));
        }
        Ok(Value::Action(Action::Script(text)))
    }

    fn account(&self, value: &DeValue<'_>) -> Result<AccountName, ValueFault> {
        let name = self.field.name;
        match value {
            DeValue::String(text) if text.is_empty() => Err(self.fault(format!("`{name}` is empty"))),
            DeValue::String(text) => Ok(AccountName::Name(without_nul(text, &self.span)?.to_owned())),
            // The highest number means "leave unchanged" to setresuid(2).
            DeValue::Integer(integer) => number(integer)
                .and_then(|number| u32::try_from(number).ok())
                .filter(|number| *number != u32::MAX)
                .map(AccountName::Number)
                .ok_or_else(|| {
                    self.fault(format!(
                        "`{name}` is {}, expected a number from 0 to 4294967294",
                        word(&integer.to_string())
                    ))
                }),
            _ => Err(self.type_of(value)),
        }
    }

    fn path(&self, value: &DeValue<'_>) -> Result<PathBuf, ValueFault> {
        let text = self.text(value)?;
        if text.starts_with('/') && text.len() < 4096 {
            Ok(PathBuf::from(text))
        } else {
            Err(self.fault(format!("`{}` must be an absolute path of less than 4096 bytes", self.field.name)))
        }
    }

    fn percent(&self, value: &DeValue<'_>) -> Result<i64, ValueFault> {
        let name = self.field.name;
        match value {
            DeValue::String(text) => {
                let digits =
                    text.strip_suffix('%').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
                digits.and_then(|digits| digits.parse().ok()).filter(|percent| *percent < 100).ok_or_else(
                    || {
                        self.fault(format!(
                            "`{name}` is `\"{}\"`, expected {}",
                            word(text),
                            self.field.kind.expected()
                        ))
                    },
                )
            }
            DeValue::Integer(integer) => Err(self
                .type_of(value)
                .help(format!("write it in quotes, as a percentage: `{name} = \"{}%\"`", integer.as_str()))),
            _ => Err(self.type_of(value)),
        }
    }

    fn mask(&self, value: &DeValue<'_>) -> Result<u32, ValueFault> {
        let wrong = || self.fault("a umask is octal digits in quotes, from `\"000\"` to `\"777\"`");
        let mask = match value {
            DeValue::String(text)
                if (1..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) =>
            {
                u32::from_str_radix(text, 8).map_err(|_| wrong())?
            }
            DeValue::Integer(integer) if integer.radix() == 8 || integer.as_str() == "0" => {
                number(integer).and_then(|mask| u32::try_from(mask).ok()).ok_or_else(wrong)?
            }
            DeValue::Integer(_) => {
                return Err(wrong().help("a number without `0o` would be decimal: write `umask = \"022\"`"));
            }
            DeValue::String(_) => return Err(wrong()),
            _ => return Err(self.type_of(value)),
        };
        if mask <= 0o777 { Ok(mask) } else { Err(wrong()) }
    }
}

/// All values, or all problems.
pub(super) fn each<T>(items: impl Iterator<Item = Result<T, ValueFault>>) -> Result<Vec<T>, Vec<ValueFault>> {
    let (mut good, mut faults) = (Vec::new(), Vec::new());
    for item in items {
        match item {
            Ok(value) => good.push(value),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(good) } else { Err(faults) }
}

pub(super) fn number(integer: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

pub(super) fn without_nul<'t>(text: &'t str, span: &Range<usize>) -> Result<&'t str, ValueFault> {
    if text.contains('\0') {
        return Err(fault(span, "a NUL character would end this text early in every program that reads it")
            .help("remove the NUL character"));
    }
    Ok(text)
}

pub(super) fn argument(text: String, span: &Range<usize>) -> Result<String, ValueFault> {
    if text.len() > LONGEST_ARGUMENT {
        return Err(fault(
            span,
            format!(
                "Linux executes nothing with an argument or variable of more than {LONGEST_ARGUMENT} bytes"
            ),
        )
        .help("use `script`, or a file of its own"));
    }
    Ok(text)
}
