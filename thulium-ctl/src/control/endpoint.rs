//! The claim on an instance, and its socket.

use std::{
    fmt,
    fs::{self, File, OpenOptions, Permissions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use tokio::net::UnixListener;

use super::{Reply, Request, server};

/// Why an instance could not be claimed.
#[derive(Debug)]
pub enum ClaimError {
    /// Another daemon serves it; its process, if it is known.
    Served(Option<u32>),
    /// The socket or its lock cannot be made.
    Io(PathBuf, io::Error),
}

impl fmt::Display for ClaimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Served(Some(pid)) => write!(f, "it is already served by process {pid}"),
            Self::Served(None) => write!(f, "it is already served by another process"),
            Self::Io(path, error) => write!(f, "{} cannot be made: {error}", path.display()),
        }
    }
}

impl std::error::Error for ClaimError {}

/// The claim on an instance: a lock that the kernel releases when its process ends, however it ends, and the socket beside
/// it. Both files are removed when this is dropped.
#[derive(Debug)]
pub struct Endpoint {
    listener: UnixListener,
    socket: PathBuf,
    lock: PathBuf,
    /// Held as long as this lives.
    _held: File,
}

impl Endpoint {
    /// Claims the instance whose socket is `socket` and listens there; the socket of a dead daemon is replaced. Connections
    /// wait until [`Endpoint::serve`]. Needs a tokio runtime.
    ///
    /// # Errors
    /// If a living daemon serves the instance, or the files cannot be made.
    pub fn claim(socket: &Path) -> Result<Self, ClaimError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| ClaimError::Io(path, error)
        };
        if let Some(directory) = socket.parent() {
            fs::create_dir_all(directory).map_err(failed(directory))?;
        }
        let lock = socket.with_extension("lock");
        let held = acquire(&lock)?;
        // With the lock held, whoever made the socket that is there is dead.
        match fs::remove_file(socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(socket)(error)),
            _ => {}
        }
        let listener = UnixListener::bind(socket).map_err(failed(socket))?;
        fs::set_permissions(socket, Permissions::from_mode(0o660)).map_err(failed(socket))?;
        Ok(Self { listener, socket: socket.to_owned(), lock, _held: held })
    }

    /// Answers requests, for ever. `handler` is asked for each.
    pub async fn serve<F, A>(&self, handler: F)
    where
        F: Fn(Request) -> A + Clone + Send + 'static,
        A: Future<Output = Reply> + Send + 'static,
    {
        server::serve(&self.listener, handler).await;
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // The lock is still held: nobody else's files are removed.
        let _ = fs::remove_file(&self.socket);
        let _ = fs::remove_file(&self.lock);
    }
}

/// The process that serves the instance whose socket is `socket`; `None` if nobody does.
pub fn serving_process(socket: &Path) -> Option<u32> {
    let mut file = File::open(socket.with_extension("lock")).ok()?;
    // Whoever holds the lock lives; a file without a lock is a dead daemon's.
    let Err(TryLockError::WouldBlock) = file.try_lock_shared() else { return None };
    let mut pid = String::new();
    file.read_to_string(&mut pid).ok()?;
    pid.trim().parse().ok()
}

/// Takes the lock and writes our process into it.
fn acquire(path: &Path) -> Result<File, ClaimError> {
    let failed = |error| ClaimError::Io(path.to_owned(), error);
    loop {
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).write(true).create(true).truncate(false).mode(0o644).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                return Err(ClaimError::Served(pid.trim().parse().ok()));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // Between opening and locking, an ending daemon can have removed the file: then this lock guards nothing.
        if is_still_there(&file, path) {
            file.set_len(0).map_err(failed)?;
            writeln!(file, "{}", std::process::id()).map_err(failed)?;
            return Ok(file);
        }
    }
}

fn is_still_there(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}
