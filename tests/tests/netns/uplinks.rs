//! What becomes of clients when uplinks come and go, and what the gateway learns from its own interfaces, routes and neighbours.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use thulium_tests::{
    lab::{Gateway, Isp, Lab, POLICY_TWO_UPLINKS, THULIUM, client, eventually, patience, prepare, within},
    peer::{Echo, ask},
};

const MEDIA: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(THULIUM), 16_000);
/// How long a phone waits for an answer before it sends again.
const RETRY: Duration = Duration::from_millis(200);

/// A lab with two uplinks and a media server.
fn lab() -> Result<(Lab, Echo)> {
    let lab = Lab::new()?;
    lab.add_uplink(Isp::B)?;
    let server = Echo::new(&lab.internet, &[MEDIA])?;
    Ok((lab, server))
}

/// A phone that sends again where it gets no answer.
struct Phone(UdpSocket);

impl Phone {
    fn new(lab: &Lab, host: u8) -> Result<Self> {
        let socket = lab.lan.udp((client(host), 5060))?;
        socket.set_read_timeout(Some(patience(RETRY)))?;
        Ok(Self(socket))
    }

    /// Where the server sees it, which must answer now.
    fn seen(&self) -> Result<SocketAddr> {
        ask(&self.0, MEDIA, b"now")
    }

    /// Waits until the server sees it at `isp`, for `limit` at most.
    fn wait_by(&self, isp: Isp, limit: Duration) -> Result<()> {
        within(limit, &format!("the phone to go by {}", isp.name()), || {
            let seen = self.seen()?;
            ensure!(seen.ip() == isp.address(), "seen at {seen}");
            Ok(())
        })
    }
}

/// Waits until `status` says this.
fn status_says(gateway: &Gateway<'_>, what: &str) -> Result<()> {
    within(Duration::from_secs(20), &format!("status to say {what:?}"), || {
        let status = gateway.ctl("status")?.out;
        let status = status.split_whitespace().collect::<Vec<_>>().join(" ");
        ensure!(status.contains(what), "{status}");
        Ok(())
    })
}

/// Waits until the log says this.
fn log_says(gateway: &mut Gateway<'_>, what: &str) -> Result<()> {
    within(Duration::from_secs(20), &format!("the log to say {what:?}"), || {
        let log = gateway.daemon().log();
        ensure!(log.contains(what), "{log}");
        Ok(())
    })
}

/// Has the servers lose every TCP connection to 443, which is what probes try; `by`: only those that come in by this one.
fn lose_probes(lab: &Lab, by: Option<Isp>) -> Result<()> {
    let by = by.map_or(String::new(), |isp| format!("iifname {}", isp.far_interface()));
    let rules = format!(
        "table ip dead {{
            chain in {{
                type filter hook input priority 0
                {by} tcp dport 443 drop
            }}
        }}"
    );
    ensure!(lab.internet.command("nft").arg(rules).status()?.success(), "nft refuses the rules");
    Ok(())
}

#[test]
fn a_probe_that_nobody_answers_anywhere_moves_nobody() -> Result<()> {
    let (lab, _server) = lab()?;
    let gateway = lab.start(&format!("{POLICY_TWO_UPLINKS}health: {{ black_hole: 3s }}\n"))?;
    let phone = Phone::new(&lab, 10)?;
    let before = phone.seen()?;
    lose_probes(&lab, None)?;
    for uplink in ["isp-a", "isp-b"] {
        status_says(&gateway, &format!("uplink {uplink} carries nothing: no answer through it"))?;
    }
    assert_eq!((before.ip(), phone.seen()?), (Isp::A.address().into(), before), "the same session");
    assert_eq!(Phone::new(&lab, 11)?.seen()?.ip(), Isp::A.address(), "a newcomer takes the first, too");
    gateway.expect_refused(&[])
}

