//! Problems for a terminal: in colour, and folded to its width. Pure.

use unicode_width::UnicodeWidthChar as _;

use crate::cli::columns::folded;
use crate::cli::paint::Paint;
use crate::config::{Excerpt, Problem, Severity};

/// Each problem, with an empty line behind it. Without a width nothing is folded: the first line of a problem is then
/// for editors and grep.
pub(super) fn shown<'a>(
    problems: impl Iterator<Item = &'a Problem>,
    paint: Paint,
    width: Option<usize>,
) -> String {
    problems.map(|problem| one(problem, paint, width) + "\n").collect()
}

fn one(problem: &Problem, paint: Paint, width: Option<usize>) -> String {
    let marked = |text: &str| match problem.severity {
        Severity::Error => paint.bad(text),
        Severity::Warning => paint.busy(text),
    };
    let mut lines = Vec::new();
    let number = problem.place.map(|place| place.line.to_string()).unwrap_or_default();
    let file = match problem.place {
        Some(place) => format!("{}:{}:{}", problem.shown_file(), place.line, place.column),
        None => problem.shown_file(),
    };
    let word = format!("{}:", problem.severity.word());
    let head = folded(&format!("{file}: {word} {}", problem.message), width, 2);
    let mut is_marked = false;
    lines.extend(head.into_iter().map(|line| {
        // The word begins the message, wherever the path before it is folded.
        let found = line.split(' ').position(|part| part == word).filter(|_| !is_marked);
        is_marked |= found.is_some();
        if found.is_some() { line.replacen(&word, &marked(&word), 1) } else { line }
    }));
    let mut margin = 0;
    if let Some(excerpt) = problem.excerpt() {
        margin = number.len();
        let Excerpt { text, caret, width: carets } =
            fitting(excerpt, width.map(|width| width.saturating_sub(margin + 3)));
        let blank = " ".repeat(margin);
        lines.push(paint.faint(&format!("{blank} |")));
        lines.push(format!("{} {text}", paint.faint(&format!("{number} |"))));
        let columns: usize = text.chars().take(caret).map(|c| c.width().unwrap_or(0)).sum();
        let pointer = format!("{}{}", " ".repeat(columns), marked(&"^".repeat(carets)));
        lines.push(format!("{} {pointer}", paint.faint(&format!("{blank} |"))));
    }
    for (at, help) in problem.help().into_iter().flat_map(str::lines).enumerate() {
        let blank = " ".repeat(margin + 1);
        let word = if at == 0 { "= help: " } else { "        " };
        let first = format!("{blank}{word}{help}");
        lines.extend(folded(&first, width, margin + 9));
    }
    lines.join("\n") + "\n"
}

/// The piece of an excerpt around its caret that has at most so many columns.
fn fitting(excerpt: &Excerpt, room: Option<usize>) -> Excerpt {
    let columns = |c: &char| c.width().unwrap_or(0);
    let characters: Vec<char> = excerpt.text.chars().collect();
    let whole: usize = characters.iter().map(columns).sum();
    let Some(room) = room.filter(|room| *room < whole + 1) else { return excerpt.clone() };
    // Two columns for the marks of what is left out.
    let room = room.saturating_sub(2).max(1);
    let mut begin = excerpt.caret.min(characters.len());
    let mut taken = characters.get(begin).map_or(0, columns);
    let before = room / 2;
    while begin > 0 && taken + columns(&characters[begin - 1]) <= before.max(1) {
        begin -= 1;
        taken += columns(&characters[begin]);
    }
    let (mut end, mut used) = (begin, 0);
    while end < characters.len() && used + columns(&characters[end]) <= room {
        used += columns(&characters[end]);
        end += 1;
    }
    let mut text: String = characters[begin..end].iter().collect();
    let mut caret = excerpt.caret - begin;
    let shown = end.saturating_sub(excerpt.caret).max(1);
    if begin > 0 {
        text.insert(0, '…');
        caret += 1;
    }
    if end < characters.len() {
        text.push('…');
    }
    Excerpt { text, caret, width: excerpt.width.min(shown) }
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr as _;

    use super::*;

    #[test]
    fn an_excerpt_is_cut_around_its_caret() {
        let text = format!("key = \"{}HERE{}\"", "a".repeat(60), "日".repeat(60));
        let whole = Excerpt { caret: 67, width: 4, text };
        for room in 8..250 {
            let Excerpt { text, caret, width } = fitting(&whole, Some(room));
            assert!(text.width() <= room, "{room}: {text}");
            assert_eq!(text.chars().nth(caret), Some('H'), "{room}: {text}");
            assert!((1..=4).contains(&width));
        }
        assert_eq!(fitting(&whole, None), whole);
    }
}
