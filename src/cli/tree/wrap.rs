//! Breaks text into lines that fit. Pure.

use unicode_width::UnicodeWidthStr;

use super::escape::push;

/// Lines no wider than `width`, broken anywhere, because the text may not consist of words.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut shown = String::new();
    for line in text.lines() {
        let (mut part, mut taken) = (String::new(), 0);
        for character in line.chars() {
            shown.clear();
            match character {
                '\t' => shown.extend(std::iter::repeat_n(' ', 4 - taken % 4)),
                character => push(&mut shown, character),
            }
            let wide = if shown.is_ascii() { shown.len() } else { shown.width() };
            if taken + wide > width && taken > 0 {
                lines.push(std::mem::take(&mut part));
                taken = 0;
            }
            part.push_str(&shown);
            taken += wide;
        }
        lines.push(part);
    }
    lines
}

/// Lines of whole words; a word that is wider than a line is broken.
pub(in crate::cli) fn words(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let mut parts = wrapped(word, width).into_iter();
        let Some(part) = parts.next() else { continue };
        match lines.last_mut() {
            Some(line) if line.width() + 1 + part.width() <= width => {
                line.push(' ');
                line.push_str(&part);
            }
            Some(_) | None => lines.push(part),
        }
        lines.extend(parts);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_at_the_width() {
        assert_eq!(wrapped("abcdef\n\nx\ty", 4), ["abcd", "ef", "", "x   ", "y"]);
        assert_eq!(wrapped("日本語", 4), ["日本", "語"]);
        assert_eq!(wrapped("a\x1bb", 8), ["a\\u{1b}b"]);
        assert_eq!(wrapped("日", 1), ["日"]);
    }

    #[test]
    fn words_stay_whole_where_they_fit() {
        assert_eq!(words("expand or  collapse it", 10), ["expand or", "collapse", "it"]);
        assert_eq!(words("at abcdefghijkl m", 5), ["at", "abcde", "fghij", "kl m"]);
        assert_eq!(words("", 5), [""; 0]);
        assert_eq!(words("a\x1bb", 9), ["a\\u{1b}b"]);
    }
}
