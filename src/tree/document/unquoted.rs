//! The characters of a TOML or JSON text outside its strings and comments: names, dots and brackets can be counted there
//! before a parser builds a tree.

/// The bytes outside of strings and comments, each with its offset.
pub(crate) fn unquoted(text: &str) -> impl Iterator<Item = (usize, u8)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let byte = *bytes.get(at)?;
            match byte {
                b'#' => at += length_until(&bytes[at..], |byte| byte == b'\n'),
                b'"' | b'\'' => at += string(&bytes[at..], byte),
                _ => {
                    at += 1;
                    return Some((at - 1, byte));
                }
            }
        }
    })
}

fn length_until(bytes: &[u8], end: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| end(*byte)).unwrap_or(bytes.len())
}

/// The length of the string that begins here, quotes included.
fn string(bytes: &[u8], quote: u8) -> usize {
    let long = bytes.starts_with(&[quote; 3]);
    let mut at = if long { 3 } else { 1 };
    while let Some(byte) = bytes.get(at) {
        match *byte {
            b'\\' if quote == b'"' => at += 1,
            b'\n' if !long => return at,
            byte if byte == quote && !long => return at + 1,
            byte if byte == quote && bytes[at..].starts_with(&[quote; 3]) => {
                // The text may end with up to two quotes right before the closing three.
                let quotes = length_until(&bytes[at..], |byte| byte != quote);
                return at + quotes.min(5);
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}