#[test]
fn clients_wait_and_are_counted_while_every_link_is_cut() -> Result<()> {
    let (lab, _server) = lab()?;
    let gateway = lab.start(POLICY_TWO_UPLINKS)?;
    let phone = Phone::new(&lab, 10)?;
    phone.wait_by(Isp::A, Duration::from_secs(5))?;
    lab.cut(Isp::A)?;
    phone.wait_by(Isp::B, Duration::from_secs(5))?;
    let before = phone.seen()?;
    lab.cut(Isp::B)?;
    within(Duration::from_secs(5), "the refusals", || {
        let _ = phone.seen();
        let refused = gateway.refused()?;
        ensure!(refused.of("uplink-down") > 0, "{refused}");
        Ok(())
    })?;
    lab.restore(Isp::B)?;
    phone.wait_by(Isp::B, Duration::from_secs(5))?;
    assert_eq!(phone.seen()?, before, "the same session");
    Ok(())
}

/// With the only default route of the main table goes the kernel's knowledge of what lies beyond an uplink.
#[test]
fn the_uplink_that_has_the_only_default_route_goes() -> Result<()> {
    let (lab, _server) = lab()?;
    lab.gw.ip(&format!("route delete default dev {}", Isp::B.interface()))?;
    let policy =
        POLICY_TWO_UPLINKS.replace("interface: wan1", &format!("interface: wan1, next_hop: {}", Isp::B.next_hop()));
    let mut gateway = lab.start(&policy)?;
    let phone = Phone::new(&lab, 10)?;
    phone.wait_by(Isp::A, Duration::from_secs(5))?;
    lab.gw.ip(&format!("link set {} down", Isp::A.interface()))?;
    phone.wait_by(Isp::B, Duration::from_secs(5))?;
    let rules = lab.gw.output("ip", "rule")?;
    ensure!(rules.contains("32800:\tfrom all iif lan0 lookup 7401"), "{rules}");
    gateway.down()?;
    let rules = lab.gw.output("ip", "rule")?;
    ensure!(!rules.contains("7401"), "{rules}");
    Ok(())
}

#[test]
fn a_silent_uplink_is_found_with_a_strict_reverse_path_filter() -> Result<()> {
    let (lab, _server) = lab()?;
    for interface in ["all", Isp::A.interface(), Isp::B.interface()] {
        lab.gw.sysctl(&format!("net/ipv4/conf/{interface}/rp_filter"), "1")?;
    }
    let gateway = lab.start(&format!("{POLICY_TWO_UPLINKS}health: {{ black_hole: 3s }}\n"))?;
    let phone = Phone::new(&lab, 10)?;
    phone.wait_by(Isp::A, Duration::from_secs(5))?;
    lab.black_hole(Isp::A)?;
    // Only if the other one's probe is answered: its replies come in where the default route does not lead out.
    phone.wait_by(Isp::B, Duration::from_secs(10))?;
    status_says(&gateway, "uplink isp-a is lost: no answer through it")?;
    lab.restore(Isp::A)?;
    eventually("newcomers to take it again", {
        let mut hosts = 11..14;
        let lab = &lab;
        move || {
            let host = hosts.next().unwrap_or(13);
            let seen = Phone::new(lab, host)?.seen()?;
            std::thread::sleep(Duration::from_secs(3));
            ensure!(seen.ip() == Isp::A.address(), "{host} is seen at {seen}");
            Ok(())
        }
    })?;
    assert_eq!(phone.seen()?.ip(), Isp::B.address(), "nobody moves in mid-call");
    Ok(())
}

#[test]
fn hold_leaves_calls_alone_when_only_the_probe_fails() -> Result<()> {
    let (lab, _server) = lab()?;
    let mut gateway =
        lab.start(&format!("{POLICY_TWO_UPLINKS}on_uplink_down: hold\nhealth: {{ black_hole: 3s }}\n"))?;
    let phone = Phone::new(&lab, 10)?;
    let before = phone.seen()?;
    lose_probes(&lab, Some(Isp::A))?;
    log_says(&mut gateway, "uplink isp-a carries nothing: no answer through it")?;
    assert_eq!(phone.seen()?, before, "the same session");
    assert_eq!(Phone::new(&lab, 11)?.seen()?.ip(), Isp::B.address(), "a newcomer takes the one that answers");
    gateway.expect_refused(&[])
}

