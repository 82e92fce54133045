//! Three namespaces and the links between them.

mod dismantle;
mod gateway;
pub mod interrupt;
mod isp;
mod mode;
mod namespace;
mod process;
mod refused;
mod wait;

use std::{
    fs,
    net::{Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result, ensure};
use nix::mount::{MsFlags, mount};

use self::dismantle::dismantle;
use crate::packet;

pub use self::{
    dismantle::dismantle_own,
    gateway::{Gateway, Ran, Verb, thulium_ctl},
    isp::Isp,
    mode::{prepare, ready_for_xdp},
    namespace::{Namespace, connect_from},
    process::Process,
    refused::Refused,
    wait::{eventually, patience, within},
};

/// The first client's address; [`client`] has the others.
pub const CLIENT: Ipv4Addr = client(10);
/// The gateway's address in the LAN.
pub const LAN_GATEWAY: Ipv4Addr = client(1);
/// The gateway's address on its uplink.
pub const UPLINK: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// The internet's end of the uplink.
pub const NEXT_HOP: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 254);
/// The server of the policy's host `thulium`.
pub const THULIUM: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// The server of the policy's host `stun`.
pub const STUN: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 20);
/// A server that no policy names.
pub const UNRELATED: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 99);
/// The first client's IPv6 address, in a lab with [`Lab::enable_ipv6`].
pub const CLIENT6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x20, 0, 0, 0, 0, 0x10);
/// The gateway's IPv6 address in the LAN.
pub const LAN_GATEWAY6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x20, 0, 0, 0, 0, 1);
/// The internet's end of the uplink in IPv6.
pub const NEXT_HOP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x51, 0, 0, 0, 0, 0x254);
/// The IPv6 address of the server of the policy's host `thulium`; see [`POLICY6`].
pub const THULIUM6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 0x10);
/// The IPv6 address of a server that no policy names.
pub const UNRELATED6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 0x99);
/// Hardware address of the gateway's `lan0`.
pub const LAN_MAC: [u8; 6] = [2, 0, 0, 0, 0x20, 1];
/// Hardware address of the gateway's `wan0`.
pub const WAN_MAC: [u8; 6] = [2, 0, 0, 0, 0x51, 1];

/// The policy of most tests: Thulium's flows to fixed addresses. Tests append the keys they are about.
pub const POLICY: &str = "\
version: 1
system: acme
lan: { interfaces: [lan0] }
uplinks: [{ name: isp, interface: wan0 }]
hosts:
  thulium: { names: [], addresses: [203.0.113.10] }
  stun: { names: [], addresses: [203.0.113.20] }
";

/// [`POLICY`] with the servers' IPv6 addresses.
pub const POLICY6: &str = "\
version: 1
system: acme
lan: { interfaces: [lan0] }
uplinks: [{ name: isp, interface: wan0 }]
hosts:
  thulium: { names: [], addresses: [203.0.113.10, '2001:db8:7::10'] }
  stun: { names: [], addresses: [203.0.113.20] }
";

/// [`POLICY`] with a second uplink, for labs with [`Lab::add_uplink`]; clients prefer the first one.
pub const POLICY_TWO_UPLINKS: &str = "\
version: 1
system: acme
lan: { interfaces: [lan0] }
uplinks:
  - { name: isp-a, interface: wan0 }
  - { name: isp-b, interface: wan1 }
hosts:
  thulium: { names: [], addresses: [203.0.113.10] }
  stun: { names: [], addresses: [203.0.113.20] }
";

/// nftables rules of a usual gateway: masquerade on the uplink.
pub const MASQUERADE: &str = "
table ip nat {
    chain postrouting {
        type nat hook postrouting priority srcnat
        oifname wan0 masquerade
    }
}
";

/// Where labs keep their files, one folder each.
const ROOT: &str = "/run/thulium-lab";

/// The address `192.168.20.<host>`; the lab has 10 to 13 as clients, and 200.
pub const fn client(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 20, host)
}

/// A LAN, a gateway and an internet. Dropping it removes all of it, whatever runs inside.
pub struct Lab {
    id: String,
    /// The office: `eth0` with all client addresses.
    pub lan: Namespace,
    /// The gateway: `lan0`, `wan0`, forwarding on, no firewall rules.
    pub gw: Namespace,
    /// Everything beyond the uplink: `eth0`, and the servers' addresses.
    pub internet: Namespace,
}

impl Lab {
    /// Builds a lab.
    ///
    /// # Errors
    /// Without root, or when a namespace, link or mount cannot be made.
    pub fn new() -> Result<Self> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        ensure!(nix::unistd::geteuid().is_root(), "the lab needs root: it makes network namespaces");
        dismantle::sweep();
        let id = format!("tl-{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let built = Self::build(&id);
        if built.is_err() {
            dismantle(&id);
        }
        built.with_context(|| format!("building lab {id}"))
    }

