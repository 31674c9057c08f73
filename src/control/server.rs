//! The server end of the control socket.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, mpsc, oneshot};

use super::connection_limit::ConnectionLimit;
use super::{Answer, LONGEST_REQUEST, PATIENCE, Request};
use crate::config::Trust;

/// Clients served at once; further clients wait.
const CLIENTS: usize = 32;

/// How long a client may take to send its request.
const ASKING: Duration = Duration::from_secs(5);

/// A request on its way to the daemon, with the channel for its answer.
#[derive(Debug)]
pub struct Asked {
    /// The request.
    pub request: Request,
    /// Dropping it without an answer tells the client that the daemon is stopping.
    pub answer: oneshot::Sender<Reply>,
}

/// What is sent to a client.
#[derive(Debug)]
pub enum Reply {
    /// A complete answer.
    Whole(Answer),
    /// The text of an [`Answer`], streamed in pieces.
    Pieces(mpsc::Receiver<Vec<u8>>),
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Self::Whole(answer)
    }
}

/// Why the socket cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Another daemon answers on it.
    #[error(
        "another twitcher daemon answers on {0}; stop it first, or give this one a control_socket of its own in twitcher.conf"
    )]
    InUse(PathBuf),
    /// A file of another type is at the path; it may still be needed.
    #[error(
        "cannot make the control socket {0}: a file is there that is not a socket; set control_socket in twitcher.conf to another place"
    )]
    Occupied(PathBuf),
    /// Another account could replace the socket.
    #[error(
        "refused to make the control socket {path}: {why}; set control_socket in twitcher.conf to a place that only root and the daemon's user can change"
    )]
    Exposed {
        /// The socket.
        path: PathBuf,
        /// Which account.
        why: String,
    },
    /// The socket cannot be created.
    #[error(
        "cannot make the control socket {path}: {error}; set control_socket in twitcher.conf to a place that the daemon can write"
    )]
    Socket {
        /// The socket.
        path: PathBuf,
        /// The system error.
        error: io::Error,
    },
}

/// How often the server checks that its socket still exists.
const LOOK: Duration = Duration::from_secs(2);

/// The open socket. It is created again if it is removed. Dropping the server removes it.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Device and inode of the socket; a different file at the path is not ours.
    made: Mutex<Option<(u64, u64)>>,
    /// Why the socket cannot be created again.
    complaint: Mutex<Option<String>>,
    look: Notify,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    /// Opens the socket, replacing one that a killed daemon left behind, and sends requests to `asked`.
    pub async fn open(path: &Path, asked: mpsc::Sender<Asked>) -> Result<Self, ServerError> {
        let (listener, made) = bind(path).await?;
        let shared = Arc::new(Shared { made: Mutex::new(Some(made)), ..Shared::default() });
        let task = tokio::spawn(keep(path.to_owned(), listener, asked, Arc::clone(&shared)));
        Ok(Self { path: path.to_owned(), shared, task })
    }

    /// Checks now that the socket still exists, and creates it again if not.
    pub fn look(&self) {
        self.shared.look.notify_one();
    }

    /// Why the removed socket cannot be created again.
    pub fn complaint(&self) -> Option<String> {
        locked(&self.shared.complaint).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        let made = *locked(&self.shared.made);
        if made.is_some() && identity(&self.path) == made {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Creates the socket. Refused if another account could replace it.
async fn bind(path: &Path) -> Result<(UnixListener, (u64, u64)), ServerError> {
    let failed = |error| ServerError::Socket { path: path.to_owned(), error };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    if UnixStream::connect(path).await.is_ok() {
        return Err(ServerError::InUse(path.to_owned()));
    }
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(ServerError::Occupied(path.to_owned()));
        }
        Ok(_) => std::fs::remove_file(path).map_err(failed)?,
        // bind(2) reports what is wrong.
        Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    let made = identity(path).ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    // Check before the mode is changed: if others can write the directory, the path may lead to another file.
    if let Some(why) = Trust::own().objection(path).map_err(failed)? {
        if identity(path) == Some(made) {
            let _ = std::fs::remove_file(path);
        }
        return Err(ServerError::Exposed { path: path.to_owned(), why });
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok((listener, made))
}

/// Serves clients, and creates the socket again whenever it is removed.
async fn keep(path: PathBuf, mut listener: UnixListener, asked: mpsc::Sender<Asked>, shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = listen(listener, asked.clone()) => return,
            () = until_gone(&path, &shared) => {}
        }
        listener = again(&path, &shared).await;
    }
}

