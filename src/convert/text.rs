//! Strings of the old language: methods, `%`, `format`, and literals that Python 2 reads differently.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "anything not listed is unknown, including what a later parser adds"
)]

use super::value::Value;

/// Longest string that is built, so that `'a' * 10**9` is not evaluated.
pub(super) const LONGEST: usize = 1 << 20;

/// What is wrong, as half a sentence.
pub(super) type Refusal = String;

/// What `str(value)` returns.
pub(super) fn show(value: &Value<'_>) -> Result<String, Refusal> {
    match value {
        Value::Str(text) => Ok(text.to_string()),
        Value::Int(number) => Ok(number.to_string()),
        Value::Bool(true) => Ok("True".into()),
        Value::Bool(false) => Ok("False".into()),
        Value::None => Ok("None".into()),
        Value::Unknown(why) => Err(why.to_string()),
        Value::Float(_)
        | Value::List(_)
        | Value::Tuple(_)
        | Value::Dict(_)
        | Value::Exec(_)
        | Value::Builtin(_)
        | Value::Function(_)
        | Value::Module(_)
        | Value::Account(_) => Err(format!("{} is put into a string", value.kind())),
    }
}

/// Whether Python 2 reads the literal differently: numeric escapes beyond ASCII, and `\u`, which was no escape in
/// its byte strings.
pub(super) fn differs_in_python_2(literal: &str) -> bool {
    let prefix: String =
        literal.chars().take_while(|c| *c != '"' && *c != '\'').map(|c| c.to_ascii_lowercase()).collect();
    if prefix.contains('r') || prefix.contains('u') {
        return false;
    }
    let mut chars = literal.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            continue;
        }
        match chars.next() {
            Some('u' | 'U' | 'N') => return true,
            Some('x') => {
                let digits: String = chars.clone().take(2).collect();
                if u8::from_str_radix(&digits, 16).is_ok_and(|byte| byte > 0x7f) {
                    return true;
                }
            }
            Some(first @ '0'..='7') => {
                let mut digits = String::from(first);
                while digits.len() < 3 && chars.peek().is_some_and(|c| ('0'..='7').contains(c)) {
                    digits.extend(chars.next());
                }
                if u32::from_str_radix(&digits, 8).is_ok_and(|byte| byte > 0x7f) {
                    return true;
                }
            }
            Some(_) | None => {}
        }
    }
    false
}

/// `template % values`.
pub(super) fn percent(template: &str, values: &Value<'_>) -> Result<String, Refusal> {
    let positional: Vec<Value<'_>> = match values {
        Value::Tuple(items) => items.to_vec(),
        single => vec![single.clone()],
    };
    let mut next = positional.iter();
    let mut result = String::new();
    let mut rest = template.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '%' {
            result.push(c);
            continue;
        }
        let mut name = None;
        if rest.next_if_eq(&'(').is_some() {
            name = Some(rest.by_ref().take_while(|c| *c != ')').collect::<String>());
        }
        let mut width = String::new();
        while let Some(c) = rest.next_if(|c| c.is_ascii_digit() || *c == '-') {
            width.push(c);
        }
        let kind = rest.next().ok_or("a `%` ends a template")?;
        if kind == '%' {
            result.push('%');
            continue;
        }
        let value = match &name {
            Some(name) => entry(values, name)?,
            None => next.next().cloned().ok_or("a template has too few values")?,
        };
        let text = match (kind, &value) {
            ('s', value) | ('d' | 'i', value @ Value::Int(_)) => show(value)?,
            ('d' | 'i', Value::Unknown(why)) => return Err(why.to_string()),
            _ => return Err(format!("`%{kind}` of {} is not translated", value.kind())),
        };
        pad(&mut result, &text, &width, kind != 's')?;
    }
    if next.next().is_some() && !matches!(values, Value::Dict(_)) {
        return Err("a template has too many values".into());
    }
    bounded(result)
}

fn entry<'a>(values: &Value<'a>, name: &str) -> Result<Value<'a>, Refusal> {
    let Value::Dict(items) = values else { return Err(format!("`%({name})` needs a dictionary")) };
    let items = items.borrow();
    let found = items.iter().rev().find(|(key, _)| matches!(key, Value::Str(text) if **text == *name));
    found.map(|(_, value)| value.clone()).ok_or_else(|| format!("a dictionary has no `{name}`"))
}

