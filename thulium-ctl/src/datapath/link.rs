//! What the kernel says of an interface by ioctl. `/sys` is not asked: it shows the network namespace in which it was mounted.

use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// `struct ethtool_drvinfo` of `linux/ethtool.h`, up to the driver's name; the rest is not read.
#[repr(C, align(4))]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    rest: [u8; 160],
}

/// The driver of an interface, by ethtool's `ETHTOOL_GDRVINFO`; empty if it has none.
pub(super) fn driver(interface: &str) -> String {
    const GET_DRIVER_INFO: u32 = 3;
    let mut info = DriverInfo { command: GET_DRIVER_INFO, driver: [0; 32], rest: [0; 160] };
    let mut request = named(interface);
    request.ifr_ifru.ifru_data = (&raw mut info).cast();
    if ask(libc::SIOCETHTOOL, &mut request).is_none() {
        return String::new();
    }
    let end = info.driver.iter().position(|byte| *byte == 0).unwrap_or(info.driver.len());
    String::from_utf8_lossy(&info.driver[..end]).into_owned()
}

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// True if the interface's hardware takes VLAN tags off, by ethtool's `ETHTOOL_GFLAGS`.
pub(super) fn strips_tags(interface: &str) -> bool {
    const GET_FLAGS: u32 = 0x25;
    const STRIPS_TAGS: u32 = 1 << 8; // ETH_FLAG_RXVLAN
    let mut value = Value { command: GET_FLAGS, data: 0 };
    let mut request = named(interface);
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    ask(libc::SIOCETHTOOL, &mut request).is_some() && value.data & STRIPS_TAGS != 0
}

/// Bytes of the link header in front of an interface's IP packets: 14 for Ethernet, 0 for what has none (tun, PPP, WireGuard).
/// `None` if the interface is gone.
pub(super) fn header(interface: &str) -> Option<u32> {
    let mut request = named(interface);
    ask(libc::SIOCGIFHWADDR, &mut request)?;
    // SAFETY: the kernel has filled in this member.
    let is_ethernet = unsafe { request.ifr_ifru.ifru_hwaddr.sa_family == libc::ARPHRD_ETHER };
    Some(if is_ethernet { 14 } else { 0 })
}

fn named(interface: &str) -> libc::ifreq {
    // SAFETY: plain integers and byte arrays.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // One byte stays zero: names of interfaces are shorter.
    let room = request.ifr_name.len() - 1;
    request.ifr_name.iter_mut().zip(interface.bytes()).take(room).for_each(|(to, from)| *to = from as libc::c_char);
    request
}

fn ask(what: libc::c_ulong, request: &mut libc::ifreq) -> Option<()> {
    // Not bound: there may be no port left to the host.
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).ok()?;
    // SAFETY: the request and what it points to live through the call and are as large as what the kernel writes.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), what, std::ptr::from_mut(request)) };
    (result == 0).then_some(())
}
