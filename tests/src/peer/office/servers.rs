//! The servers' side.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::Arc,
    thread,
    time::Duration,
};

use super::{Kind, Ledger, PACE, SAID};
use crate::peer::{CLIENT_HELLO, SERVER_HELLO};

/// How long a connection may be silent: its client has left it.
const SILENCE: Duration = Duration::from_secs(2);

/// Answers datagrams.
pub(super) fn datagrams(socket: &UdpSocket, kind: Kind, ledger: &Ledger) {
    let _ = socket.set_read_timeout(Some(PACE));
    let mut said = [0; SAID];
    while !ledger.is_over() {
        let Ok((SAID, SocketAddr::V4(from))) = socket.recv_from(&mut said) else { continue };
        ledger.note_seen(&said, kind, *from.ip());
        let _ = socket.send_to(&from.ip().octets(), from);
    }
}

/// Answers connections, each on a thread of its own.
pub(super) fn web(listener: &TcpListener, ledger: &Arc<Ledger>) {
    let _ = listener.set_nonblocking(true);
    let mut connections = Vec::new();
    while !ledger.is_over() {
        let Ok((stream, SocketAddr::V4(from))) = listener.accept() else {
            thread::sleep(PACE / 10);
            continue;
        };
        let ledger = Arc::clone(ledger);
        connections.push(thread::spawn(move || {
            // However it ends: the client notices.
            let _ = connection(stream, *from.ip(), &ledger);
        }));
    }
    for connection in connections {
        let _ = connection.join();
    }
}

/// Answers what comes by a connection. One that says no hello, such as a probe of the gateway, is no client.
fn connection(mut stream: TcpStream, from: Ipv4Addr, ledger: &Ledger) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.read_exact(&mut [0; CLIENT_HELLO.len()])?;
    stream.write_all(&SERVER_HELLO)?;
    let mut said = [0; SAID];
    while !ledger.is_over() {
        stream.read_exact(&mut said)?;
        ledger.note_seen(&said, Kind::Web, from);
        stream.write_all(&from.octets())?;
    }
    Ok(())
}