    fn build(id: &str) -> Result<Self> {
        fs::create_dir_all(bpffs(id))?;
        mount(Some("bpf"), &bpffs(id), Some("bpf"), MsFlags::empty(), None::<&str>).context("mounting a bpffs")?;
        let lab = Self {
            id: id.to_owned(),
            lan: Namespace::create(&format!("{id}-lan"))?,
            gw: Namespace::create(&format!("{id}-gw"))?,
            internet: Namespace::create(&format!("{id}-net"))?,
        };
        lab.link()?;
        lab.address()?;
        Ok(lab)
    }

    fn link(&self) -> Result<()> {
        let [lan, wan] = [LAN_MAC, WAN_MAC].map(|mac| mac.map(|byte| format!("{byte:02x}")).join(":"));
        for (interface, mac, peer) in [("lan0", lan, &self.lan), ("wan0", wan, &self.internet)] {
            let peer = peer.name();
            self.gw.ip(&format!("link add {interface} address {mac} type veth peer name eth0 netns {peer}"))?;
        }
        Ok(())
    }

    fn address(&self) -> Result<()> {
        for namespace in [&self.lan, &self.gw, &self.internet] {
            // Nothing but what a test sends is to be on the links: no router solicitations, no multicast reports.
            namespace.sysctl("net/ipv6/conf/all/disable_ipv6", "1")?;
            namespace.sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
            namespace.sysctl("net/ipv4/conf/all/rp_filter", "0")?;
            namespace.sysctl("net/ipv4/conf/default/rp_filter", "0")?;
            namespace.ip("link set lo up")?;
        }
        self.lan.ip("link set eth0 up")?;
        for host in [10, 11, 12, 13, 200] {
            self.lan.ip(&format!("address add {}/24 dev eth0", client(host)))?;
        }
        self.gw.ip(&format!("address add {LAN_GATEWAY}/24 dev lan0"))?;
        self.gw.ip(&format!("address add {UPLINK}/24 dev wan0"))?;
        self.gw.ip("link set lan0 up")?;
        self.gw.ip("link set wan0 up")?;
        self.gw.ip(&format!("route add default via {NEXT_HOP}"))?;
        self.gw.sysctl("net/ipv4/ip_forward", "1")?;
        self.internet.ip(&format!("address add {NEXT_HOP}/24 dev eth0"))?;
        for server in [THULIUM, STUN, UNRELATED] {
            self.internet.ip(&format!("address add {server}/32 dev lo"))?;
        }
        self.internet.ip("link set eth0 up")?;
        prepare([(&self.gw, "lan0"), (&self.lan, "eth0")])?;
        prepare([(&self.gw, "wan0"), (&self.internet, "eth0")])?;
        self.lan.ip(&format!("route add default via {LAN_GATEWAY}"))
    }

    /// The lab's name, also that of its `thulium-ctl` instance.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A folder for files of this lab; it goes with it.
    pub fn dir(&self) -> PathBuf {
        dir(&self.id)
    }

    /// Mount point of the lab's own BPF file system.
    pub fn bpffs(&self) -> PathBuf {
        bpffs(&self.id)
    }

