//! The daemon's side.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::{
    Reply, Request,
    message::{Answer, VERSION, line, parse_question},
};

/// Longest request, bytes.
const REQUEST_LIMIT: u64 = 4096;
/// How long a client may take in all.
const PATIENCE: Duration = Duration::from_secs(5);
/// Clients served at once; more wait.
const CLIENTS: usize = 16;
/// Wait after a failed accept, so that running out of descriptors does not become a busy loop.
const BREATH: Duration = Duration::from_millis(100);

/// Answers requests, for ever.
pub(super) async fn serve<F, A>(listener: &UnixListener, handler: F)
where
    F: Fn(Request) -> A + Clone + Send + 'static,
    A: Future<Output = Reply> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(CLIENTS));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let handler = handler.clone();
                tokio::spawn(async move {
                    // A client that is too slow or goes away is its own business.
                    let _ = timeout(PATIENCE, answer(stream, handler)).await;
                    drop(place);
                });
            }
            Err(_) => sleep(BREATH).await,
        }
    }
}

/// Reads one request, answers it, and hangs up.
async fn answer<F, A>(stream: UnixStream, handler: F) -> std::io::Result<()>
where
    F: Fn(Request) -> A,
    A: Future<Output = Reply>,
{
    let (reader, mut writer) = stream.into_split();
    let mut request = Vec::new();
    BufReader::new(reader.take(REQUEST_LIMIT)).read_until(b'\n', &mut request).await?;
    if request.is_empty() {
        // Someone only looked whether anybody is there.
        return Ok(());
    }
    let reply = if request.last() == Some(&b'\n') {
        match parse_question(&request) {
            Ok(request) => handler(request).await,
            Err(why) => Reply::Error(why),
        }
    } else {
        Reply::Error(format!("a request is one line of at most {REQUEST_LIMIT} bytes"))
    };
    writer.write_all(&line(&Answer { version: VERSION, reply })).await?;
    writer.shutdown().await
}
