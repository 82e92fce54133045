//! Sending and capturing below the kernel's IP stack, by packet sockets (packet(7)).

use std::{
    ffi::CString,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use nix::sys::socket::{setsockopt, sockopt};

use crate::lab::{Namespace, patience};

/// Longer than any frame of the lab, GSO ones too.
const BUFFER: usize = 65_600;
/// Bytes that a capture holds until they are read; the default is full after some hundred packets.
const ROOM: usize = 64 << 20;

/// Captures the IP packets that come in on an interface of a namespace, or that leave it there, from its creation on.
pub struct Capture {
    socket: OwnedFd,
    outgoing: bool,
}

impl Capture {
    /// Starts capturing what comes in on `interface`.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn new(namespace: &Namespace, interface: &str) -> Result<Self> {
        Self::of(namespace, interface, false)
    }

    /// Starts capturing what the namespace itself sends out of `interface`.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn sent(namespace: &Namespace, interface: &str) -> Result<Self> {
        Self::of(namespace, interface, true)
    }

    fn of(namespace: &Namespace, interface: &str, outgoing: bool) -> Result<Self> {
        let (socket, index) = open(namespace, interface)?;
        let address = address(index, libc::ETH_P_ALL as u16, [0; 6]);
        // SAFETY: the address is a live sockaddr_ll, and the length is its own.
        let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), address_length()) };
        checked(bound as isize).context("binding a packet socket")?;
        setsockopt(&socket, sockopt::RcvBufForce, &ROOM).context("making room for captured packets")?;
        Ok(Self { socket, outgoing })
    }

    /// The next captured packet that `wanted` is true for.
    ///
    /// # Errors
    /// When none came within 5 s.
    pub fn next(&self, wanted: impl FnMut(&[u8]) -> bool) -> Result<Vec<u8>> {
        self.next_within(patience(Duration::from_secs(5)), wanted)?
            .context("the expected packet did not come within 5 s")
    }

    /// The next captured packet that `wanted` is true for, or `None` when none does within `patience`.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn next_within(&self, patience: Duration, mut wanted: impl FnMut(&[u8]) -> bool) -> Result<Option<Vec<u8>>> {
        let deadline = Instant::now() + patience;
        loop {
            match self.receive(deadline.saturating_duration_since(Instant::now()))? {
                Some(packet) if wanted(&packet) => return Ok(Some(packet)),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    /// Everything captured so far that `wanted` is true for.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn so_far(&self, mut wanted: impl FnMut(&[u8]) -> bool) -> Result<Vec<Vec<u8>>> {
        let mut packets = Vec::new();
        while let Some(packet) = self.next_within(Duration::ZERO, &mut wanted)? {
            packets.push(packet);
        }
        Ok(packets)
    }

    /// The next captured packet, empty where it goes the other way, or `None` after `patience`.
    fn receive(&self, patience: Duration) -> Result<Option<Vec<u8>>> {
        let mut poll = libc::pollfd { fd: self.socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd is passed, and the count says one.
        let ready = unsafe { libc::poll(&raw mut poll, 1, patience.as_millis() as libc::c_int) };
        if checked(ready as isize)? == 0 {
            return Ok(None);
        }
        let mut buffer = vec![0; BUFFER];
        let mut from = address(0, 0, [0; 6]);
        let mut length = address_length();
        // SAFETY: buffer and address are live and as long as the lengths that are passed say.
        let received = unsafe {
            let fd = self.socket.as_raw_fd();
            libc::recvfrom(fd, buffer.as_mut_ptr().cast(), BUFFER, 0, (&raw mut from).cast(), &raw mut length)
        };
        buffer.truncate(checked(received)? as usize);
        // A packet socket is shown both.
        let outgoing = from.sll_pkttype == libc::PACKET_OUTGOING;
        Ok(Some(if outgoing == self.outgoing { buffer } else { Vec::new() }))
    }
}

/// Sends an IP packet out of an interface of a namespace, to the neighbour with the hardware address `to`.
///
/// # Errors
/// When there is no such interface, or it is down.
pub fn send(namespace: &Namespace, interface: &str, to: [u8; 6], packet: &[u8]) -> Result<()> {
    let protocol = match packet.first().map(|first| first >> 4) {
        Some(4) => libc::ETH_P_IP,
        Some(6) => libc::ETH_P_IPV6,
        _ => bail!("neither IPv4 nor IPv6"),
    };
    let (socket, index) = open(namespace, interface)?;
    let address = address(index, protocol as u16, to);
    // SAFETY: packet and address are live and as long as the lengths that are passed say.
    let sent = unsafe {
        let data = packet.as_ptr().cast();
        libc::sendto(socket.as_raw_fd(), data, packet.len(), 0, (&raw const address).cast(), address_length())
    };
    checked(sent).context("sending a crafted packet").map(drop)
}

/// Sends a frame with an 802.1Q tag for `vlan` (0: a priority alone) around an IPv4 packet.
///
/// # Errors
/// When there is no such interface, or it is down.
pub fn send_tagged(namespace: &Namespace, interface: &str, to: [u8; 6], vlan: u16, packet: &[u8]) -> Result<()> {
    let (socket, index) = open(namespace, interface)?;
    let address = address(index, libc::ETH_P_8021Q as u16, to);
    let frame = [&vlan.to_be_bytes(), &(libc::ETH_P_IP as u16).to_be_bytes(), packet].concat();
    // SAFETY: frame and address are live and as long as the lengths that are passed say.
    let sent = unsafe {
        let data = frame.as_ptr().cast();
        libc::sendto(socket.as_raw_fd(), data, frame.len(), 0, (&raw const address).cast(), address_length())
    };
    checked(sent).context("sending a tagged frame").map(drop)
}

fn open(namespace: &Namespace, interface: &str) -> Result<(OwnedFd, u32)> {
    let name = CString::new(interface)?;
    namespace.run(|| {
        // SAFETY: a plain system call; the result is checked before it becomes an owned descriptor.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
        checked(fd as isize)?;
        // SAFETY: the descriptor was just opened, and nothing else owns it.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: the name is a live C string.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        if index == 0 {
            bail!("there is no interface {interface}");
        }
        Ok((socket, index))
    })?
}

fn address(index: u32, protocol: u16, hardware: [u8; 6]) -> libc::sockaddr_ll {
    let mut sll_addr = [0; 8];
    sll_addr[..6].copy_from_slice(&hardware);
    libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: protocol.to_be(),
        sll_ifindex: index.cast_signed(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr,
    }
}

fn address_length() -> libc::socklen_t {
    size_of::<libc::sockaddr_ll>() as libc::socklen_t
}

fn checked(result: isize) -> Result<isize> {
    if result < 0 { Err(io::Error::last_os_error().into()) } else { Ok(result) }
}
