//! Problems as workflow commands of GitHub Actions: `::error file=…,line=…,col=…::message`. Pure.
//!
//! A command is one line. `%`, CR and LF are escaped in its message, and `:` and `,` too in its properties, as
//! `@actions/core` does.

use std::fmt::Write as _;

use crate::config::{Position, Problem};

/// One command a line.
pub(super) fn commands<'a>(problems: impl Iterator<Item = &'a Problem>) -> String {
    problems.fold(String::new(), |mut commands, problem| {
        let _ = write!(
            commands,
            "::{} file={}",
            problem.severity.word(),
            property(&problem.file.to_string_lossy())
        );
        if let Some(Position { line, column }) = problem.place {
            let _ = write!(commands, ",line={line},col={column}");
        }
        let text = match problem.help() {
            Some(help) => format!("{}\n{help}", problem.message),
            None => problem.message.clone(),
        };
        let _ = writeln!(commands, "::{}", message(&text));
        commands
    })
}

fn message(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_command_is_one_line_whatever_is_in_it() {
        let file: Arc<Path> = Path::new("etc/a:b,c%.toml").into();
        let error = Problem::of_file(&file, "100% wrong: a, b", "first\nsecond")
            .at(Some(Position { line: 3, column: 9 }));
        let warning = Problem::of_file(&Path::new("x\n::error::y").into(), "odd\r", "").into_warning();
        assert_eq!(
            commands([&error, &warning].into_iter()),
            "::error file=etc/a%3Ab%2Cc%25.toml,line=3,col=9::100%25 wrong: a, b%0Afirst%0Asecond\n\
             ::warning file=x%0A%3A%3Aerror%3A%3Ay::odd%0D%0A\n"
        );
    }
}
