//! Numbers of hosts and percentages of them.

use std::ops::Range;

use toml::de::DeValue;

use super::value::{Reading, Value, ValueFault, each, fault, number};
use crate::config::problem::word;
use crate::watch::Word;
use crate::watch::fleet::terms::Share;

/// A fleet has fewer hosts than that.
const MOST: u32 = 1_000_000;

impl Reading<'_> {
    /// A share of the hosts, or the word.
    pub(super) fn share(&self, value: &DeValue<'_>, known: Word) -> Result<Value, ValueFault> {
        let name = self.field.name;
        match value {
            DeValue::String(text) if text == known.word => Ok(Value::Word(known.word)),
            DeValue::String(_) | DeValue::Integer(_) => {
                one(value, &self.span, name, &self.field.kind.expected()).map(Value::Share)
            }
            _ => Err(self.type_of(value)),
        }
    }

    pub(super) fn shares(&self, value: &DeValue<'_>) -> Result<Vec<Share>, Vec<ValueFault>> {
        let DeValue::Array(items) = value else { return Err(vec![self.type_of(value)]) };
        let wanted = "a number of hosts from 1 to 1000000, or a percentage from `\"1%\"` to `\"100%\"`";
        each(items.iter().map(|item| one(item.get_ref(), &item.span(), "a wave", wanted)))
    }
}

fn one(value: &DeValue<'_>, span: &Range<usize>, name: &str, expected: &str) -> Result<Share, ValueFault> {
    let name = if name.contains(' ') { name.to_owned() } else { format!("`{name}`") };
    match value {
        DeValue::Integer(integer) => number(integer)
            .and_then(|count| u32::try_from(count).ok())
            .filter(|count| (1..=MOST).contains(count))
            .map(Share::Count)
            .ok_or_else(|| {
                fault(span, format!("{name} is {}, expected {expected}", word(&integer.to_string())))
            }),
        DeValue::String(text) => percent(text).map(Share::Percent).ok_or_else(|| {
            let wrong = fault(span, format!("{name} is `\"{}\"`, expected {expected}", word(text)));
            match text.parse::<u32>() {
                Ok(count) => wrong.help(format!(
                    "a number of hosts has no quotes: `{count}`; a percentage has its sign: `\"{count}%\"`"
                )),
                Err(_) => wrong,
            }
        }),
        other => Err(fault(span, format!("{name} is {}, expected {expected}", super::kind_of(other)))),
    }
}

fn percent(text: &str) -> Option<u8> {
    let digits = text.strip_suffix('%')?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|percent| plain && (1..=100).contains(percent))
}
