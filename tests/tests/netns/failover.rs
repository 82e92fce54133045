//! T10: with several uplinks a client has one public address from login to logout. It moves only when its uplink is gone, and whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use thulium_tests::{
    lab::{Gateway, Isp, Lab, POLICY_TWO_UPLINKS, THULIUM, THULIUM6, client, eventually, patience, within},
    packet::Capture,
    peer::{Echo, Kind, Office, Seen, ask},
};

/// Where tests ask for the public address of a client that is not of the office.
const ELSEWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(THULIUM), 17_000);
/// What a busy machine may take beside what the policy allows: nothing of it is the gateway's.
const MACHINE: Duration = Duration::from_secs(2);
/// How long a browser of the office takes to give a connection up, at most, and to connect anew.
const BROWSER: Duration = Duration::from_secs(3);

/// A lab with two uplinks.
fn lab() -> Result<Lab> {
    let lab = Lab::new()?;
    lab.add_uplink(Isp::B)?;
    // 50 clients, and newcomers.
    lab.add_clients(100..200)?;
    Ok(lab)
}

#[test]
fn a_link_that_is_cut_moves_fifty_clients_together() -> Result<()> {
    fails_over(Lab::cut, Duration::from_secs(1))
}

#[test]
fn a_link_that_goes_silent_moves_fifty_clients_together() -> Result<()> {
    fails_over(Lab::black_hole, Duration::from_secs(10))
}

/// Clients with a registration, a call and HTTPS each lose their uplink, work by the other within `limit`, and stay there.
fn fails_over(lose: fn(&Lab, Isp) -> Result<()>, limit: Duration) -> Result<()> {
    let lab = lab()?;
    let gateway = lab.start(POLICY_TWO_UPLINKS)?;
    let _elsewhere = Echo::new(&lab.internet, &[ELSEWHERE])?;
    let office = Office::new(&lab, THULIUM, 100..150)?;
    office.wait_by(Isp::A.address(), Instant::now(), Duration::from_secs(10))?;
    lose(&lab, Isp::A)?;
    let lost = Instant::now();
    let phones = office.wait_for(&[Kind::Sip, Kind::Media], Isp::B.address(), lost, limit + MACHINE);
    phones.with_context(|| uplinks(&gateway))?;
    // A browser waits for a while for an answer by its old connection.
    office.wait_by(Isp::B.address(), lost, BROWSER + MACHINE).with_context(|| uplinks(&gateway))?;
    moved_whole(&office.take_seen(), Isp::A, Isp::B)?;

    lab.restore(Isp::A)?;
    is_taken_by_newcomers(&lab, Isp::A)?;
    // A second of the calls after that, and the beginning of others.
    office.wait_by(Isp::B.address(), Instant::now() + Duration::from_secs(1), Duration::from_secs(5))?;
    let seen = office.take_seen();
    let moved: Vec<_> = seen.iter().filter(|seen| seen.address != Isp::B.address()).collect();
    ensure!(moved.is_empty(), "in mid-call, back to the first uplink: {moved:?}");
    Ok(())
}

/// Everything of all clients came by one uplink, and then by the other: no client was seen with two addresses at a time, and none
/// was left behind.
fn moved_whole(seen: &[Seen], from: Isp, to: Isp) -> Result<()> {
    let first = seen.iter().position(|seen| seen.address == to.address()).context("nobody moved")?;
    let (before, after) = seen.split_at(first);
    let strays = |seen: &[Seen], at: Isp| -> Vec<Seen> {
        seen.iter().filter(|seen| seen.address != at.address()).copied().collect()
    };
    let (early, late) = (strays(before, from), strays(after, to));
    ensure!(early.is_empty() && late.is_empty(), "before the move {early:?}, after it {late:?}");
    Ok(())
}

