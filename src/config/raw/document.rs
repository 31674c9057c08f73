//! Parses the text of a file and walks its tree: problems of the syntax and of the values together.

use std::ops::Range;

use toml::de::DeTable;

use super::depth;
use super::table::Reader;
use crate::config::problem::{Problem, SourceText, word};

/// More problems of one file are not helpful.
pub(super) const MOST_PROBLEMS: usize = 50;

/// Parses the text and walks the tree. Returns the result, all problems, and whether the syntax has errors. If it has, problems
/// of the walk on the same lines and missing fields are only consequences, and are dropped.
pub(super) fn read<T>(
    source: &SourceText,
    walk: impl FnOnce(&mut Reader<'_>, &DeTable<'_>) -> T,
) -> (Option<T>, Vec<Problem>, bool) {
    if let Some(span) = depth::too_deep(source.text()) {
        let problem = source
            .problem(span, "a name with too many parts")
            .with_help(format!("a dotted name has at most {} parts", depth::MOST_PARTS));
        return (None, vec![problem], true);
    }
    let (root, errors) = DeTable::parse_recoverable(source.text());
    let mut problems: Vec<Problem> = Vec::new();
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        problems.push(syntax(source, span, error.message()));
    }
    let mut reader = Reader::new(source);
    let read = walk(&mut reader, root.get_ref());
    let lines: Vec<usize> = problems.iter().filter_map(|p| p.place).map(|place| place.line).collect();
    let (found, missing) = reader.into_problems();
    problems.extend(found.into_iter().filter(|p| p.place.is_none_or(|place| !lines.contains(&place.line))));
    if lines.is_empty() {
        problems.extend(missing);
    }
    problems.sort_by_key(|problem| problem.place);
    problems.dedup_by_key(|problem| (problem.place, problem.message.clone()));
    if let Some(rest) = problems.len().checked_sub(MOST_PROBLEMS).filter(|rest| *rest > 0) {
        problems.truncate(MOST_PROBLEMS);
        problems.push(Problem::of_file(
            &source.path,
            format!("and {rest} more problems"),
            "correct these first",
        ));
    }
    (Some(read), problems, !lines.is_empty())
}

fn syntax(source: &SourceText, span: Range<usize>, message: &str) -> Problem {
    let mut message = message.to_owned();
    let help = if message.starts_with("duplicate key") {
        let name = source.text().get(span.clone()).unwrap_or_default();
        message = format!("`{}` is written twice", word(name));
        "keep one of them; several watches each begin with `[[watch]]`"
    } else if message.contains("string values must be quoted") {
        "write text between quotes, as in `key = \"/git/head\"`"
    } else if message.contains("leading zero") {
        let place = source.text()[..source.floor(span.start)].rfind('\n').map_or(0, |newline| newline + 1);
        if source.text()[place..].trim_start().starts_with("umask") {
            "a umask is written in quotes, as in `umask = \"022\"`"
        } else {
            "write the number without the zero in front; an octal one begins with `0o`"
        }
    } else if message.contains("missing escaped value") {
        "between double quotes a backslash begins an escape: write the text between single quotes, as in `'\\d+'`, or \
         two backslashes"
    } else if message.contains("recurs") {
        "arrays and tables may be nested at most 80 deep"
    } else {
        "the file is TOML: `name = value` lines, text between quotes, tables below `[[watch]]`"
    };
    source.problem(span, message).with_help(help)
}
