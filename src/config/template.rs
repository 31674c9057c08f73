//! `${name}` in a value: stands for `host` or a name of `[vars]`. Pure.

use super::problem::{nearest, word};
use crate::watch::Machine;

/// Why a text cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InvalidTemplate {
    /// Where its `${` begins, in bytes of the text.
    pub(super) at: usize,
    pub(super) message: String,
    pub(super) help: String,
}

/// Replaces each `${name}` by its value, which is not expanded again, and `$${` by `${`.
pub(super) fn expand(text: &str, machine: &Machine) -> Result<String, InvalidTemplate> {
    walk(text, |name, at| {
        machine.value(name).map(str::to_owned).ok_or_else(|| {
            let help = match nearest(name, machine.names()) {
                Some(near) => format!("did you mean `${{{near}}}`? a literal `${{` is written `$${{`"),
                None => format!(
                    "known are {}; write `{name} = \"…\"` below `[vars]`, or `$${{` for a literal `${{`",
                    machine.names().collect::<Vec<_>>().join(", ")
                ),
            };
            InvalidTemplate { at, message: format!("there is no `{}` in [vars]", word(name)), help }
        })
    })
}

/// The same if no values are known: each name stands for `/`, so that a path or key may begin with it.
pub(super) fn expand_blindly(text: &str) -> String {
    walk(text, |_, _| Ok("/".to_owned())).unwrap_or_else(|_| text.to_owned())
}

/// Escapes a text so that it expands to itself.
#[cfg(any(feature = "convert", test))]
pub(crate) fn escape(text: &str) -> String {
    text.replace("${", "$${")
}

fn walk(
    text: &str,
    value: impl Fn(&str, usize) -> Result<String, InvalidTemplate>,
) -> Result<String, InvalidTemplate> {
    let (mut expanded, mut from) = (String::with_capacity(text.len()), 0);
    while let Some(found) = text[from..].find("${") {
        let at = from + found;
        if text[from..at].ends_with('$') {
            expanded.push_str(&text[from..at - 1]);
            expanded.push_str("${");
            from = at + 2;
            continue;
        }
        expanded.push_str(&text[from..at]);
        let Some(length) = text[at..].find('}') else {
            return Err(InvalidTemplate {
                at,
                message: "`${` has no `}`".to_owned(),
                help: "write `${name}`, or `$${` for a literal `${`".to_owned(),
            });
        };
        expanded.push_str(&value(&text[at + 2..at + length], at)?);
        from = at + length + 1;
    }
    expanded.push_str(&text[from..]);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn machine() -> Machine {
        let vars =
            BTreeMap::from([("role".to_owned(), "web".to_owned()), ("odd".to_owned(), "${role}".to_owned())]);
        Machine { host: "web-17".to_owned(), vars }
    }

    #[test]
    fn names_are_replaced_once() {
        for (text, expected) in [
            ("", ""),
            ("/a$b$", "/a$b$"),
            ("/${role}/${host}", "/web/web-17"),
            ("${role}${role}", "webweb"),
            ("$${role}", "${role}"),
            ("$$${role}", "$${role}"),
            ("${odd}", "${role}"),
            ("é${role}é", "éwebé"),
        ] {
            assert_eq!(expand(text, &machine()).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_replaced_is_told_with_its_place() {
        let wrong = |text: &str| {
            let InvalidTemplate { at, message, help } = expand(text, &machine()).unwrap_err();
            format!("{at}: {message}; {help}")
        };
        assert_eq!(
            wrong("/${rol}"),
            "1: there is no `rol` in [vars]; did you mean `${role}`? a literal `${` is written `$${`"
        );
        assert!(
            wrong("/a/${zzzzzz}").starts_with("3: there is no `zzzzzz` in [vars]; known are host, odd, role")
        );
        assert_eq!(wrong("x${role"), "1: `${` has no `}`; write `${name}`, or `$${` for a literal `${`");
        assert!(wrong("${}").starts_with("0: there is no ``"));
    }

    proptest! {
        #[test]
        fn an_escaped_text_expands_to_itself(text in "[$\\{\\}a]{0,10}") {
            prop_assume!(!text.contains("$$"));
            prop_assert_eq!(expand(&escape(&text), &machine()), Ok(text));
        }

        #[test]
        fn nothing_panics(text in "[$\\{\\}aé]{0,12}") {
            let _ = expand(&text, &machine());
        }
    }
}