/// Waits until a client that nobody has seen before leaves by `isp`.
fn is_taken_by_newcomers(lab: &Lab, isp: Isp) -> Result<()> {
    let mut hosts = 150..200;
    within(Duration::from_secs(30), &format!("newcomers to take {}", isp.name()), || {
        let host = hosts.next().context("too many newcomers")?;
        let seen = ask(&lab.lan.udp((client(host), 5060))?, ELSEWHERE, b"a newcomer")?;
        // They are few: so another one comes in a while.
        std::thread::sleep(Duration::from_millis(500));
        ensure!(seen.ip() == isp.address(), "{host} was seen at {seen}");
        Ok(())
    })
}

fn uplinks(gateway: &Gateway<'_>) -> String {
    gateway.ctl("uplinks").map(|ran| ran.out).unwrap_or_default()
}

/// With `on_uplink_down: hold` clients wait for their uplink, and go on there.
#[test]
fn clients_that_are_to_hold_wait_for_their_uplink() -> Result<()> {
    let lab = lab()?;
    let gateway = lab.start(&format!("{POLICY_TWO_UPLINKS}on_uplink_down: hold\n"))?;
    let office = Office::new(&lab, THULIUM, 100..110)?;
    office.wait_by(Isp::A.address(), Instant::now(), Duration::from_secs(10))?;
    lab.cut(Isp::A)?;
    eventually("packets to be refused", || {
        let refused = gateway.refused()?;
        ensure!(refused.of("uplink-down") > 0, "{refused}");
        Ok(())
    })?;
    let status = gateway.json("status")?;
    let told = &status["datapath"]["uplinks"];
    let ready = status["daemon"]["since"].as_u64().context("a daemon")?;
    ensure!(told[0]["state"] == "held" && told[1]["state"] == "up", "{told}");
    ensure!(told[0]["since"].as_u64().is_some_and(|since| since >= ready), "{told}");
    ensure!(told[0]["why"].is_string() && told[1]["why"].is_null(), "{told}");
    lab.restore(Isp::A)?;
    office.wait_by(Isp::A.address(), Instant::now(), Duration::from_secs(20)).with_context(|| uplinks(&gateway))?;
    let seen = office.take_seen();
    ensure!(seen.iter().all(|seen| seen.address == Isp::A.address()), "somebody moved: {seen:?}");
    Ok(())
}

/// Who says nothing until its sessions are over returns; who goes on talking does not.
#[test]
fn idle_clients_return_and_talking_ones_do_not() -> Result<()> {
    let lab = lab()?;
    let gateway = lab.start(&format!("{POLICY_TWO_UPLINKS}sessions: {{ udp_idle: 50s }}\n"))?;
    let _server = Echo::new(&lab.internet, &[ELSEWHERE])?;
    let [idle, talking] = [100, 101].map(|host| lab.lan.udp((client(host), 5060)));
    let (idle, talking) = (idle?, talking?);
    let by = |socket: &std::net::UdpSocket| anyhow::Ok(ask(socket, ELSEWHERE, b"hello")?.ip());
    assert_eq!([by(&idle)?, by(&talking)?], [Isp::A.address(); 2]);
    lab.cut(Isp::A)?;
    for socket in [&idle, &talking] {
        socket.set_read_timeout(Some(patience(Duration::from_millis(300))))?;
        eventually("both to move", || {
            ensure!(by(socket)? == Isp::B.address(), "not yet");
            Ok(())
        })
        .with_context(|| uplinks(&gateway))?;
    }
    lab.restore(Isp::A)?;
    is_taken_by_newcomers(&lab, Isp::A)?;
    // The lifetime of a session, from the last answer on: nothing else can be waited for.
    let silence = Instant::now() + Duration::from_secs(51);
    while Instant::now() < silence {
        assert_eq!(by(&talking)?, Isp::B.address(), "moved in mid-call");
        std::thread::sleep(Duration::from_secs(1));
    }
    assert_eq!([by(&idle)?, by(&talking)?], [Isp::A, Isp::B].map(Isp::address));
    Ok(())
}

