//! Values with several parts: a command, variables, limits, exit codes. Every part is checked.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::kind::kind_of;
use super::value::{Reading, ValueFault, argument, each, fault, number, without_nul};
use crate::config::problem::{nearest, word};
use crate::watch::fleet::HostGlobs;
use crate::watch::hosts::Hosts;
use crate::watch::{Action, Choice as _, Limit};

impl Reading<'_> {
    pub(super) fn command(&self, value: &DeValue<'_>) -> Result<Action, Vec<ValueFault>> {
        match value {
            DeValue::String(_) => {
                let line = self
                    .text(value)
                    .and_then(|line| argument(line, &self.span))
                    .map_err(|fault| vec![fault])?;
                if line.trim().is_empty() {
                    return Err(vec![self.fault("the action is empty")]);
                }
                Ok(Action::Shell(line))
            }
            DeValue::Array(words) => {
                let arguments = each(words.iter().map(|word| {
                    match word.get_ref() {
                        DeValue::String(text) => without_nul(text, &word.span())
                            .and_then(|text| argument(text.to_owned(), &word.span())),
                        other => Err(fault(
                            &word.span(),
                            format!("an argument is a string, not {}", kind_of(other)),
                        )
                        .help("write every argument between quotes")),
                    }
                }))?;
                if arguments.first().is_none_or(String::is_empty) {
                    return Err(vec![self.fault("the action names no program")]);
                }
                Ok(Action::Program(arguments.into_iter().map(Into::into).collect()))
            }
            _ => Err(vec![self.type_of(value)]),
        }
    }

    pub(super) fn variables(&self, value: &DeValue<'_>) -> Result<BTreeMap<String, String>, Vec<ValueFault>> {
        let DeValue::Table(table) = value else { return Err(vec![self.type_of(value)]) };
        let variables = each(table.iter().map(|(name, value)| {
            let shown = word(name.get_ref());
            if name.get_ref().is_empty() || name.get_ref().contains(['=', '\0']) {
                return Err(fault(
                    &name.span(),
                    format!("`{shown}` is not a name of an environment variable"),
                )
                .help("a name must not be empty or contain `=` or NUL"));
            }
            if name.get_ref().starts_with("TWITCHER_") {
                return Err(fault(&name.span(), format!("`{shown}` is one of the daemon's own variables"))
                    .help("names that begin with `TWITCHER_` are set for each run; take another name"));
            }
            let DeValue::String(text) = value.get_ref() else {
                return Err(fault(
                    &value.span(),
                    format!("the variable `{shown}` is {}, expected a string", kind_of(value.get_ref())),
                )
                .help("write it between quotes"));
            };
            let text = self.expand(without_nul(text, &value.span())?, &value.span())?;
            argument(format!("{}={text}", name.get_ref()), &value.span())?;
            Ok((name.get_ref().to_string(), text))
        }))?;
        Ok(variables.into_iter().collect())
    }

    pub(super) fn limits(
        &self,
        value: &DeValue<'_>,
    ) -> Result<BTreeMap<Limit, Option<u64>>, Vec<ValueFault>> {
        let DeValue::Table(table) = value else { return Err(vec![self.type_of(value)]) };
        let limits = each(table.iter().map(|(name, value)| {
            let shown = word(name.get_ref());
            let Some(limit) = Limit::from_word(name.get_ref()) else {
                let known: Vec<&str> = Limit::ALL.iter().map(|known| known.word()).collect();
                let near = nearest(name.get_ref(), known.iter().copied());
                let help = near.map_or_else(
                    || format!("known are {}", known.join(", ")),
                    |near| format!("did you mean `{near}`?"),
                );
                return Err(fault(&name.span(), format!("unknown limit `{shown}`")).help(help));
            };
            let most = match value.get_ref() {
                DeValue::String(text) if text == "unlimited" => None,
                DeValue::Integer(integer) => {
                    match number(integer).and_then(|number| u64::try_from(number).ok()) {
                        Some(most) => Some(most),
                        None => {
                            return Err(fault(
                                &value.span(),
                                format!("the limit `{shown}` must not be negative"),
                            )
                            .help("write a whole number or `\"unlimited\"`"));
                        }
                    }
                }
                other => {
                    return Err(fault(
                        &value.span(),
                        format!(
                            "the limit `{shown}` is {}, expected a whole number or `\"unlimited\"`",
                            kind_of(other)
                        ),
                    ));
                }
            };
            Ok((limit, most))
        }))?;
        Ok(limits.into_iter().collect())
    }

    pub(super) fn hosts(&self, value: &DeValue<'_>) -> Result<Hosts, Vec<ValueFault>> {
        let patterns = self.patterns(value)?;
        if patterns.is_empty() {
            let wrong = self.fault("`hosts` names no host");
            return Err(vec![wrong.help("leave it out for all hosts, or write `enabled = false` for none")]);
        }
        Hosts::new(&patterns).map_err(|(_, wrong)| vec![self.fault(wrong)])
    }

    pub(super) fn globs(&self, value: &DeValue<'_>) -> Result<HostGlobs, Vec<ValueFault>> {
        Ok(HostGlobs(self.patterns(value)?.into_iter().map(ToOwned::to_owned).collect()))
    }

    /// Patterns that can be read, as they are written.
    fn patterns<'t>(&self, value: &'t DeValue<'_>) -> Result<Vec<&'t str>, Vec<ValueFault>> {
        let DeValue::Array(items) = value else { return Err(vec![self.type_of(value)]) };
        each(items.iter().map(|item| match item.get_ref() {
            DeValue::String(text) => {
                let pattern = without_nul(text, &item.span())?;
                let read = Hosts::new(&[pattern]).map(|_| pattern);
                read.map_err(|(_, wrong)| {
                    fault(
                        &item.span(),
                        format!("`{}` is not a pattern for host names: {wrong}", word(pattern)),
                    )
                })
            }
            other => Err(fault(&item.span(), format!("a pattern is a string, not {}", kind_of(other)))),
        }))
    }

    pub(super) fn codes(&self, value: &DeValue<'_>) -> Result<Vec<i32>, Vec<ValueFault>> {
        let DeValue::Array(items) = value else { return Err(vec![self.type_of(value)]) };
        let mut codes = each(items.iter().map(|item| {
            let code = if let DeValue::Integer(integer) = item.get_ref() { number(integer) } else { None };
            code.filter(|code| (0..=255).contains(code))
                .and_then(|code| i32::try_from(code).ok())
                .ok_or_else(|| fault(&item.span(), "an exit code is a whole number from 0 to 255"))
        }))?;
        codes.sort_unstable();
        codes.dedup();
        if codes.is_empty() { Err(vec![self.fault("no exit code would mean success")]) } else { Ok(codes) }
    }
}
