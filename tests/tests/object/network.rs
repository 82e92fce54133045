//! The network namespace of a test: a gateway's interfaces and routes, without anybody at their other ends.

use std::{
    fs,
    io::Write as _,
    net::IpAddr,
    process::{Command, Stdio},
};

use nix::{
    net::if_::if_nametoindex,
    sched::{CloneFlags, unshare},
};

/// Hardware address of both interfaces of the gateway, so that a frame is for it wherever it comes in. As in [`SETUP`].
pub(crate) const HARDWARE: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// What the gateway looks like.
const SETUP: &str = "\
link set lo up
link add lan0 type veth peer name lan
link add wan0 type veth peer name wan
link set lan0 address 02:00:00:00:00:01 up
link set lan up
link set wan0 address 02:00:00:00:00:01 up
link set wan up
address add 192.168.20.1/24 dev lan0
link add wan1 type veth peer name wan-1
link set wan1 address 02:00:00:00:00:01 up
link set wan-1 up
address add 198.51.100.1/24 dev wan0
address add 198.51.101.1/24 dev wan1
address add 2001:db8:20::1/64 dev lan0 nodad
address add 2001:db8:51::1/64 dev wan0 nodad
route add default via 198.51.100.254
route add default via 2001:db8:51::254
";

/// Index of the gateway's interfaces.
#[derive(Clone, Copy)]
pub(crate) struct Interfaces {
    pub(crate) lan: u32,
    pub(crate) wan: u32,
    /// The second uplink, of use in [`crate::uplinks`].
    pub(crate) wan1: u32,
}

/// Lets the gateway know the hardware address of a host on the LAN.
pub(crate) fn add_neighbour(address: IpAddr) {
    ip(&format!("neigh add {address} lladdr 02:00:00:00:00:77 dev lan0"));
}

/// Runs `ip` in this thread's namespace.
pub(crate) fn ip(arguments: &str) {
    assert!(Command::new("ip").args(arguments.split(' ')).status().unwrap().success(), "ip {arguments}");
}

/// Moves this thread into a network namespace of its own, which ends with the thread, and makes it a gateway.
pub(crate) fn enter() -> Interfaces {
    unshare(CloneFlags::CLONE_NEWNET).expect("object tests need root");
    let mut ip = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().expect("ip(8) is not there");
    ip.stdin.take().unwrap().write_all(SETUP.as_bytes()).unwrap();
    assert!(ip.wait().unwrap().success(), "ip -batch failed");
    // The kernel shows each thread the settings of its own namespace.
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
    fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
    let index = |name| if_nametoindex(name).unwrap();
    Interfaces { lan: index("lan0"), wan: index("wan0"), wan1: index("wan1") }
}
