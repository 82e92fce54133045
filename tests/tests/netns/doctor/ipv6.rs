//! IPv6, which is judged where it is governed: nobody fragments its packets on the way, so that the gateway has to tell its clients
//! that one is too big.

use std::time::Duration;

use anyhow::{Result, ensure};
use thulium_tests::{
    lab::{CLIENT6, Lab, NEXT_HOP6, POLICY6, THULIUM6},
    packet::{Capture, Ipv6},
    peer::{Echo, ask, noise},
};

use super::{Doctor, named_and_fixed};

/// An office with IPv6, whose uplink is smaller than its LAN.
fn office() -> Result<Lab> {
    let lab = Lab::new()?;
    lab.enable_ipv6()?;
    lab.gw.ip("link set wan0 mtu 1400")?;
    lab.internet.ip("link set eth0 mtu 1400")?;
    Ok(lab)
}

/// Whether the gateway answers a large datagram by the error "packet too big".
fn the_gateway_tells_its_mtu(lab: &Lab) -> Result<bool> {
    const ICMPV6: u8 = 58;
    const PACKET_TOO_BIG: u8 = 2;
    let wire = Capture::new(&lab.lan, "eth0")?;
    lab.send_from_lan(&Ipv6::new(CLIENT6, THULIUM6).udp(5060, 15_060, &noise(1400)))?;
    let told = wire.next_within(Duration::from_millis(500), |packet| {
        packet.len() > 40 && packet[0] >> 4 == 6 && packet[6] == ICMPV6 && packet[40] == PACKET_TOO_BIG
    })?;
    Ok(told.is_some())
}

#[test]
fn an_output_chain_that_lets_neighbours_alone_be_found() -> Result<()> {
    let lab = office()?;
    let _gateway = lab.start(POLICY6)?;
    ensure!(the_gateway_tells_its_mtu(&lab)?, "nothing is in the way yet");
    lab.nft(
        "table ip6 f {
            chain out {
                type filter hook output priority filter; policy drop
                icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
                udp dport 9 accept
            }
        }",
    )?;
    ensure!(!the_gateway_tells_its_mtu(&lab)?, "the trouble is real");
    named_and_fixed(&lab, "firewall-icmp", "fail", "family ip6, table f, chain out, its policy is drop")?;
    ensure!(the_gateway_tells_its_mtu(&lab)?, "the command helps");
    Ok(())
}

#[test]
fn a_rule_that_drops_before_the_gateway_can_answer() -> Result<()> {
    let lab = office()?;
    let _gateway = lab.start(POLICY6)?;
    lab.nft(
        "table inet f {
            chain pre { type filter hook prerouting priority filter; ip6 saddr 2001:db8:20::/64 udp dport 15060 drop; }
        }",
    )?;
    ensure!(!the_gateway_tells_its_mtu(&lab)?, "the trouble is real");
    named_and_fixed(&lab, "firewall-drop", "fail", "refuses packets of flow sip (IPv6)")?;
    ensure!(the_gateway_tells_its_mtu(&lab)?, "the command helps");
    Ok(())
}

/// The same rules by both kinds of ip6tables.
fn by_ip6tables(command: &str) -> Result<()> {
    let lab = office()?;
    for rule in [
        "-A OUTPUT -p ipv6-icmp -m icmp6 --icmpv6-type 135 -j ACCEPT",
        "-A OUTPUT -p ipv6-icmp -m icmp6 --icmpv6-type 136 -j ACCEPT",
        "-A OUTPUT -p udp -m udp --dport 9 -j ACCEPT",
        "-P OUTPUT DROP",
    ] {
        lab.gw.output(command, rule)?;
    }
    let _gateway = lab.start(POLICY6)?;
    ensure!(!the_gateway_tells_its_mtu(&lab)?, "the trouble is real");
    named_and_fixed(
        &lab,
        "firewall-icmp",
        "fail",
        &format!("{command}: table filter, chain OUTPUT, its policy is drop"),
    )?;
    ensure!(the_gateway_tells_its_mtu(&lab)?, "the command helps");
    Ok(())
}

#[test]
fn rules_by_ip6tables_nft() -> Result<()> {
    by_ip6tables("ip6tables-nft")
}

#[test]
fn rules_by_ip6tables_legacy() -> Result<()> {
    by_ip6tables("ip6tables-legacy")
}