    /// Starts `thulium-ctl run` in the gateway and waits until it is ready.
    ///
    /// # Errors
    /// When it is not ready in time; its log is part of the error.
    pub fn start(&self, policy: &str) -> Result<Gateway<'_>> {
        Gateway::start(self, policy)
    }

    /// Loads nftables rules in the gateway.
    ///
    /// # Errors
    /// When `nft` refuses them.
    pub fn nft(&self, rules: &str) -> Result<()> {
        let file = self.dir().join("rules.nft");
        fs::write(&file, rules)?;
        let mut nft = self.gw.command("nft");
        namespace::checked(nft.arg("-f").arg(&file)).map(drop)
    }

    /// Sends a crafted packet from the LAN to the gateway.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn send_from_lan(&self, packet: &[u8]) -> Result<()> {
        packet::send(&self.lan, "eth0", LAN_MAC, packet)
    }

    /// Sends a crafted packet from the internet to the gateway.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn send_from_internet(&self, packet: &[u8]) -> Result<()> {
        packet::send(&self.internet, "eth0", WAN_MAC, packet)
    }

    /// Sends a crafted IPv4 packet from the internet to the gateway in a frame with a tag for `vlan`; 0: a priority alone.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn send_tagged_from_internet(&self, vlan: u16, packet: &[u8]) -> Result<()> {
        packet::send_tagged(&self.internet, "eth0", WAN_MAC, vlan, packet)
    }

    /// Moves the servers behind the internet, which becomes a router with a link of this MTU, bytes, to them. Returns where they are.
    ///
    /// # Errors
    /// When the namespace or the link cannot be made.
    pub fn narrow(&self, mtu: u32) -> Result<Namespace> {
        let far = Namespace::create(&format!("{}-far", self.id))?;
        for key in ["all", "default"] {
            far.sysctl(&format!("net/ipv6/conf/{key}/disable_ipv6"), "1")?;
            far.sysctl(&format!("net/ipv4/conf/{key}/rp_filter"), "0")?;
        }
        let internet = &self.internet;
        internet.ip(&format!("link add far0 mtu {mtu} type veth peer name eth0 mtu {mtu} netns {}", far.name()))?;
        internet.ip("address add 192.0.2.1/24 dev far0")?;
        internet.ip("link set far0 up")?;
        far.ip("address add 192.0.2.2/24 dev eth0")?;
        far.ip("link set lo up")?;
        far.ip("link set eth0 up")?;
        far.ip("route add default via 192.0.2.1")?;
        for server in [THULIUM, STUN, UNRELATED] {
            internet.ip(&format!("address del {server}/32 dev lo"))?;
            internet.ip(&format!("route add {server}/32 via 192.0.2.2"))?;
            far.ip(&format!("address add {server}/32 dev lo"))?;
        }
        internet.sysctl("net/ipv4/ip_forward", "1")?;
        prepare([(internet, "far0"), (&far, "eth0")])?;
        Ok(far)
    }

    /// Adds addresses of servers to the internet.
    ///
    /// # Errors
    /// When it has one of them already.
    pub fn add_servers(&self, servers: &[Ipv4Addr]) -> Result<()> {
        servers.iter().try_for_each(|server| self.internet.ip(&format!("address add {server}/32 dev lo")))
    }

    /// Adds clients to the LAN: the addresses [`client`] of `hosts`.
    ///
    /// # Errors
    /// When it has one of them already.
    pub fn add_clients(&self, hosts: impl IntoIterator<Item = u8>) -> Result<()> {
        hosts.into_iter().try_for_each(|host| self.lan.ip(&format!("address add {}/24 dev eth0", client(host))))
    }

    /// Gives the lab IPv6: a LAN, an uplink, servers, and routes both ways. Whether the gateway forwards is left to it.
    ///
    /// # Errors
    /// When an address cannot be set.
    pub fn enable_ipv6(&self) -> Result<()> {
        for (namespace, interface, address) in [
            (&self.lan, "eth0", format!("{CLIENT6}/64")),
            (&self.gw, "lan0", format!("{LAN_GATEWAY6}/64")),
            (&self.gw, "wan0", "2001:db8:51::1/64".to_owned()),
            (&self.internet, "eth0", format!("{NEXT_HOP6}/64")),
            (&self.internet, "lo", format!("{THULIUM6}/128")),
            (&self.internet, "lo", format!("{UNRELATED6}/128")),
        ] {
            namespace.allow_ipv6(interface)?;
            namespace.ip(&format!("address add {address} dev {interface} nodad"))?;
        }
        self.lan.ip(&format!("route add default via {LAN_GATEWAY6}"))?;
        self.gw.ip(&format!("route add default via {NEXT_HOP6}"))?;
        self.internet.ip("route add 2001:db8:20::/64 via 2001:db8:51::1")
    }
}

impl Lab {
    /// Gives IPv6, which this lab has, to the link that [`Lab::narrow`] has made, and moves the server of the policy behind it.
    ///
    /// # Errors
    /// When an address or a route cannot be set.
    pub fn enable_ipv6_beyond(&self, far: &Namespace) -> Result<()> {
        let internet = &self.internet;
        for (namespace, interface) in [(internet, "far0"), (far, "eth0"), (far, "lo")] {
            namespace.allow_ipv6(interface)?;
        }
        internet.ip("address add 2001:db8:2::1/64 dev far0 nodad")?;
        far.ip("address add 2001:db8:2::2/64 dev eth0 nodad")?;
        far.ip(&format!("address add {THULIUM6}/128 dev lo nodad"))?;
        far.ip("route add default via 2001:db8:2::1")?;
        internet.ip(&format!("address del {THULIUM6}/128 dev lo"))?;
        internet.ip(&format!("route add {THULIUM6}/128 via 2001:db8:2::2"))?;
        internet.sysctl("net/ipv6/conf/all/forwarding", "1")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        dismantle(&self.id);
    }
}

fn dir(id: &str) -> PathBuf {
    Path::new(ROOT).join(id)
}

fn bpffs(id: &str) -> PathBuf {
    dir(id).join("bpf")
}