#[test]
fn a_daemon_that_starts_again_moves_nobody() -> Result<()> {
    let (lab, _server) = lab()?;
    let mut gateway = lab.start(POLICY_TWO_UPLINKS)?;
    let phone = Phone::new(&lab, 10)?;
    let first = phone.seen()?;
    gateway.kill()?;
    gateway.restart(None)?;
    assert_eq!(phone.seen()?, first, "the same session");
    lab.cut(Isp::A)?;
    phone.wait_by(Isp::B, Duration::from_secs(5))?;
    let second = phone.seen()?;
    gateway.kill()?;
    assert_eq!(phone.seen()?, second, "without a daemon");
    gateway.restart(None)?;
    let newcomer = Phone::new(&lab, 11)?;
    for _ in 0..20 {
        assert_eq!(phone.seen()?, second, "the same session, though the first uplink is still lost");
        assert_eq!(newcomer.seen()?.ip(), Isp::B.address());
        std::thread::sleep(Duration::from_millis(100));
    }
    gateway.expect_refused(&[])
}

#[test]
fn a_link_that_is_lost_while_no_daemon_looks_is_noticed_by_the_next() -> Result<()> {
    let (lab, _server) = lab()?;
    let mut gateway = lab.start(POLICY_TWO_UPLINKS)?;
    let phone = Phone::new(&lab, 10)?;
    phone.wait_by(Isp::A, Duration::from_secs(5))?;
    gateway.kill()?;
    lab.cut(Isp::A)?;
    gateway.restart(None)?;
    phone.wait_by(Isp::B, Duration::from_secs(5))
}

#[test]
fn an_interface_that_is_made_anew_is_an_uplink_again() -> Result<()> {
    let (lab, _server) = lab()?;
    let mut gateway = lab.start(&format!("{POLICY_TWO_UPLINKS}health: {{ black_hole: 3s }}\n"))?;
    let phone = Phone::new(&lab, 10)?;
    phone.wait_by(Isp::A, Duration::from_secs(5))?;
    lab.gw.ip("link del wan0")?;
    let lost = Instant::now();
    phone.wait_by(Isp::B, Duration::from_secs(5))?;
    ensure!(lost.elapsed() < patience(Duration::from_secs(3)), "it took {:?}", lost.elapsed());
    log_says(&mut gateway, "uplink isp-a is lost: its interface is gone; 1 IPv4 client moves to isp-b")?;
    lab.gw.ip(&format!("link add wan0 type veth peer name eth0 netns {}", lab.internet.name()))?;
    lab.gw.ip(&format!("address add {}/24 dev wan0", Isp::A.address()))?;
    lab.internet.ip(&format!("address add {}/24 dev eth0", Isp::A.next_hop()))?;
    lab.gw.ip("link set wan0 up")?;
    lab.internet.ip("link set eth0 up")?;
    prepare([(&lab.gw, "wan0"), (&lab.internet, "eth0")])?;
    lab.gw.ip(&format!("route add default via {} metric 100", Isp::A.next_hop()))?;
    log_says(&mut gateway, "uplink isp-a is back")?;
    assert_eq!(Phone::new(&lab, 11)?.seen()?.ip(), Isp::A.address());
    assert_eq!(phone.seen()?.ip(), Isp::B.address(), "nobody moves in mid-call");
    Ok(())
}

