//! Rules of nftables and iptables, with an uplink of a smaller MTU than the LAN's: what is larger is fragmented by the kernel, and
//! meets them.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use thulium_tests::{
    lab::{CLIENT, Lab, MASQUERADE, POLICY, THULIUM},
    packet::{Capture, Ipv4, Parsed},
    peer::noise,
};

use super::{Doctor, fix, named_and_fixed};

const SIP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(THULIUM), 15_060);

const STRICT_FORWARD: &str = "
table inet filter {
    chain forward {
        type filter hook forward priority filter; policy drop
        ct state established,related accept
        iifname lan0 tcp dport 443 accept
    }
}
";

/// An office whose uplink is smaller than its LAN.
fn office() -> Result<Lab> {
    let lab = Lab::new()?;
    lab.gw.ip("link set wan0 mtu 1400")?;
    lab.internet.ip("link set eth0 mtu 1400")?;
    Ok(lab)
}

/// Whether a long INVITE arrives at the server whole. The port is another one each time: what the kernel has translated once, it
/// goes on to translate.
fn a_long_invite_arrives(lab: &Lab, port: u16) -> Result<bool> {
    let server = lab.internet.udp(SIP)?;
    server.set_read_timeout(Some(Duration::from_millis(500)))?;
    let invite = noise(1450);
    lab.send_from_lan(&Ipv4::new(CLIENT, THULIUM).udp(port, SIP.port(), &invite))?;
    let mut buffer = vec![0; 2000];
    Ok(server.recv_from(&mut buffer).is_ok_and(|(length, _)| buffer[..length] == invite))
}

#[test]
fn a_forward_chain_that_drops() -> Result<()> {
    let lab = office()?;
    let _gateway = lab.start(POLICY)?;
    ensure!(a_long_invite_arrives(&lab, 5060)?, "nothing is in the way yet");
    lab.nft(STRICT_FORWARD)?;
    ensure!(!a_long_invite_arrives(&lab, 5061)?, "the trouble is real");
    named_and_fixed(&lab, "firewall-drop", "fail", "family inet, table filter, chain forward, its policy is drop")?;
    ensure!(a_long_invite_arrives(&lab, 5062)?, "the command helps");
    Ok(())
}

#[test]
fn a_rule_that_rejects_in_a_chain_of_its_own() -> Result<()> {
    let lab = office()?;
    lab.nft(
        "table ip fw {
            chain office { udp dport 15060 reject; }
            chain forward { type filter hook forward priority 0; iifname lan0 jump office; }
        }",
    )?;
    let _gateway = lab.start(POLICY)?;
    ensure!(!a_long_invite_arrives(&lab, 5060)?, "the trouble is real");
    named_and_fixed(&lab, "firewall-drop", "fail", "chain office, handle")?;
    ensure!(a_long_invite_arrives(&lab, 5061)?, "the command helps");
    Ok(())
}

#[test]
fn a_masquerade_rule() -> Result<()> {
    let lab = office()?;
    lab.nft(MASQUERADE)?;
    let _gateway = lab.start(POLICY)?;
    ensure!(!a_long_invite_arrives(&lab, 5060)?, "the trouble is real");
    named_and_fixed(&lab, "firewall-nat", "fail", "oifname \"wan0\" masquerade")?;
    ensure!(a_long_invite_arrives(&lab, 5061)?, "the command helps");
    Ok(())
}

#[test]
fn with_equal_mtus_rules_are_warnings_only() -> Result<()> {
    let lab = Lab::new()?;
    lab.nft(MASQUERADE)?;
    lab.nft(STRICT_FORWARD)?;
    let _gateway = lab.start(POLICY)?;
    let doctor = Doctor::ask(&lab)?;
    assert_eq!(doctor.ran.code, 0);
    named_and_fixed(&lab, "firewall-drop", "warn", "its policy is drop")?;
    named_and_fixed(&lab, "firewall-nat", "warn", "masquerade")
}

#[test]
fn a_rule_that_overwrites_the_mark() -> Result<()> {
    let lab = office()?;
    lab.nft(MASQUERADE)?;
    lab.nft("table ip mangle { chain pre { type filter hook prerouting priority mangle; iifname lan0 meta mark set 0x1; }; }")?;
    let _gateway = lab.start(POLICY)?;
    ensure!(!a_long_invite_arrives(&lab, 5060)?, "the trouble is real");
    named_and_fixed(&lab, "packet-mark", "fail", "iifname \"lan0\" meta mark set 0x00000001")?;
    named_and_fixed(&lab, "firewall-nat", "fail", "masquerade")?;
    ensure!(a_long_invite_arrives(&lab, 5061)?, "both commands help");
    Ok(())
}

#[test]
fn a_rule_that_restores_the_mark_of_the_connection() -> Result<()> {
    let lab = office()?;
    lab.nft("table ip mangle { chain pre { type filter hook prerouting priority mangle; meta mark set ct mark; }; }")?;
    let _gateway = lab.start(POLICY)?;
    named_and_fixed(&lab, "packet-mark", "fail", "meta mark set ct mark")
}

