//! What `check` reports of the programs, scripts and directories that watches name: not there, not executable, or not
//! valid shell. Nothing of them is executed.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::config::problem::escaped;
use crate::config::raw::RawTable;
use crate::config::stall::Progress;
use crate::process::{DEFAULT_PATH, ProgramFault, interpreter_of, look_up, script_fault};
use crate::watch::{Action, WatchSpec};

/// The shells whose syntax is checked. No other interpreter is run, whatever a file names.
const SHELLS: [(&str, &str); 3] = [("sh", "/bin/sh"), ("bash", "/bin/bash"), ("dash", "/bin/dash")];
/// Larger scripts are not looked at.
const LARGEST_SCRIPT: u64 = 1 << 20;

/// Something that a watch relies on, and where it is written.
pub(super) struct WrittenRequirement {
    pub(super) field: &'static str,
    pub(super) span: Range<usize>,
    pub(super) claim: Requirement,
}

/// What a watch relies on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Requirement {
    /// This is a directory.
    Directory(PathBuf),
    /// This program can be executed, in this directory and with this PATH.
    Program { program: OsString, path: OsString, cwd: PathBuf },
    /// The interpreter of this script is there.
    Interpreter { script: String, path: OsString, cwd: PathBuf },
    /// This shell understands this text.
    Shell { shell: &'static str, text: String },
    /// The first word of this line is a program or something of the shell's own.
    Word { word: String, path: OsString },
}

/// Claims with what is wrong with them.
pub(super) type LookedAt = BTreeMap<Requirement, Option<RequirementFault>>;

/// What is wrong with a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RequirementFault {
    NoDirectory(String),
    Program(String),
    /// What the shell says.
    Syntax(String),
}

impl RequirementFault {
    pub(super) fn message(&self, field: &str) -> String {
        match self {
            Self::NoDirectory(why) => why.clone(),
            Self::Program(why) => escaped(why),
            Self::Syntax(why) => format!("`{field}` is not valid shell: {why}"),
        }
    }

    pub(super) fn help(&self) -> &'static str {
        match self {
            Self::NoDirectory(_) => "make it, or change `cwd`: no run starts without it",
            Self::Program(_) => "install it, or correct its name: a run that cannot start has failed",
            Self::Syntax(_) => "correct the script: every run would fail",
        }
    }

    /// Whether it makes every run fail, also after something was installed.
    pub(super) fn is_certain(&self) -> bool {
        match self {
            Self::Syntax(_) => true,
            Self::NoDirectory(_) | Self::Program(_) => false,
        }
    }
}

/// What a watch relies on.
pub(super) fn named(spec: &WatchSpec, table: &RawTable) -> Vec<WrittenRequirement> {
    let cwd = &spec.surroundings.cwd;
    let path: OsString = spec.surroundings.env.get("PATH").map_or(DEFAULT_PATH, String::as_str).into();
    let here = || (path.clone(), cwd.clone());
    let script = |claim| WrittenRequirement { field: "script", span: table.span("script"), claim };
    let mut named = vec![WrittenRequirement {
        field: "cwd",
        span: table.span("cwd"),
        claim: Requirement::Directory(cwd.clone()),
    }];
    let others = [("validate", spec.validate.as_deref()), ("on_give_up", spec.on_give_up.as_deref())];
    let others = others.into_iter().filter_map(|(field, program)| Some((field, program?)));
    for (field, program) in [("action", &spec.action)].into_iter().chain(others) {
        let mut name = |claim| named.push(WrittenRequirement { field, span: table.span(field), claim });
        match program {
            Action::Shell(line) => {
                name(Requirement::Shell { shell: "/bin/sh", text: line.clone() });
                if let Some(word) = first_word(line) {
                    let (path, cwd) = here();
                    name(if word.contains('/') {
                        Requirement::Program { program: word.into(), path, cwd }
                    } else {
                        Requirement::Word { word: word.to_owned(), path }
                    });
                }
            }
            Action::Program(words) => {
                if let Some(program) = words.first() {
                    let (path, cwd) = here();
                    name(Requirement::Program { program: program.clone(), path, cwd });
                }
                if let Some((shell, text)) = shell_command(words) {
                    name(Requirement::Shell { shell, text: text.to_owned() });
                }
            }
            Action::Script(text) => {
                let (path, cwd) = here();
                named.push(script(Requirement::Interpreter { script: text.clone(), path, cwd }));
                if let Some(shell) = interpreter_of(text).and_then(|interpreter| shell_of(&interpreter)) {
                    named.push(script(Requirement::Shell { shell, text: text.clone() }));
                }
            }
        }
    }
    named
}

/// The program of a line of shell, where that is plain to see.
fn first_word(line: &str) -> Option<&str> {
    let word = line.split_whitespace().next()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._+-".contains(c);
    word.chars().all(plain).then_some(word)
}

/// The text of `["sh", "-c", TEXT]`.
fn shell_command(words: &[OsString]) -> Option<(&'static str, &str)> {
    let [program, option, text, ..] = words else { return None };
    let option = option.to_str()?.strip_prefix('-')?;
    let is_command = option.ends_with('c') && option.chars().all(|c| "ceux".contains(c));
    Some((shell_of(program).filter(|_| is_command)?, text.to_str()?))
}

fn shell_of(program: &OsStr) -> Option<&'static str> {
    let name = Path::new(program).file_name()?;
    SHELLS.into_iter().find(|(known, file)| name == *known && Path::new(file).exists()).map(|(_, file)| file)
}

