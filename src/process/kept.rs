//! What is kept of a run's output: its end, in memory that is bounded however much is written. Pure.

use crate::log::escape;

/// The most that is kept of a run, in bytes.
pub const KEPT_BYTES: usize = 64 * 1024;

/// The end of an output.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Grows to twice what is kept before it is cut, so that a flood of short writes moves each byte only once.
    bytes: Vec<u8>,
    is_cut: bool,
}

impl Kept {
    pub(super) fn add(&mut self, written: &[u8]) {
        let fresh = written.len().saturating_sub(KEPT_BYTES);
        let written = written.get(fresh..).unwrap_or_default();
        if self.bytes.len() + written.len() > 2 * KEPT_BYTES {
            let surplus = (self.bytes.len() + written.len()).saturating_sub(KEPT_BYTES);
            self.bytes.drain(..surplus.min(self.bytes.len()));
            self.is_cut = true;
        }
        self.is_cut |= fresh > 0;
        self.bytes.extend_from_slice(written);
    }

    /// The last lines, at most 64 KiB, escaped; begins with `…` where a line was cut.
    pub(super) fn text(&self) -> String {
        let surplus = self.bytes.len().saturating_sub(KEPT_BYTES);
        let kept = self.bytes.get(surplus..).unwrap_or_default();
        let is_cut = self.is_cut || surplus > 0;
        let whole = kept.strip_suffix(b"\n").unwrap_or(kept);
        let first_line_end = whole.iter().position(|byte| *byte == b'\n');
        let shown = match first_line_end {
            Some(end) if is_cut => whole.get(end + 1..).unwrap_or_default(),
            Some(_) | None => whole,
        };
        let without_return = |line: &[u8]| escape::line(line.strip_suffix(b"\r").unwrap_or(line));
        let lines: Vec<String> = shown.split(|byte| *byte == b'\n').map(without_return).collect();
        let text = lines.join("\n");
        let start = text.ceil_char_boundary(text.len().saturating_sub(KEPT_BYTES));
        let end = text.get(start..).unwrap_or_default();
        if start > 0 || (is_cut && first_line_end.is_none()) { format!("…{end}") } else { end.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(parts: &[&[u8]]) -> String {
        let mut kept = Kept::default();
        for part in parts {
            kept.add(part);
        }
        assert!(kept.bytes.len() <= 2 * KEPT_BYTES);
        kept.text()
    }

    #[test]
    fn lines_are_kept_as_lines_however_they_were_written() {
        let text = b"one\r\ntwo\n\nthree\x1b\nunfinished";
        for split in 0..=text.len() {
            assert_eq!(kept(&[&text[..split], &text[split..]]), "one\ntwo\n\nthree\\x1b\nunfinished");
        }
        assert_eq!(kept(&[]), "");
    }

    #[test]
    fn of_a_long_output_whole_lines_of_the_end_are_kept() {
        let lines: Vec<String> = (0..100_000).map(|number| format!("line {number}\n")).collect();
        let text = kept(&lines.iter().map(String::as_bytes).collect::<Vec<_>>());
        assert!(text.ends_with("line 99998\nline 99999") && text.starts_with("line "), "{}", &text[..40]);
        assert!((KEPT_BYTES - 20..=KEPT_BYTES).contains(&text.len()), "{}", text.len());
    }

    #[test]
    fn one_long_line_and_one_that_grows_by_its_escapes_are_bounded_too() {
        let long = kept(&[&vec![b'x'; 3 * KEPT_BYTES]]);
        assert_eq!(long, format!("…{}", "x".repeat(KEPT_BYTES)));
        let escaped = kept(&[&vec![0u8; KEPT_BYTES]]);
        assert!(
            escaped.starts_with('…') && escaped.len() <= KEPT_BYTES + '…'.len_utf8(),
            "{}",
            escaped.len()
        );
    }
}
