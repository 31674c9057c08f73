//! Reads the files of a directory: trusted, bounded in size, as text. A file that cannot be read affects only itself.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::report::{FileReport, LoadState};
use crate::config::files::{self, Listing};
use crate::config::problem::{Problem, SourceText};
use crate::config::stall::{Progress, UNANSWERED};
use crate::config::trust::{OpenError, TrustedOpen};

/// The longest configuration file, in bytes.
const LARGEST: u64 = 1024 * 1024;

/// How often a directory that changes while it is read is read again before it is taken as it is.
const MOST_READINGS: usize = 5;

/// Why a file has no text.
#[derive(Debug)]
pub(super) enum Unread {
    /// It does not exist.
    Missing,
    /// It is a symbolic link to a file that does not exist.
    Dangling,
    /// An account other than root could change it: the reason, and what to do.
    Distrusted(String, String),
    /// It is too large, not a regular file, or the system reported an error.
    Failed(String),
    /// It is not UTF-8 from some byte on; the text before that byte.
    NotText(String),
}

impl Unread {
    pub(super) fn report(&self, path: &Arc<Path>) -> FileReport {
        let (state, problem) = match self {
            Self::Missing | Self::Dangling => {
                let help =
                    "a symbolic link may point to nothing; what was loaded from it before stays in effect";
                (LoadState::Broken, Problem::of_file(path, "cannot be read: there is no such file", help))
            }
            Self::Distrusted(why, help) => {
                (LoadState::Refused, Problem::of_file(path, format!("refused: {why}"), help))
            }
            Self::Failed(why) => {
                let help = "what was loaded from it before stays in effect";
                (LoadState::Refused, Problem::of_file(path, format!("cannot be read: {why}"), help))
            }
            Self::NotText(before) => {
                let source = SourceText::new(Arc::clone(path), before);
                let problem = source.problem(before.len()..before.len(), "not UTF-8 from here on");
                (LoadState::Broken, problem.with_help("a configuration file is text in UTF-8"))
            }
        };
        FileReport::new(path, state, vec![problem])
    }
}

/// Reads one file.
pub(super) fn text(open: &mut TrustedOpen, path: &Path, progress: &Progress) -> Result<String, Unread> {
    if !progress.may_touch(path) {
        return Err(Unread::Failed(UNANSWERED.to_owned()));
    }
    let failed = |error: &io::Error| {
        if error.kind() != io::ErrorKind::NotFound {
            Unread::Failed(error.to_string())
        } else if path.symlink_metadata().is_ok() {
            Unread::Dangling
        } else {
            Unread::Missing
        }
    };
    let (file, found) = match open.file(path) {
        Ok(opened) => opened,
        Err(OpenError::Io(error)) => return Err(failed(&error)),
        Err(OpenError::Refused(why)) => return Err(Unread::Distrusted(why.to_string(), why.help)),
    };
    if !found.is_file() {
        return Err(Unread::Failed("it is not a regular file".to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() as u64 > LARGEST {
        let size = found.len().max(LARGEST + 1);
        return Err(Unread::Failed(format!(
            "it has {size} bytes, and a configuration file has at most {LARGEST}"
        )));
    }
    // An editor's line endings are not part of an action or a script.
    let line_ends = |text: String| if text.contains('\r') { text.replace("\r\n", "\n") } else { text };
    String::from_utf8(bytes).map(line_ends).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let mut bytes = error.into_bytes();
        bytes.truncate(good);
        Unread::NotText(String::from_utf8(bytes).unwrap_or_default())
    })
}

/// Texts of files by path.
pub(super) type Texts = BTreeMap<Arc<Path>, Result<String, Unread>>;

/// Reads every watch file below a directory. A directory that changes meanwhile is read again, so that a file
/// that is being renamed is not mistaken for a removed one. One that others could change is refused before it is read,
/// once instead of each of its files.
pub(super) fn all(root: &Path, open: &mut TrustedOpen, progress: &Progress) -> (Listing, Texts) {
    let mut listing = files::list(root, progress, &mut |directory| open.enter(directory));
    let mut texts = Texts::new();
    for _ in 0..MOST_READINGS {
        texts = listing
            .files
            .iter()
            .map(|path| (Arc::from(path.as_path()), text(open, path, progress)))
            .collect();
        let after = files::list(root, progress, &mut |directory| open.enter(directory));
        if after == listing {
            break;
        }
        listing = after;
    }
    // A path in only one of the last two listings has just appeared or disappeared.
    texts.retain(|path, _| listing.files.contains(&**path));
    (listing, texts)
}
