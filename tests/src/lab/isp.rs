//! More uplinks than one, and what happens to them: cut, black-holed, restored.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result};

use super::{Lab, namespace::checked, prepare};

/// A provider of the gateway. Its uplink is a link of its own between gateway and internet: `wan<n>` here, `eth<n>` there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isp {
    /// The one that every lab has.
    A,
    /// The second one, after [`Lab::add_uplink`].
    B,
    /// The third one, the same way.
    C,
}

impl Isp {
    const fn number(self) -> u8 {
        self as u8
    }

    /// The name of its uplink in [`super::POLICY_TWO_UPLINKS`].
    pub const fn name(self) -> &'static str {
        ["isp-a", "isp-b", "isp-c"][self as usize]
    }

    /// The gateway's interface.
    pub const fn interface(self) -> &'static str {
        ["wan0", "wan1", "wan2"][self as usize]
    }

    /// The internet's interface.
    pub const fn far_interface(self) -> &'static str {
        ["eth0", "eth1", "eth2"][self as usize]
    }

    /// The gateway's address, which the world sees of a client here.
    pub const fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(198, 51, 100 + self.number(), 1)
    }

    /// The internet's end of the link.
    pub const fn next_hop(self) -> Ipv4Addr {
        Ipv4Addr::new(198, 51, 100 + self.number(), 254)
    }

    /// The gateway's address in IPv6.
    pub const fn address6(self) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, 0x51 + self.number() as u16, 0, 0, 0, 0, 1)
    }

    /// The internet's end of the link in IPv6.
    pub const fn next_hop6(self) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, 0x51 + self.number() as u16, 0, 0, 0, 0, 0x254)
    }

    /// The address `<host>` in the prefix of the LAN that this provider routes: 1 is the gateway's, 0x10 the first client's.
    pub const fn client6(self, host: u16) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, 0x20 + self.number() as u16, 0, 0, 0, 0, host)
    }

    /// The metric of the gateway's default route by it: the first provider's is the best one.
    const fn metric(self) -> u32 {
        100 * (self as u32 + 1)
    }
}

impl Lab {
    /// Adds the uplink of `isp`, which is not [`Isp::A`]; the third one after the second one. The default routes have metrics now: 100, 200, 300. The internet answers by the
    /// link that an address belongs to, so that servers see by which uplink a client comes.
    ///
    /// # Errors
    /// When the lab has it already, or an interface or a route cannot be made.
    pub fn add_uplink(&self, isp: Isp) -> Result<()> {
        let (near, far) = (isp.interface(), isp.far_interface());
        let mac = format!("02:00:00:00:51:{:02x}", isp.number() + 1);
        self.gw
            .ip(&format!("link add {near} address {mac} type veth peer name {far} netns {}", self.internet.name()))?;
        self.gw.ip(&format!("address add {}/24 dev {near}", isp.address()))?;
        self.internet.ip(&format!("address add {}/24 dev {far}", isp.next_hop()))?;
        self.gw.ip(&format!("link set {near} up"))?;
        self.internet.ip(&format!("link set {far} up"))?;
        prepare([(&self.gw, near), (&self.internet, far)])?;
        // The lab began with one without a metric.
        self.gw.ip("route flush exact default")?;
        let known = [Isp::A, Isp::B, Isp::C].into_iter().filter(|known| *known <= isp);
        known
            .map(|known| format!("route add default via {} metric {}", known.next_hop(), known.metric()))
            .try_for_each(|route| self.gw.ip(&route))
    }

    /// Gives IPv6 to the uplink of `isp`, in a lab that has both: a link, a second prefix in the LAN with one client, a default route.
    ///
    /// # Errors
    /// When an address or a route cannot be set.
    pub fn enable_ipv6_by(&self, isp: Isp) -> Result<()> {
        for (namespace, interface, address) in [
            (&self.lan, "eth0", isp.client6(0x10)),
            (&self.gw, "lan0", isp.client6(1)),
            (&self.gw, isp.interface(), isp.address6()),
            (&self.internet, isp.far_interface(), isp.next_hop6()),
        ] {
            namespace.allow_ipv6(interface)?;
            namespace.ip(&format!("address add {address}/64 dev {interface} nodad"))?;
        }
        self.gw.ip(&format!("route add default via {} metric {}", isp.next_hop6(), 1024 + isp.metric()))?;
        self.route_back6(isp)
    }

    /// The way of the internet to the clients of `isp`.
    fn route_back6(&self, isp: Isp) -> Result<()> {
        self.internet.ip(&format!("route replace {}/64 via {}", isp.client6(0), isp.address6()))
    }

    /// Cuts the link of `isp` at its side: the gateway loses the carrier.
    ///
    /// # Errors
    /// When the link is not there.
    pub fn cut(&self, isp: Isp) -> Result<()> {
        // Addresses of IPv6 would go with the link.
        self.internet.sysctl(&format!("net/ipv6/conf/{}/keep_addr_on_down", isp.far_interface()), "1")?;
        self.internet.ip(&format!("link set {} down", isp.far_interface()))
    }

    /// Has `isp` lose every packet silently, both ways. The link stays up, and its router answers as a neighbour does.
    ///
    /// # Errors
    /// When `nft` refuses the rules.
    pub fn black_hole(&self, isp: Isp) -> Result<()> {
        let far = isp.far_interface();
        let rules = format!(
            "table inet black-hole-{far} {{
                chain in {{
                    type filter hook prerouting priority raw
                    icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
                    iifname {far} drop
                }}
                chain out {{
                    type filter hook postrouting priority raw
                    icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
                    oifname {far} drop
                }}
            }}"
        );
        checked(self.internet.command("nft").arg(rules)).map(drop)
    }

    /// Undoes [`Lab::cut`] and [`Lab::black_hole`].
    ///
    /// # Errors
    /// When the link is not there.
    pub fn restore(&self, isp: Isp) -> Result<()> {
        let far = isp.far_interface();
        // There may be none.
        let _ = self.internet.output("nft", &format!("delete table inet black-hole-{far}"));
        self.internet.ip(&format!("link set {far} up"))?;
        let has_ipv6 = self.internet.read_sysctl(&format!("net/ipv6/conf/{far}/disable_ipv6"))? == "0";
        if has_ipv6 { self.route_back6(isp).context("the way back in IPv6") } else { Ok(()) }
    }
}