async fn listen(listener: UnixListener, asked: mpsc::Sender<Asked>) {
    let limit = ConnectionLimit { place: "the control socket", most: CLIENTS, visit: PATIENCE };
    limit
        .serve(
            move |context| listener.poll_accept(context).map_ok(|(stream, _)| stream),
            move |stream| {
                let asked = asked.clone();
                // A client that disconnects is no error.
                async move { drop(serve(stream, asked).await) }
            },
        )
        .await;
}

/// Returns once the socket has been removed or replaced.
async fn until_gone(path: &Path, shared: &Shared) {
    let made = *locked(&shared.made);
    while identity(path) == made {
        let _ = tokio::time::timeout(LOOK, shared.look.notified()).await;
    }
}

/// Creates the socket again as soon as possible.
async fn again(path: &Path, shared: &Shared) -> UnixListener {
    loop {
        match bind(path).await {
            Ok((listener, made)) => {
                *locked(&shared.made) = Some(made);
                *locked(&shared.complaint) = None;
                tracing::warn!("the control socket {} was removed; creating it again", path.display());
                return listener;
            }
            Err(error) => {
                let complaint = format!("the control socket was removed: {error}");
                if locked(&shared.complaint).replace(complaint.clone()).as_ref() != Some(&complaint) {
                    tracing::error!("{complaint}");
                }
            }
        }
        let _ = tokio::time::timeout(LOOK, shared.look.notified()).await;
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

async fn serve(stream: UnixStream, asked: mpsc::Sender<Asked>) -> io::Result<()> {
    let own = nix::unistd::geteuid().as_raw();
    let peer = stream.peer_cred()?.uid();
    let mut stream = BufReader::new(stream);
    let reply = if peer == 0 || peer == own {
        match tokio::time::timeout(ASKING, read(&mut stream)).await.map_err(|_| ASKING.as_secs()) {
            Ok(Ok(Ok(request))) => pass_on(request, &asked).await,
            Ok(Ok(Err(why))) => Answer::Error(why).into(),
            Ok(Err(error)) => return Err(error),
            Err(seconds) => Answer::Error(format!("the request did not come within {seconds} s")).into(),
        }
    } else {
        // Refuse before reading anything.
        Answer::Error(format!("the control socket answers only root and user {own}, not user {peer}")).into()
    };
    let stream = stream.get_mut();
    match reply {
        // Only strings, numbers and lists: serialising an answer cannot fail.
        Reply::Whole(answer) => stream.write_all(&serde_json::to_vec(&answer).unwrap_or_default()).await?,
        Reply::Pieces(mut pieces) => {
            while let Some(piece) = pieces.recv().await {
                stream.write_all(&piece).await?;
            }
        }
    }
    stream.write_all(b"\n").await?;
    stream.shutdown().await
}

async fn read(stream: &mut BufReader<UnixStream>) -> io::Result<Result<Request, String>> {
    let mut line = Vec::new();
    stream.take(LONGEST_REQUEST).read_until(b'\n', &mut line).await?;
    if line.last() != Some(&b'\n') {
        return Ok(Err(format!(
            "the request is cut off after {} bytes; one is a line of JSON of at most {LONGEST_REQUEST} bytes",
            line.len()
        )));
    }
    Ok(serde_json::from_slice(&line).map_err(|error| {
        format!(
            "the request is not understood: {error}; this daemon is version {}",
            env!("CARGO_PKG_VERSION")
        )
    }))
}

async fn pass_on(request: Request, asked: &mpsc::Sender<Asked>) -> Reply {
    let (answer, answered) = oneshot::channel();
    let stopping = || Reply::Whole(Answer::Error("the daemon is stopping".to_owned()));
    if asked.send(Asked { request, answer }).await.is_err() {
        return stopping();
    }
    answered.await.unwrap_or_else(|_| stopping())
}
