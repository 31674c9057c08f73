//! The daemon's end of the control socket.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use super::connection_limit::ConnectionLimit;
use super::{Answer, LONGEST_REQUEST, PATIENCE, Request};

/// Clients that are served at once; more wait.
const CLIENTS: usize = 32;

/// How long one may take to say what it wants: the command says it at once.
const ASKING: Duration = Duration::from_secs(5);

/// A request on its way to the daemon, and where its answer goes.
#[derive(Debug)]
pub struct Asked {
    /// What is asked.
    pub request: Request,
    /// Dropping it unanswered tells the client that the daemon is stopping.
    pub answer: oneshot::Sender<Reply>,
}

/// What a client gets.
#[derive(Debug)]
pub enum Reply {
    /// All of it.
    Whole(Answer),
    /// The text of an [`Answer`], piece by piece, as it comes to be.
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
    /// Somebody answers on it.
    #[error(
        "another twitcher daemon answers on {0}; stop it first, or give this one a control_socket of its own in twitcher.conf"
    )]
    InUse(PathBuf),
    /// Something else is there, which somebody may still want.
    #[error(
        "cannot make the control socket {0}: something is there that is no socket; set control_socket in twitcher.conf to another place"
    )]
    Occupied(PathBuf),
    /// It cannot be made.
    #[error(
        "cannot make the control socket {path}: {error}; set control_socket in twitcher.conf to a place where the daemon may"
    )]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

/// The open socket. Dropping it removes it.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    /// Which file that is, unless it is another daemon's by now.
    made: Option<(u64, u64)>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Opens the socket, in the place of one that a killed daemon left, and sends what is asked to `asked`.
    pub async fn open(path: &Path, asked: mpsc::Sender<Asked>) -> Result<Self, ServerError> {
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
            // Bound below, or not, with the same reason.
            Err(_) => {}
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        let made = identity(path);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let limit = ConnectionLimit { place: "the control socket", most: CLIENTS, visit: PATIENCE };
        let task = tokio::spawn(limit.serve(
            move |context| listener.poll_accept(context).map_ok(|(stream, _)| stream),
            move |stream| {
                let asked = asked.clone();
                // A client that goes away is none of ours.
                async move { drop(serve(stream, asked).await) }
            },
        ));
        Ok(Self { path: path.to_owned(), made, task })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        if self.made.is_some() && identity(&self.path) == self.made {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

async fn serve(stream: UnixStream, asked: mpsc::Sender<Asked>) -> io::Result<()> {
    let own = nix::unistd::geteuid().as_raw();
    let peer = stream.peer_cred()?.uid();
    let mut stream = BufReader::new(stream);
    // Read even where it is not answered: what is left unread would reset the connection under the answer.
    let request = match tokio::time::timeout(ASKING, read(&mut stream)).await {
        Ok(request) => request?,
        Err(_) => Err(format!("the request did not come within {} s", ASKING.as_secs())),
    };
    let reply = if peer == 0 || peer == own {
        match request {
            Ok(request) => pass_on(request, &asked).await,
            Err(why) => Answer::Error(why).into(),
        }
    } else {
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