/// Python's minimal width: `5`, `-5`, `05`; strings are right-aligned unless it begins with `-`.
fn pad(result: &mut String, text: &str, width: &str, number: bool) -> Result<(), Refusal> {
    let left = width.starts_with('-');
    let digits = width.trim_start_matches('-');
    let wide: usize = if digits.is_empty() {
        0
    } else {
        digits.parse().ok().filter(|wide| *wide <= LONGEST).ok_or("a width is out of range")?
    };
    let missing = wide.saturating_sub(text.chars().count());
    if left {
        result.push_str(text);
        result.extend(std::iter::repeat_n(' ', missing));
    } else if number && digits.starts_with('0') {
        let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
        result.push_str(sign);
        result.extend(std::iter::repeat_n('0', missing));
        result.push_str(digits);
    } else {
        result.extend(std::iter::repeat_n(' ', missing));
        result.push_str(text);
    }
    Ok(())
}

/// `template.format(…)`, without attributes, indexes and format specifications except a width in digits.
pub(super) fn format<'a>(
    template: &str,
    positional: &[Value<'a>],
    named: &[(String, Value<'a>)],
) -> Result<String, Refusal> {
    let mut result = String::new();
    let mut automatic = 0;
    let mut rest = template.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '{' if rest.next_if_eq(&'{').is_some() => result.push('{'),
            '}' if rest.next_if_eq(&'}').is_some() => result.push('}'),
            '}' => return Err("a template has a single `}`".into()),
            '{' => {
                let field: String = rest.by_ref().take_while(|c| *c != '}').collect();
                let (name, width) = field.split_once(':').unwrap_or((&field, ""));
                let value = if name.is_empty() {
                    automatic += 1;
                    positional.get(automatic - 1)
                } else if let Ok(index) = name.parse::<usize>() {
                    positional.get(index)
                } else {
                    named.iter().find(|(known, _)| known == name).map(|(_, value)| value)
                };
                let value = value.ok_or_else(|| format!("`{{{field}}}` has no value"))?;
                let number = matches!(value, Value::Int(_));
                let width = if number { width.trim_end_matches('d') } else { width };
                if !width.chars().all(|c| c.is_ascii_digit()) || (!number && !width.is_empty()) {
                    return Err(format!("`{{{field}}}` is not translated"));
                }
                pad(&mut result, &show(value)?, width, number)?;
            }
            c => result.push(c),
        }
    }
    bounded(result)
}

/// `text.name(arguments)` for the methods that configurations use. `None`: unsupported method.
pub(super) fn method<'a>(
    text: &str,
    name: &str,
    arguments: &[Value<'a>],
) -> Option<Result<Value<'a>, Refusal>> {
    let strings: Option<Vec<&str>> = arguments
        .iter()
        .map(|argument| if let Value::Str(text) = argument { Some(&**text) } else { None })
        .collect();
    let known = match (name, strings?.as_slice()) {
        ("strip", []) => Ok(Value::text(text.trim())),
        ("lstrip", []) => Ok(Value::text(text.trim_start())),
        ("rstrip", []) => Ok(Value::text(text.trim_end())),
        ("strip", [set]) => Ok(Value::text(text.trim_matches(|c| set.contains(c)))),
        ("lstrip", [set]) => Ok(Value::text(text.trim_start_matches(|c| set.contains(c)))),
        ("rstrip", [set]) => Ok(Value::text(text.trim_end_matches(|c| set.contains(c)))),
        ("lower", []) => Ok(Value::text(text.to_lowercase())),
        ("upper", []) => Ok(Value::text(text.to_uppercase())),
        ("replace", [from, to]) if !from.is_empty() => {
            bounded_product(text.len(), to.len().max(1)).map(|()| Value::text(text.replace(from, to)))
        }
        ("split", []) => Ok(Value::list(text.split_whitespace().map(Value::text).collect())),
        ("split", [by]) if !by.is_empty() => Ok(Value::list(text.split(by).map(Value::text).collect())),
        ("splitlines", []) => Ok(Value::list(text.lines().map(Value::text).collect())),
        ("startswith", [start]) => Ok(Value::Bool(text.starts_with(start))),
        ("endswith", [end]) => Ok(Value::Bool(text.ends_with(end))),
        _ => return None,
    };
    Some(known)
}

/// `text.join(items)`.
pub(super) fn join(text: &str, items: &[Value<'_>]) -> Result<String, Refusal> {
    let mut result = String::new();
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            result.push_str(text);
        }
        match item {
            Value::Str(item) => result.push_str(item),
            Value::Unknown(why) => return Err(why.to_string()),
            other => return Err(format!("{} is joined like a string", other.kind())),
        }
        bounded_product(result.len(), 1)?;
    }
    Ok(result)
}

/// Refuses results above the size limit.
pub(super) fn bounded_product(length: usize, times: usize) -> Result<(), Refusal> {
    match length.checked_mul(times) {
        Some(length) if length <= LONGEST => Ok(()),
        Some(_) | None => Err("a value is larger than 1 MiB".into()),
    }
}

fn bounded(text: String) -> Result<String, Refusal> {
    bounded_product(text.len(), 1).map(|()| text)
}
