//! Finds the program that an action names, and the interpreter of that, without executing anything.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::launch::candidates;

/// Linux reads that much of the first line, `BINPRM_BUF_SIZE`.
const FIRST_LINE: u64 = 256;

/// Why a program cannot be executed, whoever tries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgramFault {
    /// There is no such file, or none in PATH.
    Missing {
        /// As it was named.
        program: String,
        /// PATH, where it was looked for in that.
        path: Option<String>,
    },
    /// It is a directory, or a file that nobody may execute.
    NotExecutable(PathBuf),
    /// Its first line names an interpreter that is not there.
    NoInterpreter {
        /// The program.
        program: PathBuf,
        /// What its first line names.
        interpreter: String,
    },
}

impl ProgramFault {
    /// Whether it is a program that is not there, rather than one that is there and cannot be executed.
    pub fn is_missing(&self) -> bool {
        match self {
            Self::Missing { .. } | Self::NoInterpreter { .. } => true,
            Self::NotExecutable(_) => false,
        }
    }
}

impl fmt::Display for ProgramFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { program, path: None } => write!(f, "there is no program `{program}`"),
            Self::Missing { program, path: Some(path) } => {
                write!(f, "there is no program `{program}` in PATH, {path}")
            }
            Self::NotExecutable(program) => write!(f, "{} is not an executable file", program.display()),
            Self::NoInterpreter { program, interpreter } => {
                let (program, shown) = (program.display(), interpreter.escape_debug());
                write!(f, "the interpreter `{shown}` that the first line of {program} names is not there")
            }
        }
    }
}

/// Finds a program as execvp(3) does in this directory. What cannot be looked at is taken to be there.
pub fn look_up(program: &OsStr, path: &OsStr, cwd: &Path) -> Result<(), ProgramFault> {
    let mut not_executable = None;
    for candidate in candidates(program, path) {
        let file = cwd.join(candidate);
        match fs::metadata(&file) {
            Ok(found) if found.is_file() && found.permissions().mode() & 0o111 != 0 => {
                return interpreter_is_there(&file, path, cwd);
            }
            Ok(_) => not_executable = not_executable.or(Some(file)),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(_) => return Ok(()),
        }
    }
    if let Some(file) = not_executable {
        return Err(ProgramFault::NotExecutable(file));
    }
    let in_path = !program.as_bytes().contains(&b'/');
    Err(ProgramFault::Missing {
        program: program.to_string_lossy().into_owned(),
        path: in_path.then(|| path.to_string_lossy().into_owned()),
    })
}

fn interpreter_is_there(file: &Path, path: &OsStr, cwd: &Path) -> Result<(), ProgramFault> {
    let Some(line) = first_line(file) else { return Ok(()) };
    missing_interpreter(&line, path, cwd).map_or(Ok(()), |interpreter| {
        Err(ProgramFault::NoInterpreter { program: file.to_owned(), interpreter })
    })
}

/// The first line of a program, where that can be read and begins with `#!`.
fn first_line(file: &Path) -> Option<Vec<u8>> {
    let opened =
        File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(file).ok()?;
    let mut begin = Vec::new();
    opened.take(FIRST_LINE).read_to_end(&mut begin).ok()?;
    begin.starts_with(b"#!").then(|| begin.split(|byte| *byte == b'\n').next().unwrap_or_default().to_vec())
}

/// The interpreter and its argument that a first line names.
fn named(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let named = line.strip_prefix(b"#!")?.trim_ascii_start();
    let end = named.iter().position(blank).unwrap_or(named.len());
    let (interpreter, rest) = named.split_at(end);
    (!interpreter.is_empty()).then(|| (interpreter, rest.trim_ascii_start()))
}

/// The interpreter that the first line of a script names, for `#!/usr/bin/env NAME` that name.
pub fn interpreter_of(script: &str) -> Option<OsString> {
    let (interpreter, argument) = named(script.lines().next()?.as_bytes())?;
    Some(env_target(interpreter, argument).unwrap_or_else(|| OsStr::from_bytes(interpreter).to_owned()))
}

