//! The clients' side.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{Kind, Ledger, PACE, SAID};
use crate::{
    lab::{client, connect_from},
    peer::{CLIENT_HELLO, SERVER_HELLO},
};

/// How long a browser waits for the server before it connects anew.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Says something, and notes what was answered until it is time to say something again.
pub(super) fn phone(host: u8, kind: Kind, socket: &UdpSocket, ledger: &Ledger) {
    while !ledger.is_over() {
        let next = Instant::now() + PACE;
        // An uplink that is lost may tell so, by an ICMP error: a phone tries again.
        let _ = socket.send(&[host; SAID]);
        while let Some(left) = next.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            let mut answer = [0; SAID];
            let _ = socket.set_read_timeout(Some(left));
            if let Ok(SAID) = socket.recv(&mut answer) {
                ledger.note_answer(host, kind, answer);
            }
        }
    }
}

/// The same by a connection; a new one whenever it breaks.
pub(super) fn browser(host: u8, server: SocketAddr, ledger: &Ledger) {
    while !ledger.is_over() {
        if connect(host, server).and_then(|stream| browse(host, stream, ledger)).is_err() {
            thread::sleep(PACE / 2);
        }
    }
}

fn connect(host: u8, server: SocketAddr) -> Result<TcpStream> {
    let mut stream = connect_from(client(host), server, HEARTBEAT / 2)?;
    stream.set_read_timeout(Some(HEARTBEAT))?;
    stream.set_nodelay(true)?;
    stream.write_all(&CLIENT_HELLO)?;
    stream.read_exact(&mut [0; SERVER_HELLO.len()])?;
    Ok(stream)
}

fn browse(host: u8, mut stream: TcpStream, ledger: &Ledger) -> Result<()> {
    let mut answer = [0; SAID];
    while !ledger.is_over() {
        stream.write_all(&[host; SAID])?;
        stream.read_exact(&mut answer)?;
        ledger.note_answer(host, Kind::Web, answer);
        thread::sleep(PACE);
    }
    Ok(())
}
