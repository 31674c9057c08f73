//! Calls: `RegisterWatch` and `Exec`, Python's built-ins, methods, and functions of the file.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "anything not listed is unknown, including what a later parser adds"
)]

use std::rc::Rc;

use ruff_python_ast::{Expr, ExprCall};
use ruff_text_size::Ranged;

use super::command::command_of;
use super::operate::element;
use super::script::{Item, Script};
use super::skip::poison;
use super::text;
use super::value::{Builtin, Value};

/// Longest list that `range` and friends may produce.
const LONGEST_RANGE: i64 = 100_000;

impl<'a> Script<'a> {
    pub(super) fn called(&mut self, at: &'a Expr, call: &'a ExprCall, depth: usize) -> Value<'a> {
        let line = self.lines.line(at.start());
        let (callee, method) = match &*call.func {
            Expr::Attribute(attribute) => match self.nested(&attribute.value, depth) {
                Value::Module(module) => (self.of_module(&module, &attribute.attr, line), None),
                receiver => (receiver, Some(attribute.attr.as_str())),
            },
            function => (self.nested(function, depth), None),
        };
        let positional = self.all(&call.arguments.args, depth);
        let mut named = Vec::new();
        let mut spread = None;
        for word in &call.arguments.keywords {
            let value = self.nested(&word.value, depth);
            match (&word.arg, value) {
                (Some(name), value) => named.push((name.to_string(), value)),
                (None, Value::Dict(items)) => {
                    for (key, value) in items.borrow().iter() {
                        match key {
                            Value::Str(name) => named.push((name.to_string(), value.clone())),
                            _ => spread = Some(self.not_known(at, key)),
                        }
                    }
                }
                (None, other) => spread = Some(self.not_known(at, &other)),
            }
        }
        match (callee, method) {
            (Value::Builtin(Builtin::RegisterWatch), None) => {
                let registration = super::register::registration(
                    &self.lines,
                    at.range(),
                    &positional,
                    named,
                    spread.as_ref(),
                );
                self.items.push(Item::Watch(Box::new(registration)));
                Value::None
            }
            (_, _) if spread.is_some() => spread.unwrap_or(Value::None),
            (Value::Builtin(Builtin::Exec), None) => self.exec(at, &positional, &named),
            (Value::Builtin(builtin), None) => self.builtin(at, builtin, &positional, named),
            (Value::Function(function), None) => self.call(function, positional, named, line),
            (Value::Str(template), Some("format")) => text::format(&template, &positional, &named)
                .map_or_else(|why| self.unknown(at, why), Value::text),
            (Value::Str(separator), Some("join")) => {
                let joined = positional
                    .first()
                    .ok_or_else(|| "`join` has nothing to join".to_owned())
                    .and_then(|items| Self::elements(items, line).map_err(|why| why.to_string()))
                    .and_then(|items| text::join(&separator, &items));
                joined.map_or_else(|why| self.unknown(at, why), Value::text)
            }
            (Value::Str(receiver), Some(name)) => match text::method(&receiver, name, &positional) {
                Some(Ok(value)) => value,
                Some(Err(why)) => self.unknown(at, why),
                None => self.not_known(at, positional.first().unwrap_or(&Value::None)),
            },
            (receiver @ (Value::List(_) | Value::Dict(_)), Some(name)) => {
                self.container_method(at, &receiver, name, &positional)
            }
            (Value::Module(name), None) if matches!(&*name, "pwd.getpwnam" | "grp.getgrnam") => {
                match positional.as_slice() {
                    [Value::Str(account)] => Value::Account(account.clone()),
                    _ => self.not_known(at, &Value::None),
                }
            }
            (Value::Module(name), None) if &*name == "os.path.join" => {
                join_path(&positional).unwrap_or_else(|| self.not_known(at, &Value::None))
            }
            (callee, _) => {
                // Any callee may change its arguments, unless it only prints.
                let speaks = matches!(&callee, Value::Module(name) if name.starts_with("logging") || name.starts_with("syslog"));
                if !speaks {
                    for argument in positional.iter().chain(named.iter().map(|(_, value)| value)) {
                        poison(argument, "it is given to a function that is not followed", line);
                    }
                }
                self.not_known(at, &callee)
            }
        }
    }

    fn exec(&self, at: &'a Expr, positional: &[Value<'a>], named: &[(String, Value<'a>)]) -> Value<'a> {
        let command = match (positional, named) {
            ([command], []) => command,
            ([], [(name, command)]) if name == "command" => command,
            _ => return self.unknown(at, "Exec() takes one command"),
        };
        match command_of(command) {
            Ok(command) => Value::Exec(Rc::new(command)),
            Err(why) => why.map_or_else(
                || {
                    self.unknown(
                        at,
                        format!("Exec() takes a string or a list of strings, not {}", command.kind()),
                    )
                },
                Value::Unknown,
            ),
        }
    }

    fn builtin(
        &mut self,
        at: &'a Expr,
        builtin: Builtin,
        positional: &[Value<'a>],
        named: Vec<(String, Value<'a>)>,
    ) -> Value<'a> {
        let line = self.lines.line(at.start());
        let list = |value: &Value<'a>| Self::elements(value, line);
        match (builtin, positional) {
            (Builtin::Str, [value]) => match text::show(value) {
                Ok(text) => Value::text(text),
                Err(why) => self.unknown(at, why),
            },
            (Builtin::Int, [Value::Int(number)]) => Value::Int(*number),
            (Builtin::Int, [Value::Str(text)]) => match text.trim().parse() {
                Ok(number) => Value::Int(number),
                Err(_) => self.not_known(at, &Value::None),
            },
            (Builtin::Bool, [value]) => value.truth().map_or_else(|| self.not_known(at, value), Value::Bool),
            (Builtin::Len, [Value::Str(text)]) => Value::count(text.chars().count()),
            (Builtin::Len, [value @ (Value::List(_) | Value::Tuple(_) | Value::Dict(_))]) => {
                match list(value) {
                    Ok(items) if items.iter().all(|item| !matches!(item, Value::Unknown(_))) => {
                        Value::count(items.len())
                    }
                    Ok(_) | Err(_) => self.unknown(at, "a list is not known in full"),
                }
            }
            (Builtin::Range, numbers) => match numbers {
                [Value::Int(end)] => self.range(at, 0, *end, 1),
                [Value::Int(start), Value::Int(end)] => self.range(at, *start, *end, 1),
                [Value::Int(start), Value::Int(end), Value::Int(step)] if *step > 0 => {
                    self.range(at, *start, *end, *step)
                }
                _ => self.not_known(at, &Value::None),
            },
            (Builtin::List, [value]) => match list(value) {
                Ok(items) => Value::list(items),
                Err(why) => Value::Unknown(Rc::new(why)),
            },
            (Builtin::List, []) => Value::list(Vec::new()),
            (Builtin::Tuple, [value]) => match list(value) {
                Ok(items) => Value::Tuple(items.into()),
                Err(why) => Value::Unknown(Rc::new(why)),
            },
            (Builtin::Dict, []) => {
                Value::dict(named.into_iter().map(|(name, value)| (Value::text(name), value)).collect())
            }
            (Builtin::Sorted, [value]) if named.is_empty() => match list(value) {
                Ok(items) => sorted(items).unwrap_or_else(|| self.not_known(at, &Value::None)),
                Err(why) => Value::Unknown(Rc::new(why)),
            },
            (Builtin::Reversed, [value]) => match list(value) {
                Ok(items) => Value::list(items.into_iter().rev().collect()),
                Err(why) => Value::Unknown(Rc::new(why)),
            },
            (Builtin::Enumerate, [value]) => match list(value) {
                Ok(items) => Value::list(
                    items
                        .into_iter()
                        .enumerate()
                        .map(|(at, item)| Value::Tuple([Value::count(at), item].into()))
                        .collect(),
                ),
                Err(why) => Value::Unknown(Rc::new(why)),
            },
            (Builtin::Zip, [a, b]) => match (list(a), list(b)) {
                (Ok(a), Ok(b)) => {
                    Value::list(a.into_iter().zip(b).map(|(a, b)| Value::Tuple([a, b].into())).collect())
                }
                (Err(why), _) | (_, Err(why)) => Value::Unknown(Rc::new(why)),
            },
            (
                Builtin::RegisterWatch
                | Builtin::Exec
                | Builtin::Int
                | Builtin::Bool
                | Builtin::Len
                | Builtin::List
                | Builtin::Tuple
                | Builtin::Dict
                | Builtin::Sorted
                | Builtin::Reversed
                | Builtin::Enumerate
                | Builtin::Zip
                | Builtin::Str
                | Builtin::Print,
                _,
            ) => self.not_known(at, positional.first().unwrap_or(&Value::None)),
        }
    }

    fn range(&self, at: &Expr, start: i64, end: i64, step: i64) -> Value<'a> {
        if end.saturating_sub(start) > LONGEST_RANGE {
            return self.unknown(at, "a range is too long");
        }
        let step = usize::try_from(step).unwrap_or(1);
        Value::list((start..end).step_by(step.max(1)).map(Value::Int).collect())
    }

    fn container_method(
        &mut self,
        at: &'a Expr,
        receiver: &Value<'a>,
        name: &str,
        arguments: &[Value<'a>],
    ) -> Value<'a> {
        let line = self.lines.line(at.start());
        match (receiver, name, arguments) {
            (Value::List(items), "append", [item]) => {
                items.borrow_mut().push(item.clone());
                Value::None
            }
            (Value::List(items), "extend", [more]) => {
                match Self::elements(more, line) {
                    Ok(more) => items.borrow_mut().extend(more),
                    Err(why) => poison(receiver, &why.text, why.line),
                }
                Value::None
            }
            (Value::Dict(items), "items" | "iteritems", []) => Value::list(
                items
                    .borrow()
                    .iter()
                    .map(|(key, value)| Value::Tuple([key.clone(), value.clone()].into()))
                    .collect(),
            ),
            (Value::Dict(items), "keys" | "iterkeys", []) => {
                Value::list(items.borrow().iter().map(|(key, _)| key.clone()).collect())
            }
            (Value::Dict(items), "values" | "itervalues", []) => {
                Value::list(items.borrow().iter().map(|(_, value)| value.clone()).collect())
            }
            (Value::Dict(_), "get", [key, rest @ ..]) => {
                let known = element(receiver, key);
                known.unwrap_or_else(|| match key {
                    Value::Unknown(_) => key.clone(),
                    _ => rest.first().cloned().unwrap_or(Value::None),
                })
            }
            _ => {
                poison(receiver, &format!("`{name}` changes it in a way that is not followed"), line);
                self.unknown(at, format!("`{name}` is not followed"))
            }
        }
    }
}

/// Strings, or tuples that begin with distinct strings, so that sorting never compares the later elements.
fn sorted(items: Vec<Value<'_>>) -> Option<Value<'_>> {
    let strings = items.iter().all(|item| matches!(item, Value::Str(_)));
    let mut keyed = Vec::new();
    for item in items {
        let key = match &item {
            Value::Str(text) if strings => text.clone(),
            Value::Tuple(parts) => match parts.first() {
                Some(Value::Str(text)) => text.clone(),
                _ => return None,
            },
            _ => return None,
        };
        keyed.push((key, item));
    }
    keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
    if !strings && keyed.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return None;
    }
    Some(Value::list(keyed.into_iter().map(|(_, item)| item).collect()))
}

fn join_path<'a>(parts: &[Value<'a>]) -> Option<Value<'a>> {
    let mut path = String::new();
    for part in parts {
        let Value::Str(part) = part else { return None };
        if part.starts_with('/') {
            path.clear();
        } else if !path.is_empty() && !path.ends_with('/') {
            path.push('/');
        }
        path.push_str(part);
    }
    text::bounded_product(path.len(), 1).ok().map(|()| Value::text(path))
}
