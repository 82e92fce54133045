use std::{
    fs,
    future::ready,
    io::{Read, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

fn serve(socket: &Path) -> tokio::task::JoinHandle<()> {
    let endpoint = Endpoint::claim(socket).unwrap();
    tokio::spawn(async move {
        endpoint
            .serve(|request| {
                ready(match request {
                    Request::Hosts => Reply::Hosts(Vec::new()),
                    Request::Status | Request::Policy | Request::Uplinks => Reply::Error("not now".to_owned()),
                })
            })
            .await;
    })
}

async fn ask_from_a_thread(socket: &Path, request: Request, patience: Duration) -> Result<Reply, AskError> {
    let socket = socket.to_owned();
    tokio::task::spawn_blocking(move || ask(&socket, request, patience)).await.unwrap()
}

/// What the daemon says to these bytes.
async fn say(socket: &Path, bytes: Vec<u8>) -> String {
    let socket = socket.to_owned();
    let exchange = move || {
        let mut stream = UnixStream::connect(socket).unwrap();
        // The daemon may hang up before it has read all.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut reply = String::new();
        let _ = stream.read_to_string(&mut reply);
        reply
    };
    tokio::task::spawn_blocking(exchange).await.unwrap()
}

#[tokio::test]
async fn a_request_gets_its_reply() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("run/default.sock");
    let task = serve(&socket);
    let reply = ask_from_a_thread(&socket, Request::Hosts, PATIENCE).await.unwrap();
    assert_eq!(reply, Reply::Hosts(Vec::new()));
    let refused = ask_from_a_thread(&socket, Request::Status, PATIENCE).await.unwrap_err();
    assert_eq!(refused.to_string(), "the daemon does not answer: not now");
    let mode = fs::metadata(&socket).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o660, "its group may ask, others may not");
    task.abort();
}

#[tokio::test]
async fn what_is_no_request_gets_an_error_and_harms_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("default.sock");
    let task = serve(&socket);
    for (bytes, told) in [
        (b"\n".to_vec(), "no request"),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "no request"),
        (b"{\"version\":2,\"request\":\"status\"}\n".to_vec(), "version 2"),
        (b"{\"version\":1,\"request\":\"reboot\"}\n".to_vec(), "not known"),
        (b"{\"version\":1,\"request\":\"hosts\"}".to_vec(), "one line"),
        (vec![b'['; 4096], "one line"),
    ] {
        let reply = say(&socket, bytes).await;
        assert!(reply.contains("\"error\"") && reply.contains(told), "{told}: {reply}");
    }
    assert_eq!(say(&socket, Vec::new()).await, "");
    say(&socket, vec![b'x'; 1_000_000]).await;
    assert!(ask_from_a_thread(&socket, Request::Hosts, PATIENCE).await.is_ok());
    task.abort();
}

#[tokio::test]
async fn silent_clients_do_not_shut_out_others_for_long() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("default.sock");
    let task = serve(&socket);
    let silent: Vec<UnixStream> = (0..20).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    // Sixteen are served at once, and hung up on after five seconds of silence.
    let reply = ask_from_a_thread(&socket, Request::Hosts, Duration::from_secs(40)).await;
    assert!(reply.is_ok(), "{reply:?}");
    drop(silent);
    task.abort();
}

#[tokio::test]
async fn an_instance_is_served_once_and_a_dead_daemons_socket_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("default.sock");
    // A daemon that was killed leaves its socket.
    drop(UnixListener::bind(&socket).unwrap());
    assert!(matches!(ask(&socket, Request::Status, PATIENCE), Err(AskError::NoDaemon)));

    let first = Endpoint::claim(&socket).unwrap();
    let second = Endpoint::claim(&socket).unwrap_err();
    assert_eq!(second.to_string(), format!("it is already served by process {}", std::process::id()));
    assert!(socket.exists(), "the living daemon's socket stays");
    drop(first);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left behind");
    Endpoint::claim(&socket).unwrap();
}

#[test]
fn a_claim_alone_keeps_daemons_out_and_clears_up_behind_a_dead_one() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("default.sock");
    drop(UnixListener::bind(&socket).unwrap());
    fs::write(socket.with_extension("lock"), "4194304\n").unwrap();
    let claim = Claim::take(&socket).unwrap();
    assert!(matches!(Claim::take(&socket), Err(ClaimError::Served(Some(pid))) if pid == std::process::id()));
    assert!(matches!(ask(&socket, Request::Status, PATIENCE), Err(AskError::NoDaemon)));
    drop(claim);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn what_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("run"), "").unwrap();
    let error = Endpoint::claim(&directory.path().join("run/default.sock")).unwrap_err();
    assert!(error.to_string().contains("/run cannot be made"), "{error}");
}

#[test]
fn no_daemon_and_a_broken_one_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("default.sock");
    assert!(matches!(ask(&socket, Request::Status, PATIENCE), Err(AskError::NoDaemon)));

    let listener = UnixListener::bind(&socket).unwrap();
    let start = Instant::now();
    let silent = ask(&socket, Request::Status, Duration::from_millis(200)).unwrap_err();
    assert!(silent.to_string().contains("no reply within"), "{silent}");
    assert!(start.elapsed() < PATIENCE);

    let liar = thread::spawn(move || {
        for reply in ["", "nonsense\n", "{\"version\":1}\n"] {
            // The first connection is the one that was given up on.
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(reply.as_bytes());
        }
    });
    for _ in 0..2 {
        let error = ask(&socket, Request::Status, PATIENCE).unwrap_err();
        assert!(error.to_string().contains("its reply makes no sense"), "{error}");
    }
    liar.join().unwrap();
}
