//! A value as lines of the value pane: text, indented JSON or hex. Pure.

use super::escape::{bytes, hex};
use super::wrap::{words, wrapped};

/// Longer values are cut when they are laid out; the rest is reported.
const SHOWN: usize = 1 << 16;

/// The display mode of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As text, line by line.
    Text,
    /// Indented, if it is JSON.
    Json,
    /// Bytes and what of them is text.
    Hex,
}

impl Mode {
    pub(super) const ALL: [Self; 3] = [Self::Text, Self::Json, Self::Hex];

    pub(super) fn next(self) -> Self {
        match self {
            Self::Text => Self::Json,
            Self::Json => Self::Hex,
            Self::Hex => Self::Text,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "JSON",
            Self::Hex => "hex",
        }
    }
}

/// A value, laid out.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// How many of the first lines explain why the requested mode is not used.
    pub(super) remarks: usize,
    pub(super) lines: Vec<String>,
}

/// Lays out a value so that no line is wider than `width` columns.
pub(super) fn lay_out(value: &[u8], mode: Mode, width: usize) -> Lines {
    let (remark, shown) = match (mode, std::str::from_utf8(value)) {
        (Mode::Text, Ok(text)) => (None, wrapped(beginning(text), width)),
        (Mode::Json, Ok(text)) => match serde_json::from_str::<serde::de::IgnoredAny>(text) {
            Ok(_) => (None, wrapped(&indented(text), width)),
            Err(error) => (Some(format!("not JSON: {error}")), wrapped(beginning(text), width)),
        },
        (Mode::Text | Mode::Json, Err(_)) => {
            (Some("not UTF-8, so shown as hex".to_owned()), dumped(value, width))
        }
        (Mode::Hex, _) => (None, dumped(value, width)),
    };
    let mut lines = remark.map_or_else(Vec::new, |remark| words(&remark, width));
    let remarks = lines.len();
    lines.extend(shown);
    if value.len() > SHOWN {
        lines.push(format!("… {} in all", bytes(value.len())));
    }
    Lines { remarks, lines }
}

fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(SHOWN)]
}

fn dumped(value: &[u8], width: usize) -> Vec<String> {
    // A line of n bytes takes 9 columns, 4 for each byte, and one for each gap.
    let fits = [32, 16, 8, 4].into_iter().find(|count| 9 + 4 * count + (count - 1) / 8 <= width).unwrap_or(2);
    let shown = &value[..value.len().min(SHOWN)];
    shown.chunks(fits).enumerate().map(|(line, bytes)| hex(line * fits, bytes, fits)).collect()
}

/// JSON with a line for each member and element. Only white space changes: numbers keep all their digits, and members their
/// order.
fn indented(json: &str) -> String {
    let mut out = String::new();
    let mut depth = 0_usize;
    let (mut in_string, mut escaped) = (false, false);
    let mut characters = json.chars().peekable();
    while let Some(character) = characters.next() {
        if out.len() > SHOWN {
            break;
        }
        if in_string {
            out.push(character);
            in_string = escaped || character != '"';
            escaped = !escaped && character == '\\';
            continue;
        }
        let line = |out: &mut String, depth| {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", depth));
        };
        match character {
            '{' | '[' => {
                out.push(character);
                while characters.next_if(char::is_ascii_whitespace).is_some() {}
                if let Some(end) = characters.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(',');
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            ' ' | '\t' | '\r' | '\n' => {}
            other => {
                in_string = other == '"';
                out.push(other);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_and_not_changed() {
        let json = r#"{"a" : [1, 2.50, {}], "b\"}": "x, y: {", "n": 12345678901234567890123, "e":[ ]}"#;
        let pretty = "{\n  \"a\": [\n    1,\n    2.50,\n    {}\n  ],\n  \"b\\\"}\": \"x, y: {\",\n  \
                      \"n\": 12345678901234567890123,\n  \"e\": []\n}";
        assert_eq!(indented(json), pretty);
        assert_eq!(lay_out(json.as_bytes(), Mode::Json, 80).remarks, 0);
        let broken = lay_out(b"{a", Mode::Json, 26);
        assert_eq!(broken.remarks, 2);
        assert_eq!(broken.lines, ["not JSON: key must be a", "string at line 1 column 2", "{a"]);
    }

    #[test]
    fn what_is_no_text_is_shown_as_hex_that_fits() {
        let shown = lay_out(b"\xff\x01abcdefgh", Mode::Text, 42);
        assert_eq!(shown.remarks, 1);
        assert_eq!(shown.lines[1], "000000  ff 01 61 62 63 64 65 66  ··abcdef");
        for width in [20, 40, 60, 80, 200] {
            let widest = dumped(&[0; 99], width).iter().map(|line| line.chars().count()).max();
            assert!(widest <= Some(width), "{widest:?} {width}");
        }
    }

    #[test]
    fn a_large_value_is_cut_and_says_so() {
        let text = "é".repeat(SHOWN);
        for mode in Mode::ALL {
            let shown = lay_out(text.as_bytes(), mode, 80);
            assert_eq!(shown.lines.last().map(String::as_str), Some("… 131 kB in all"));
        }
        let json = format!("[{}1]", "1,".repeat(SHOWN));
        assert!(lay_out(json.as_bytes(), Mode::Json, 80).lines.len() < SHOWN);
    }
}