/// The program that env(1) is asked to look for.
fn env_target(interpreter: &[u8], argument: &[u8]) -> Option<OsString> {
    let is_env = interpreter.rsplit(|byte| *byte == b'/').next() == Some(b"env");
    let words = argument.split(u8::is_ascii_whitespace);
    let mut words = words.filter(|word| !word.is_empty() && *word != b"-S" && !word.contains(&b'='));
    words
        .next()
        .filter(|word| is_env && !word.starts_with(b"-"))
        .map(|word| OsStr::from_bytes(word).to_owned())
}

/// The interpreter that a first line names and that is not there.
fn missing_interpreter(line: &[u8], path: &OsStr, cwd: &Path) -> Option<String> {
    let (interpreter, argument) = named(line)?;
    let file = cwd.join(OsStr::from_bytes(interpreter));
    let is_gone = |file: &Path| {
        let gone =
            |error: &std::io::Error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
        fs::metadata(file).is_err_and(|error| gone(&error))
    };
    if is_gone(&file) {
        return Some(String::from_utf8_lossy(interpreter).into_owned());
    }
    let target = env_target(interpreter, argument)?;
    let gone = candidates(&target, path).iter().all(|candidate| is_gone(&cwd.join(candidate)));
    gone.then(|| target.to_string_lossy().into_owned())
}

/// What is wrong with the interpreter of an inline script, if it is not there.
pub fn script_fault(script: &str, path: &OsStr, cwd: &Path) -> Option<String> {
    missing_interpreter(script.lines().next()?.as_bytes(), path, cwd)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str, mode| {
            let file = place.path().join(name);
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        };
        write("good", "#!/bin/sh\n", 0o755);
        write("plain", "#!/bin/sh\n", 0o644);
        write("lost", "#! /no/such/shell -e\n", 0o755);
        write("dos", "#!/bin/sh\r\n", 0o755);
        write("env", "#!/usr/bin/env -S A=b no-such-python -u\n", 0o755);
        write("binary", "\x7fELF", 0o755);
        fs::create_dir(place.path().join("directory")).unwrap();
        place
    }

    #[test]
    fn what_execve_would_refuse_is_found_before() {
        let place = place();
        let cwd = place.path();
        let look = |program: &str, path: &str| {
            look_up(OsStr::new(program), OsStr::new(path), cwd)
                .err()
                .map(|fault| fault.to_string().replace(&cwd.display().to_string(), "CWD"))
        };
        let gone = |line: &str| Some(line.to_owned());
        for (program, path, fault) in [
            ("sh", "/no/such:/bin", None),
            ("good", "", None),
            ("./good", "/bin", None),
            ("./binary", "/bin", None),
            ("no-such-program", "/bin", gone("there is no program `no-such-program` in PATH, /bin")),
            ("./none", "/bin", gone("there is no program `./none`")),
            ("./good/below", "/bin", gone("there is no program `./good/below`")),
            ("plain", "/no/such:.", gone("CWD/./plain is not an executable file")),
            ("./directory", "/bin", gone("CWD/./directory is not an executable file")),
            (
                "./lost",
                "/bin",
                gone("the interpreter `/no/such/shell` that the first line of CWD/./lost names is not there"),
            ),
            (
                "./dos",
                "/bin",
                gone("the interpreter `/bin/sh\\r` that the first line of CWD/./dos names is not there"),
            ),
            (
                "./env",
                "/bin",
                gone("the interpreter `no-such-python` that the first line of CWD/./env names is not there"),
            ),
        ] {
            assert_eq!(look(program, path), fault, "{program}");
        }
    }

    #[test]
    fn a_script_names_its_interpreter() {
        for (script, interpreter) in [
            ("#!/bin/sh -e\ntrue", Some("/bin/sh")),
            ("#! /usr/bin/env bash\n", Some("bash")),
            ("#!/usr/bin/env -i\n", Some("/usr/bin/env")),
            ("true", None),
            ("", None),
        ] {
            assert_eq!(interpreter_of(script).as_deref(), interpreter.map(OsStr::new), "{script}");
        }
        let path = OsStr::new("/bin");
        assert_eq!(script_fault("#!/bin/sh\n", path, Path::new("/")), None);
        assert_eq!(script_fault("#!/no/such -x\n", path, Path::new("/")).as_deref(), Some("/no/such"));
    }
}
