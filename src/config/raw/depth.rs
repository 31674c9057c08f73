//! Refuses names of very many parts before they are parsed: each part is a table inside of a table, and the tree
//! that the parser would make of `a.a.a.…` is too deep to be walked and dropped on a thread's stack.

use std::ops::Range;

/// Names of our fields have at most three: `store.main.tls`.
pub(super) const MOST_PARTS: usize = 8;

/// Where a name has more than [`MOST_PARTS`] parts, if one does.
pub(super) fn too_deep(text: &str) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let (mut at, mut dots, mut begin) = (0, 0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'#' => at += length_until(&bytes[at..], |byte| byte == b'\n'),
            quote @ (b'"' | b'\'') => at += string(&bytes[at..], quote),
            b'.' => {
                dots += 1;
                at += 1;
                if dots >= MOST_PARTS {
                    return Some(begin..at);
                }
            }
            b'\n' | b'=' | b',' | b'{' | b'}' | b'[' | b']' => {
                dots = 0;
                at += 1;
                begin = at;
            }
            _ => at += 1,
        }
    }
    None
}

fn length_until(bytes: &[u8], end: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| end(*byte)).unwrap_or(bytes.len())
}

/// How long the string is that begins here, quotes included.
fn string(bytes: &[u8], quote: u8) -> usize {
    let long = bytes.starts_with(&[quote; 3]);
    let mut at = if long { 3 } else { 1 };
    while let Some(byte) = bytes.get(at) {
        match *byte {
            b'\\' if quote == b'"' => at += 1,
            b'\n' if !long => return at,
            byte if byte == quote && !long => return at + 1,
            byte if byte == quote && bytes[at..].starts_with(&[quote; 3]) => {
                // Up to two quotes of the text itself may stand right before the closing three.
                let quotes = length_until(&bytes[at..], |byte| byte != quote);
                return at + quotes.min(5);
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::too_deep;

    #[test]
    fn dots_of_names_count_and_those_of_strings_and_comments_do_not() {
        let dots = "a.".repeat(5000);
        for fine in [
            "a.b.c.d.e.f.g.h = 1".to_owned(),
            format!("x = \"{dots}\" # {dots}\ny = '{dots}'"),
            format!("x = \"\\\"{dots}\""),
            format!("x = '''\n{dots}''''' # {dots}\n"),
            format!("x = \"\"\"{dots}\n\"\" {dots}\"\"\""),
            "x = [1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 10.5]".to_owned(),
        ] {
            assert_eq!(too_deep(&fine), None, "{fine:.60}");
        }
        for deep in
            [format!("{dots}a = 1"), format!("[x]\n[[ {dots}a ]]"), format!("x = {{ \"a\" . {dots}a = 1 }}")]
        {
            assert!(too_deep(&deep).is_some(), "{deep:.60}");
        }
    }
}