/// Looks whether a claim holds.
pub(super) fn fault(claim: &Requirement, progress: &Progress) -> Option<RequirementFault> {
    match claim {
        Requirement::Directory(path) if progress.may_touch(path) => {
            no_directory(path).map(RequirementFault::NoDirectory)
        }
        Requirement::Program { program, path, cwd } if progress.may_touch(&cwd.join(program)) => {
            let found = match look_up(program, path, cwd) {
                // Its directory is told by itself.
                Err(ProgramFault::Missing { path: None, .. })
                    if Path::new(program).is_relative() && !cwd.is_dir() =>
                {
                    return None;
                }
                Err(fault) => return Some(RequirementFault::Program(fault.to_string())),
                Ok(found) => found?,
            };
            let large = fs::metadata(&found).map_or(true, |found| found.len() > LARGEST_SCRIPT);
            let text = if large { None } else { fs::read_to_string(&found).ok() };
            let text = text.filter(|text| text.starts_with("#!"))?;
            let shell = interpreter_of(&text).and_then(|interpreter| shell_of(&interpreter))?;
            let shown = escaped(&found.to_string_lossy());
            syntax(shell, &text).map(|why| RequirementFault::Syntax(format!("{shown}: {why}")))
        }
        Requirement::Interpreter { script, path, cwd } if progress.may_touch(cwd) => {
            let missing = script_fault(script, path, cwd)?;
            Some(RequirementFault::Program(format!("the interpreter `{missing}` of the script is not there")))
        }
        Requirement::Shell { shell, text } if progress.may_touch(Path::new(shell)) => {
            syntax(shell, text).map(RequirementFault::Syntax)
        }
        Requirement::Word { word, path } if progress.may_touch(Path::new("/bin/sh")) => {
            let fault = look_up(OsStr::new(word), path, Path::new("/")).err()?;
            (!is_of_the_shell(word)).then(|| RequirementFault::Program(fault.to_string()))
        }
        Requirement::Directory(_)
        | Requirement::Program { .. }
        | Requirement::Interpreter { .. }
        | Requirement::Shell { .. }
        | Requirement::Word { .. } => None,
    }
}

fn no_directory(path: &Path) -> Option<String> {
    let shown = escaped(&path.to_string_lossy());
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => None,
        Ok(_) => Some(format!("{shown} is not a directory")),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Some(format!("there is no directory {shown}"))
        }
        // The action's user may see more.
        Err(_) => None,
    }
}

/// A shell that reads a text and does nothing else, whatever the environment says.
fn reader(shell: &str) -> Command {
    let mut command = Command::new(shell);
    command.env_clear().env("PATH", DEFAULT_PATH).env("LC_ALL", "C").current_dir("/").stdout(Stdio::null());
    command
}

/// What a shell says of a text that it does not understand.
fn syntax(shell: &str, text: &str) -> Option<String> {
    let mut command = reader(shell);
    command.arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().ok()?;
    if let Some(mut input) = child.stdin.take() {
        // A shell that has seen an error reads no further.
        let _ = input.write_all(text.as_bytes());
    }
    let output = child.wait_with_output().ok()?;
    if output.status.success() {
        return None;
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().next().unwrap_or("it says nothing about why");
    // `sh: 1: Syntax error: …`, `/bin/bash: line 1: syntax error …`
    let line = line.split_once(": ").map_or(line, |(_, rest)| rest);
    let numbered = line.starts_with(|first: char| first.is_ascii_digit());
    Some(escaped(&if numbered { format!("line {line}") } else { line.to_owned() }))
}

/// Whether a word is a builtin or keyword of the shell.
fn is_of_the_shell(word: &str) -> bool {
    let mut command = reader("/bin/sh");
    command.args(["-c", "PATH=/nonexistent; command -v \"$1\"", "sh", word]);
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command.status().map_or(true, |status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault_of(claim: &Requirement) -> Option<String> {
        fault(claim, &Progress::default()).map(|fault| fault.message("action"))
    }

    #[test]
    fn lines_of_shell_are_read_and_not_executed() {
        let place = tempfile::tempdir().unwrap();
        let mark = place.path().join("mark");
        let run = |text: String| fault_of(&Requirement::Shell { shell: "/bin/sh", text });
        assert_eq!(run(format!("touch {0}; : > {0}", mark.display())), None);
        assert!(!mark.exists());
        let said = run(format!("touch {}; if true", mark.display())).unwrap();
        assert!(said.starts_with("`action` is not valid shell: line "), "{said}");
        assert!(!mark.exists());
    }

    #[test]
    fn the_first_word_is_looked_for_where_it_is_plain() {
        let word =
            |word: &str| fault_of(&Requirement::Word { word: word.into(), path: "/bin:/usr/bin".into() });
        for known in ["cat", "cd", "if", "echo", "exec"] {
            assert_eq!(word(known), None, "{known}");
        }
        assert!(word("no-such-program").unwrap().contains("`no-such-program`"));
        assert_eq!(first_word("  /usr/bin/env x"), Some("/usr/bin/env"));
        for unclear in ["$CMD x", "A=b x", "{ x; }", "(x)", "\"x\" y", "f() { x; }", ""] {
            assert_eq!(first_word(unclear), None, "{unclear}");
        }
    }

    #[test]
    fn a_command_for_a_shell_is_found_in_an_array() {
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        for (array, text) in [
            (&["sh", "-c", "x y", "z"][..], Some("x y")),
            (&["/usr/bin/sh", "-euc", "x"], Some("x")),
            (&["sh", "-x", "file"], None),
            (&["perl", "-c", "x"], None),
            (&["sh", "-c"], None),
        ] {
            assert_eq!(shell_command(&words(array)).map(|(_, text)| text), text, "{array:?}");
        }
    }
}