#[test]
fn a_router_that_is_exchanged_is_no_end_of_a_call() -> Result<()> {
    let (lab, _server) = lab()?;
    let mut gateway = lab.start(POLICY_TWO_UPLINKS)?;
    let phone = Phone::new(&lab, 10)?;
    let before = phone.seen()?;
    eventually("the gateway to know the router", || {
        let uplinks = gateway.json("uplinks")?;
        ensure!(uplinks["uplinks"][0]["next_hops"][0]["hardware"].is_string(), "{uplinks}");
        Ok(())
    })?;
    // A machine with another hardware address says that it has the router's address now.
    lab.internet.sysctl("net/ipv4/conf/eth0/arp_notify", "1")?;
    lab.internet.ip("link set eth0 address 02:00:00:00:51:fe")?;
    eventually("the call to go on", || phone.seen())?;
    assert_eq!(phone.seen()?, before, "the same session");
    log_says(&mut gateway, "198.51.100.254, has another hardware address: 02:00:00:00:51:fe")?;
    // Another router on the same link.
    let router = Ipv4Addr::new(198, 51, 100, 253);
    lab.internet.ip(&format!("address add {router}/24 dev eth0"))?;
    lab.gw.ip(&format!("route replace default via {router} metric 100"))?;
    log_says(&mut gateway, "uplink isp-a has another next hop: 198.51.100.253, no more 198.51.100.254")?;
    assert_eq!(phone.seen()?, before, "the same session");
    Ok(())
}

#[test]
fn the_policys_next_hop_needs_no_route() -> Result<()> {
    let (lab, _server) = lab()?;
    lab.gw.ip("route del default dev wan1")?;
    let named = POLICY_TWO_UPLINKS.replace("interface: wan1 }", "interface: wan1, next_hop: 198.51.101.254 }");
    let gateway = lab.start(&named)?;
    let phone = Phone::new(&lab, 10)?;
    phone.wait_by(Isp::A, Duration::from_secs(5))?;
    lab.cut(Isp::A)?;
    phone
        .wait_by(Isp::B, Duration::from_secs(5))
        .with_context(|| gateway.ctl("status").map(|ran| ran.out).unwrap_or_default())
}

#[test]
fn an_uplink_without_a_way_out_takes_nobody() -> Result<()> {
    let (lab, _server) = lab()?;
    lab.gw.ip("route del default dev wan0")?;
    let gateway = lab.start(POLICY_TWO_UPLINKS)?;
    status_says(&gateway, "uplink isp-a is lost: no default route leads out of it; its IPv4 clients take another")?;
    status_says(&gateway, "Write its router as `next_hop` in the policy")?;
    let phone = Phone::new(&lab, 10)?;
    phone.wait_by(Isp::B, Duration::from_secs(5))?;
    lab.gw.ip(&format!("route add default via {} metric 300", Isp::A.next_hop()))?;
    eventually("newcomers to take it", {
        let mut hosts = 11..14;
        let lab = &lab;
        move || {
            let seen = Phone::new(lab, hosts.next().unwrap_or(13))?.seen()?;
            std::thread::sleep(Duration::from_secs(3));
            ensure!(seen.ip() == Isp::A.address(), "seen at {seen}");
            Ok(())
        }
    })
}

#[test]
fn clients_of_an_uplink_that_leaves_the_policy_move() -> Result<()> {
    let (lab, _server) = lab()?;
    let mut gateway = lab.start(POLICY_TWO_UPLINKS)?;
    let phone = Phone::new(&lab, 10)?;
    phone.wait_by(Isp::A, Duration::from_secs(5))?;
    gateway.kill()?;
    // What the kernel sends by an interface that is no uplink is its own business.
    lab.gw.ip("route del default dev wan0")?;
    gateway.restart(Some(&POLICY_TWO_UPLINKS.replace("  - { name: isp-a, interface: wan0 }\n", "")))?;
    phone.wait_by(Isp::B, Duration::from_secs(5))
}

#[test]
fn weights_share_the_clients() -> Result<()> {
    let (lab, _server) = lab()?;
    lab.add_clients(100..164)?;
    let weighed = POLICY_TWO_UPLINKS
        .replace("interface: wan0 }", "interface: wan0, weight: 3 }")
        .replace("interface: wan1 }", "interface: wan1, weight: 1 }");
    let _gateway = lab.start(&weighed)?;
    let seen = (100..164).map(|host| Ok(Phone::new(&lab, host)?.seen()?.ip())).collect::<Result<Vec<_>>>()?;
    let by_b = seen.iter().filter(|address| **address == Isp::B.address()).count();
    ensure!((10..=22).contains(&by_b), "{by_b} of 64 instead of about 16");
    Ok(())
}