#[test]
fn a_sip_helper() -> Result<()> {
    let lab = office()?;
    lab.nft(
        "table inet alg {
            ct helper sip-15060 { type \"sip\" protocol udp; }
            chain pre { type filter hook prerouting priority filter; udp dport 15060 ct helper set \"sip-15060\"; }
        }",
    )?;
    let _gateway = lab.start(POLICY)?;
    named_and_fixed(&lab, "conntrack-helper", "fail", "udp dport 15060 ct helper set")
}

#[test]
fn chains_at_the_interfaces() -> Result<()> {
    for (hook, device) in [("ingress", "lan0"), ("egress", "wan0")] {
        let lab = office()?;
        let _gateway = lab.start(POLICY)?;
        lab.nft(&format!(
            "table netdev office {{
                chain {hook} {{ type filter hook {hook} device {device} priority 0; udp dport 15060 drop; }}
            }}"
        ))?;
        ensure!(!a_long_invite_arrives(&lab, 5060)?, "the trouble is real");
        named_and_fixed(&lab, "firewall-drop", "fail", &format!("family netdev, table office, chain {hook}"))?;
        ensure!(a_long_invite_arrives(&lab, 5061)?, "the command helps");
    }
    Ok(())
}

/// Whether a client learns the uplink's MTU: the gateway answers a packet that may not be fragmented.
fn the_gateway_tells_its_mtu(lab: &Lab) -> Result<bool> {
    let wire = Capture::new(&lab.lan, "eth0")?;
    // Linux lets no router fragment a datagram, unless it is told to.
    lab.lan.udp((CLIENT, 0))?.send_to(&noise(1450), SIP)?;
    let told = wire.next_within(Duration::from_millis(500), |packet| {
        Parsed::new(packet).is_some_and(|packet| packet.protocol == 1 && *packet.destination.ip() == CLIENT)
    })?;
    lab.lan.ip("route flush cache")?;
    Ok(told.is_some())
}

#[test]
fn an_output_chain_that_keeps_the_gateway_from_answering() -> Result<()> {
    let lab = office()?;
    let _gateway = lab.start(POLICY)?;
    ensure!(the_gateway_tells_its_mtu(&lab)?, "nothing is in the way yet");
    lab.nft(
        "table inet filter {
            chain output {
                type filter hook output priority filter; policy drop
                ct state established accept
                oifname wan0 accept
            }
        }",
    )?;
    ensure!(!the_gateway_tells_its_mtu(&lab)?, "the trouble is real");
    named_and_fixed(&lab, "firewall-icmp", "fail", "chain output, its policy is drop")?;
    ensure!(the_gateway_tells_its_mtu(&lab)?, "the command helps");
    Ok(())
}

/// The same rules by both kinds of iptables.
fn by_iptables(command: &str) -> Result<()> {
    let lab = office()?;
    for rule in [
        "-P FORWARD DROP",
        "-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
        "-t nat -A POSTROUTING -o wan0 -j MASQUERADE",
        "-t mangle -A PREROUTING -i lan0 -j MARK --set-mark 1",
        "-t raw -A PREROUTING -p udp --dport 15060 -j CT --helper sip",
    ] {
        lab.gw.output(command, rule)?;
    }
    let _gateway = lab.start(POLICY)?;
    ensure!(!a_long_invite_arrives(&lab, 5060)?, "the trouble is real");
    let before = Doctor::ask(&lab)?;
    for (check, words) in [
        ("packet-mark", "table mangle, chain PREROUTING, rule 1"),
        ("conntrack-helper", "-j CT --helper sip"),
        ("firewall-drop", "table filter, chain FORWARD, its policy is drop"),
        ("firewall-nat", "-o wan0 -j MASQUERADE"),
    ] {
        let finding = before.finding(check, "fail", words)?;
        ensure!(finding["seen"].as_str().is_some_and(|seen| seen.contains(command)), "{finding}");
        fix(&lab, finding)?;
    }
    let after = Doctor::ask(&lab)?;
    assert_eq!(after.with("fail"), [""; 0]);
    assert_eq!(after.with("warn"), [""; 0]);
    ensure!(a_long_invite_arrives(&lab, 5061)?, "the commands help");
    Ok(())
}

#[test]
fn rules_by_iptables_nft() -> Result<()> {
    by_iptables("iptables-nft")
}

#[test]
fn rules_by_iptables_legacy() -> Result<()> {
    by_iptables("iptables-legacy")
}

#[test]
fn an_audit_policy_gets_no_command_that_would_open_the_firewall() -> Result<()> {
    let lab = office()?;
    lab.nft(STRICT_FORWARD)?;
    let doctor = Doctor::ask_about(&lab, &format!("{POLICY}mode: audit\n"))?;
    let finding = doctor.finding("firewall-drop", "warn", "its policy is drop")?;
    assert!(finding["fix"].is_null(), "{finding}");
    Ok(())
}
