//! IPv6, which is judged where it is governed: nobody fragments its packets on the way, so that the gateway has to tell its clients
//! that one is too big.

use std::time::Duration;

use anyhow::{Result, ensure};
use thulium_tests::{
    lab::{CLIENT6, Lab, POLICY, POLICY6, THULIUM6},
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

/// Whether a phone hears the server.
fn a_phone_is_answered(lab: &Lab, port: u16) -> Result<bool> {
    let phone = lab.lan.udp((CLIENT6, port))?;
    phone.set_read_timeout(Some(Duration::from_millis(500)))?;
    Ok(ask(&phone, (THULIUM6, 15_060).into(), b"REGISTER").is_ok())
}

#[test]
fn a_default_route_that_is_missing() -> Result<()> {
    let lab = office()?;
    let _gateway = lab.start(POLICY6)?;
    let _server = Echo::new(&lab.internet, &[(THULIUM6, 15_060).into()])?;
    ensure!(a_phone_is_answered(&lab, 5060)?, "nothing is in the way yet");
    assert_eq!(Doctor::ask(&lab)?.with("fail"), [""; 0]);
    lab.gw.ip("-6 route del default")?;
    ensure!(!a_phone_is_answered(&lab, 5061)?, "the trouble is real");
    named_and_fixed(&lab, "route", "fail", "there is no default route of IPv6 by wan0")?;
    ensure!(a_phone_is_answered(&lab, 5062)?, "the command helps");
    assert_eq!(Doctor::ask(&lab)?.with("fail"), [""; 0]);
    Ok(())
}

#[test]
fn a_next_hop_that_does_not_answer() -> Result<()> {
    let lab = office()?;
    lab.gw.ip("-6 route replace default via 2001:db8:51::253")?;
    let doctor = Doctor::ask_about(&lab, POLICY6)?;
    assert!(doctor.has("next-hop", "fail", "2001:db8:51::253 on wan0 does not answer"), "{}", doctor.ran.out);
    lab.internet.ip("address add 2001:db8:51::253/64 dev eth0 nodad")?;
    let doctor = Doctor::ask_about(&lab, POLICY6)?;
    assert!(doctor.has("next-hop", "pass", "2001:db8:51::253 on wan0 is"), "{}", doctor.ran.out);
    Ok(())
}

#[test]
fn an_uplink_without_ipv6() -> Result<()> {
    let lab = office()?;
    lab.gw.ip("address del 2001:db8:51::1/64 dev wan0")?;
    lab.gw.ip("-6 route flush exact default")?;
    let doctor = Doctor::ask_about(&lab, POLICY6)?;
    assert!(doctor.has("interface", "warn", "wan0 (uplink) has no IPv6 address"), "{}", doctor.ran.out);
    assert!(doctor.has("route", "fail", "there is no default route of IPv6 by wan0"), "{}", doctor.ran.out);
    // Thulium needs none if its servers have none.
    let doctor = Doctor::ask_about(&lab, POLICY)?;
    assert_eq!(doctor.with("fail"), [""; 0]);
    assert!(doctor.has("route", "warn", "there is no default route of IPv6 by wan0"), "{}", doctor.ran.out);
    Ok(())
}

#[test]
fn clients_that_the_policy_names() -> Result<()> {
    let lab = office()?;
    let named = POLICY6.replace("interfaces: [lan0]", "interfaces: [lan0], clients: ['2001:db8:20::/64']");
    assert_eq!(Doctor::ask_about(&lab, &named)?.with("fail"), [""; 0]);
    let elsewhere = named.replace("db8:20::", "db8:99::");
    let doctor = Doctor::ask_about(&lab, &elsewhere)?;
    assert!(
        doctor.has("route", "fail", "the route to the clients 2001:db8:99::/64 leads by wan0"),
        "{}",
        doctor.ran.out
    );
    Ok(())
}
