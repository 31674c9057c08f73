//! `twitcher convert`: turns a Python configuration of the first Twitcher into a TOML watch file.
//!
//! The file is parsed and *followed*, never run: constants, string concatenation, lists, loops over them and
//! functions of the file. Whatever depends on the machine, on code or on the time becomes a commented block with the
//! reason and the original lines, so that nothing gets lost. `docs/from-twitcher.md` explains every argument, old and
//! new.

mod assign;
mod call;
mod command;
mod expression;
mod lines;
mod names;
mod operate;
mod register;
mod render;
mod script;
mod skip;
#[cfg(test)]
mod tests;
mod text;
mod value;

use std::path::{Path, PathBuf};

use ruff_python_parser::{Mode, ParseOptions, parse_unchecked};

/// Largest file that is read, in bytes; also bounds how deep it can nest.
const LARGEST_FILE: usize = 256 << 10;
/// Stack for following a file, in bytes; enough for a file of the largest size that only nests.
const STACK: usize = 512 << 20;

/// The result of a conversion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// The text of a watch file.
    pub toml: String,
    /// Number of watches in it.
    pub translated: usize,
    /// Number of blocks that need manual work.
    pub left: usize,
}

/// Why a file was not converted at all.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The file could not be read.
    #[error("cannot read {path} to convert it: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system error.
        error: std::io::Error,
    },
    /// The file is not UTF-8.
    #[error("cannot convert {path}: byte {at} is not UTF-8; save the file as UTF-8 first (iconv -t UTF-8)")]
    Encoding {
        /// The file.
        path: PathBuf,
        /// Offset of the first bad byte, from 0.
        at: usize,
    },
    /// The file is larger than any real configuration.
    #[error("cannot convert {path}: it is larger than {} KiB; split it", LARGEST_FILE >> 10)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// No thread could be started.
    #[error("cannot convert {path}: {error}")]
    Thread {
        /// The file.
        path: PathBuf,
        /// The system error.
        error: std::io::Error,
    },
}

/// Reads and converts a file.
pub fn run(path: &Path) -> Result<Converted, ConvertError> {
    use std::io::Read as _;

    let read = |error| ConvertError::Read { path: path.to_owned(), error };
    let mut bytes = Vec::new();
    let limit = u64::try_from(LARGEST_FILE).unwrap_or(u64::MAX) + 1;
    std::fs::File::open(path).map_err(read)?.take(limit).read_to_end(&mut bytes).map_err(read)?;
    if bytes.len() > LARGEST_FILE {
        return Err(ConvertError::TooLarge { path: path.to_owned() });
    }
    let source = String::from_utf8(bytes).map_err(|error| ConvertError::Encoding {
        path: path.to_owned(),
        at: error.utf8_error().valid_up_to(),
    })?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    convert(&name, &source).map_err(|error| ConvertError::Thread { path: path.to_owned(), error })
}

/// Converts the text of a file; comments call the file `name`.
///
/// The work runs on a thread with a large stack; starting it is all that can fail. Dropping the syntax tree of a deeply
/// nested file recurses as deep as the file nests.
pub fn convert(name: &str, source: &str) -> std::io::Result<Converted> {
    std::thread::scope(|scope| {
        let worker = std::thread::Builder::new()
            .name("convert".into())
            .stack_size(STACK)
            .spawn_scoped(scope, || followed(name, source))?;
        worker.join().map_err(|_| std::io::Error::other("the Python parser failed on this file"))
    })
}

fn followed(name: &str, source: &str) -> Converted {
    let parsed = parse_unchecked(source, ParseOptions::from(Mode::Module));
    let errors = parsed.errors().iter().map(|error| (error.location, error.error.to_string())).collect();
    let mut script = script::Script::new(source, errors);
    if let Some(module) = parsed.try_into_module() {
        let suite = module.into_suite();
        let mut script = script;
        script.follow(&suite);
        render::file(name, &script.lines, &script.items)
    } else {
        script.follow(&[]);
        render::file(name, &script.lines, &script.items)
    }
}