/// A DHCP server gives another address in mid-call: registration, call and HTTPS go on under it, and nothing under the old one.
#[test]
fn another_address_in_mid_call_is_taken_at_the_next_packet() -> Result<()> {
    let lab = lab()?;
    let gateway = lab.start(POLICY_TWO_UPLINKS)?;
    let office = Office::new(&lab, THULIUM, 100..105)?;
    office.wait_by(Isp::A.address(), Instant::now(), Duration::from_secs(10))?;
    let new = Ipv4Addr::new(198, 51, 100, 9);
    let interface = Isp::A.interface();
    lab.gw.sysctl(&format!("net/ipv4/conf/{interface}/promote_secondaries"), "1")?;
    lab.gw.ip(&format!("address add {new}/24 dev {interface}"))?;
    lab.gw.ip(&format!("address del {}/24 dev {interface}", Isp::A.address()))?;
    lab.gw.ip(&format!("route replace default via {} metric 100", Isp::A.next_hop()))?;
    office.wait_by(new, Instant::now(), Duration::from_secs(10)).with_context(|| uplinks(&gateway))?;
    let mut addresses = BTreeMap::<(u8, Kind), BTreeSet<Ipv4Addr>>::new();
    for seen in office.take_seen() {
        addresses.entry((seen.host, seen.kind)).or_default().insert(seen.address);
    }
    let expected = BTreeSet::from([Isp::A.address(), new]);
    ensure!(addresses.values().all(|seen| *seen == expected), "by other ways, too: {addresses:?}");
    office.wait_by(new, Instant::now() + Duration::from_millis(500), Duration::from_secs(5))?;
    ensure!(office.take_seen().iter().all(|seen| seen.address == new), "an old address came back");
    Ok(())
}

/// IPv6 is not translated: it leaves by the uplink of its prefix, or not at all, and the other prefix does not notice.
#[test]
fn ipv6_leaves_by_the_uplink_of_its_prefix_or_not_at_all() -> Result<()> {
    const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(THULIUM6), 16_000);
    let lab = Lab::new()?;
    lab.enable_ipv6()?;
    lab.add_uplink(Isp::B)?;
    lab.enable_ipv6_by(Isp::B)?;
    // A prefix of nobody.
    for (namespace, interface, host) in [(&lab.gw, "lan0", 1), (&lab.lan, "eth0", 0x10)] {
        namespace.ip(&format!("address add {}/64 dev {interface} nodad", Isp::C.client6(host)))?;
    }
    let policy = POLICY_TWO_UPLINKS
        .replace("wan0 }", "wan0, prefixes: ['2001:db8:20::/64'] }")
        .replace("wan1 }", "wan1, prefixes: ['2001:db8:21::/64'] }")
        .replace("[203.0.113.10]", "[203.0.113.10, '2001:db8:7::10']");
    let gateway = lab.start(&policy)?;
    let _server = Echo::new(&lab.internet, &[SERVER])?;
    let [a, b, nobody] = [Isp::A, Isp::B, Isp::C].map(|isp| lab.lan.udp((isp.client6(0x10), 5060)));
    let (a, b, nobody) = (a?, b?, nobody?);
    for (socket, isp) in [(&a, Isp::A), (&b, Isp::B)] {
        let wire = Capture::new(&lab.internet, isp.far_interface())?;
        ask(socket, SERVER, b"by its own uplink")?;
        wire.next(|packet| packet.ends_with(b"by its own uplink"))?;
    }
    nobody.send_to(b"by none", SERVER)?;
    gateway.expect_refused(&["uplink-prefix out lan0 ipv6: 1"])?;

    lab.cut(Isp::A)?;
    eventually("new sessions to be refused", || {
        lab.lan.udp((Isp::A.client6(0x10), 0))?.send_to(b"by none", SERVER)?;
        let refused = gateway.refused()?;
        ensure!(refused.of("uplink-down") > 0, "{refused}");
        Ok(())
    })
    .with_context(|| uplinks(&gateway))?;
    ask(&b, SERVER, b"as before")?;
    lab.restore(Isp::A)?;
    a.set_read_timeout(Some(patience(Duration::from_millis(300))))?;
    within(Duration::from_secs(20), "the prefix to work again", || ask(&a, SERVER, b"again"))?;
    Ok(())
}
