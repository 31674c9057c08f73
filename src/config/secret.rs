//! Decides which lines of a file may hold a secret and so are never shown, on a terminal or in the log. Pure.

use std::ops::Range;

/// Whether a line may hold a secret: a URL with a user or password, or text that is not a line of TOML at all, as in a
/// password or key file that is passed as configuration.
pub(super) fn may_hold(line: &str) -> bool {
    has_url_with_user(line) || is_bare(line)
}

fn has_url_with_user(line: &str) -> bool {
    let url = |rest: &str| rest.split([' ', '"', '\'']).next().is_some_and(|url| url.contains('@'));
    line.split("://").skip(1).any(url)
}

/// Whether a line is neither a table's head, nor `name = value`, nor part of an array or string in quotes.
fn is_bare(line: &str) -> bool {
    let line = line.trim();
    if line.is_empty() || line.starts_with(['[', ']', '{', '}', '"', '\'', '#', ',']) {
        return false;
    }
    let Some((name, value)) = line.split_once('=') else { return true };
    // Base64 text may end in `=` or `==`.
    let value = value.trim_start_matches('=').trim();
    value.is_empty() && name.trim_end() == name
}

/// The bytes of the store tables in the text of `twitcher.conf`, which may have errors. The head of a table is excluded: it
/// shows where a problem is.
pub(super) fn store_tables(text: &str) -> Vec<Range<usize>> {
    let mut hidden = Vec::new();
    let (mut begin, mut inside) = (0, false);
    for line in text.split_inclusive('\n') {
        let end = begin + line.len();
        let trimmed = line.trim();
        let is_head = trimmed.starts_with('[') && trimmed.ends_with(']') && !trimmed.contains('=');
        if trimmed.starts_with('[') {
            inside = is_store(trimmed.trim_start_matches('['));
        }
        if (inside && !is_head) || (!trimmed.starts_with('[') && is_store(trimmed)) {
            hidden.push(begin..end.max(begin + 1));
        }
        begin = end;
    }
    hidden
}

/// Whether a name begins with `store`, or with a typo of it.
fn is_store(name: &str) -> bool {
    let first = name.trim_start().trim_start_matches(['"', '\'']);
    let first = first.split(['.', ']', '=', '"', '\'', ' ', '\t']).next().unwrap_or_default();
    strsim::damerau_levenshtein(&first.to_lowercase(), "store") <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(text: &str) -> Vec<&str> {
        store_tables(text).into_iter().map(|range| text[range].trim()).collect()
    }

    #[test]
    fn no_line_of_a_store_is_shown_but_the_heads_of_its_tables() {
        let text = "log = 'x'\n[store.main]\nurl = 'u'\npassword = \"hunter2\n[store.main.tls]\nkey = 'k'\n[fleet]\nttl = 1\n";
        assert_eq!(hidden(text), ["url = 'u'", "password = \"hunter2", "key = 'k'"]);
    }

    #[test]
    fn slips_and_other_spellings_are_stores_too() {
        for text in [
            "[stroe.main]\npassword = 'x'",
            "[ \"store\" . main ]\npassword = 'x'",
            "[store.main] password = 'x'",
            "store.main.password = 'x'",
            "store = { main = { password = 'x' } }",
            "[Store.main]\r\npassword = 'x'\r\n",
        ] {
            assert_eq!(hidden(text).len(), 1, "{text}");
        }
        assert_eq!(hidden("default_store = 'main'\n[vars]\na = 'b'"), Vec::<&str>::new());
    }

    #[test]
    fn a_line_that_is_no_toml_is_not_shown() {
        for line in [
            "hunter2",
            "user:hunter2",
            "correct horse battery staple",
            "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7",
            "U2FsdGVkX1/abc==",
            "U2FsdGVkX1=",
            "a = 1 # http://u:hunter2@h/",
        ] {
            assert!(may_hold(line), "{line}");
        }
        for line in [
            "key = ",
            "actoin = 'x'",
            "[[watch]]",
            "  'x', 'y',",
            "]",
            "# a comment",
            "",
            "a = 'http://h/' # me@example",
        ] {
            assert!(!may_hold(line), "{line}");
        }
    }
}
