use thulium_ebpf::abi::Family;

use super::*;
use crate::{
    names::{AddressBook, Answer},
    observe::{
        clients::ClientUse,
        drops::Sum,
        traffic::{InterfacePaths, Share},
    },
    policy::Host,
    uplinks::UplinkCondition,
};

fn attachment(name: &str, role: Role, tc: Hook) -> Attachment {
    let why = if tc == Hook::None { "it is gone" } else { "veth: XDP cannot see unfinished checksums" };
    Attachment { name: name.to_owned(), role, tc, xdp: Hook::None, forwards: false, why: why.to_owned() }
}

fn datapath() -> DatapathFacts {
    DatapathFacts {
        mode: Some(Mode::Enforce),
        generation: 4,
        interfaces: vec![attachment("eth1", Role::Lan, Hook::Tcx), attachment("eth0", Role::Uplink, Hook::Clsact)],
        paths: vec![
            InterfacePaths {
                interface: "eth1".to_owned(),
                xdp: Share { packets: 981, bytes: 98_100, share: 981 },
                tc: Share { packets: 19, bytes: 1900, share: 19 },
                kernel: Share::default(),
            },
            InterfacePaths { interface: "eth0".to_owned(), ..InterfacePaths::default() },
        ],
        uplinks: vec![UplinkFacts {
            name: "isp-a".to_owned(),
            interface: "eth0".to_owned(),
            state: None,
            last_known: Some(UplinkCondition::Up),
            address: Some([198, 51, 100, 1].into()),
            translates: true,
            lost_address: false,
            foreign_address: false,
            ipv6: None,
            link: None,
            since: None,
            why: None,
        }],
        sessions: SessionUse::of(12, 0, 262_144),
        clients: ClientUse { known: 3, at_limit: 0 },
        dropped: Sum { packets: 1201, bytes: 1_048_576 },
        would_drop: Sum::default(),
    }
}

fn daemon() -> DaemonFacts {
    DaemonFacts {
        pid: 412,
        since: 900,
        release: "0.1.0".to_owned(),
        policy: "/etc/thulium/policy.yaml".into(),
        system: "acme".to_owned(),
        mode: Mode::Enforce,
        interfaces: Vec::new(),
        uplinks: Default::default(),
        conditions: Default::default(),
        uplink_warnings: Vec::new(),
        unresolved: Vec::new(),
        warnings: Vec::new(),
    }
}

fn judged(datapath: Option<DatapathFacts>, daemon: DaemonState) -> Report {
    report(Facts { instance: "default".to_owned(), datapath, daemon }, 1000)
}

fn serving(daemon: DaemonFacts) -> DaemonState {
    DaemonState::Serving(Box::new(daemon))
}

#[test]
fn all_well_is_one_screen_with_the_verdict_first() {
    let report = judged(Some(datapath()), serving(daemon()));
    let expected = "\
ENFORCING

instance    default
daemon      process 412, version 0.1.0, ready 1m40s ago
policy      /etc/thulium/policy.yaml, system acme
mode        enforce, policy generation 4
interfaces  eth1 (LAN): TC tcx, XDP off (veth: XDP cannot see unfinished checksums)
            eth0 (uplink): TC clsact, XDP off (veth: XDP cannot see unfinished checksums)
paths       eth1: XDP 98.1 % (981 packets), TC 1.9 % (19 packets)
            eth0: no packet of a session yet
            (packets of sessions that came in there, since the first start or the last `down`)
uplinks     isp-a on eth0: 198.51.100.1
sessions    12 of 262144; tables of 95 MiB, 131 MiB when full
clients     3
refused     1201 packets, 1.0 MiB
";
    assert_eq!(report.to_string(), expected);
    assert!(report.is_running());
}

#[test]
fn the_json_tells_datapath_and_daemon_apart() {
    let json = serde_json::to_value(judged(Some(datapath()), DaemonState::None)).unwrap();
    assert_eq!(json["version"], 1);
    assert_eq!(json["verdict"], "unserved");
    assert_eq!((&json["datapath"]["attached"], &json["daemon"]["serving"]), (&true.into(), &false.into()));
    assert_eq!(json["datapath"]["interfaces"][1]["tc"], "clsact");
    assert_eq!(json["datapath"]["dropped"]["packets"], 1201);
    let json = serde_json::to_value(judged(None, serving(daemon()))).unwrap();
    assert_eq!((&json["datapath"]["attached"], &json["daemon"]["serving"]), (&false.into(), &true.into()));
    assert_eq!(json["daemon"]["pid"], 412);
}

#[test]
fn only_attached_and_served_is_running() {
    let mut partly = datapath();
    partly.interfaces[1] = attachment("eth0", Role::Uplink, Hook::None);
    let mut empty = datapath();
    empty.interfaces.clear();
    let broken = || DaemonState::Broken("no reply within 3 s".to_owned());
    for (datapath, daemon, verdict, said) in [
        (None, DaemonState::None, Verdict::NotRunning, "NOT RUNNING\n  Nothing is enforced"),
        (None, serving(daemon()), Verdict::NotAttached, "NOT ATTACHED, though a daemon runs\n"),
        (Some(empty), serving(daemon()), Verdict::NotAttached, "NOT ATTACHED"),
        (None, broken(), Verdict::NotAttached, "no reply within 3 s"),
        (Some(datapath()), DaemonState::None, Verdict::Unserved, "ATTACHED, but no daemon serves it\n"),
        (Some(datapath()), broken(), Verdict::Unserved, "no reply within 3 s"),
        (Some(partly), serving(daemon()), Verdict::PartlyAttached, "interface eth0 is not attached: it is gone"),
    ] {
        let report = judged(datapath, daemon);
        assert_eq!(report.verdict, verdict);
        assert!(!report.is_running(), "{verdict:?}");
        assert!(report.to_string().contains(said), "{report}");
    }
}

#[test]
fn audit_says_that_nothing_is_refused() {
    let audit = DatapathFacts { mode: Some(Mode::Audit), would_drop: Sum { packets: 1, bytes: 60 }, ..datapath() };
    let report = judged(Some(audit), serving(daemon()));
    let text = report.to_string();
    assert!(report.is_running());
    assert!(text.starts_with("AUDIT: nothing is refused, only counted · 1 warning\n"), "{text}");
    assert!(text.contains("\nwould drop  1 packet, 60 B\n"), "{text}");
    assert!(text.contains("`mode: enforce` would have refused 1 packet"), "{text}");
}

#[test]
fn the_daemons_mode_stands_in_for_an_unknown_one() {
    let unknown = DatapathFacts { mode: None, ..datapath() };
    let audit = DaemonFacts { mode: Mode::Audit, ..daemon() };
    assert_eq!(judged(Some(unknown), serving(audit)).verdict, Verdict::Audit);
}

#[test]
fn warnings_say_what_to_do_most_urgent_first() {
    let host = |name: &str, dns: &[&str]| Host {
        name: name.to_owned(),
        names: dns.iter().map(|dns| (*dns).to_owned()).collect(),
        addresses: Vec::new(),
        keep_old: std::time::Duration::from_secs(60),
        private_answers: false,
    };
    let now = std::time::UNIX_EPOCH + std::time::Duration::from_secs(800);
    let mut book = AddressBook::new(&[host("thulium", &["a.test", "b.test"]), host("stun", &["stun.test"])]);
    let ttl = std::time::Duration::from_secs(60);
    book.observe("a.test", &Answer { family: Family::Ipv4, addresses: [[192, 0, 2, 1].into()].into(), ttl }, now);
    book.fail("b.test", Family::Ipv4, "the name does not exist (NXDOMAIN)", now);
    book.fail("stun.test", Family::Ipv4, "no resolver answered in time", now);
    let daemon = DaemonFacts {
        unresolved: unresolved(&book.report(now)),
        uplink_warnings: vec![Warning::new("uplink isp-b is lost", "")],
        warnings: vec![Warning::new("no flow leads to the host `spare`", "")],
        ..daemon()
    };
    let mut full = datapath();
    full.uplinks[0].address = None;
    full.sessions = SessionUse::of(90, 0, 100);
    full.clients.at_limit = 1;
    let report = judged(Some(full), serving(daemon));
    let text = report.to_string();
    assert!(text.starts_with("ENFORCING · 7 warnings\n"), "{text}");
    let whats: Vec<&str> = report.warnings.iter().map(|warning| warning.what.as_str()).collect();
    assert_eq!(
        whats,
        [
            "uplink isp-a has no IPv4 address: IPv4 clients can open nothing through it",
            "the IPv4 session table is nearly full: 90 of 100",
            "1 client at the limit of sessions or ports",
            "uplink isp-b is lost",
            "b.test does not resolve: the name does not exist (NXDOMAIN); host thulium goes on with the 1 address that the daemon knows",
            "stun.test does not resolve: no resolver answered in time; nothing can be opened to host stun",
            "no flow leads to the host `spare`",
        ]
    );
    assert!(
        text.contains(
            "\n! uplink isp-a has no IPv4 address: IPv4 clients can open nothing through it\n  `ip -4 address"
        )
    );
}

/// What the daemon sees of the uplink when all is well.
fn seen() -> UplinkNow {
    UplinkNow {
        name: "isp-a".to_owned(),
        link: Link::Up,
        address: Some([198, 51, 100, 1].into()),
        is_own: true,
        ipv6: Some("2001:db8::1".parse().unwrap()),
    }
}

/// The screen when this is what the daemon sees of the uplink.
fn with_uplink(now: UplinkNow) -> String {
    let mut datapath = datapath();
    datapath.uplinks[0].update(now);
    datapath.uplinks[0].state = Some(UplinkCondition::Up);
    judged(Some(datapath), serving(daemon())).to_string()
}

#[test]
fn an_uplink_that_carries_nothing_is_told() {
    let up = with_uplink(seen());
    assert!(up.starts_with("ENFORCING\n") && up.contains("isp-a on eth0: 198.51.100.1, 2001:db8::1\n"), "{up}");
    let down = with_uplink(UplinkNow { link: Link::Down, ..seen() });
    assert!(down.starts_with("ENFORCING · 1 warning\n"), "{down}");
    assert!(down.contains("\n! uplink isp-a is down: nothing gets out\n  `ip link set eth0 up`\n"), "{down}");
    let pulled = with_uplink(UplinkNow { link: Link::NoCarrier, ..seen() });
    assert!(pulled.contains("no carrier: nothing gets out\n  Check the cable"), "{pulled}");
}

#[test]
fn what_an_uplink_does_for_clients_is_in_its_line() {
    let line = |state, last_known| {
        let mut datapath = datapath();
        (datapath.uplinks[0].state, datapath.uplinks[0].last_known) = (state, last_known);
        let text = judged(Some(datapath), serving(daemon())).to_string();
        text.lines().find_map(|line| line.strip_prefix("uplinks     ")).unwrap().to_owned()
    };
    assert_eq!(line(Some(UplinkCondition::Lost), None), "isp-a on eth0: LOST, 198.51.100.1");
    assert_eq!(line(Some(UplinkCondition::Held), None), "isp-a on eth0: HELD, 198.51.100.1");
    assert_eq!(line(Some(UplinkCondition::Down), None), "isp-a on eth0: DOWN, 198.51.100.1");
    assert_eq!(line(Some(UplinkCondition::Up), None), "isp-a on eth0: 198.51.100.1");
    assert_eq!(line(None, Some(UplinkCondition::Lost)), "isp-a on eth0: last known LOST, 198.51.100.1");
}

#[test]
fn an_address_that_went_away_is_shown_as_the_last() {
    let text = with_uplink(UplinkNow { address: None, is_own: false, ipv6: None, ..seen() });
    assert!(text.contains("isp-a on eth0: no IPv4 address (last 198.51.100.1)\n"), "{text}");
    assert!(text.contains("! uplink isp-a has no IPv4 address"), "{text}");
}

#[test]
fn an_address_that_the_interface_does_not_have_is_told() {
    let text = with_uplink(UplinkNow { is_own: false, ..seen() });
    assert!(text.contains("! uplink isp-a: eth0 does not have 198.51.100.1, which `source_nat` names\n"), "{text}");
    assert!(text.contains("Replies come back only if the provider routes it here."), "{text}");
}

#[test]
fn a_full_table_is_in_the_verdict() {
    for (ipv4, ipv6, family, used) in [(26_214, 0, "IPv4", 26_214), (6, 6_554, "IPv6", 6_554)] {
        let full = DatapathFacts { sessions: SessionUse::of(ipv4, ipv6, 26_214), ..datapath() };
        let text = judged(Some(full), serving(daemon())).to_string();
        assert!(text.starts_with("ENFORCING · FULL: new sessions are refused · 1 warning\n"), "{text}");
        let told = format!("! the {family} session table is full ({used} of {used}): new sessions are refused\n");
        assert!(text.contains(&told), "{text}");
    }
}

#[test]
fn another_instance_is_started_by_its_own_command() {
    let facts = Facts { instance: "office-2".to_owned(), datapath: None, daemon: DaemonState::None };
    let text = report(facts, 1000).to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("`thulium-ctl --instance office-2 run --policy FILE`"), "{text}");
    assert!(!text.contains("systemctl"), "{text}");
}

#[test]
fn what_the_daemon_says_comes_over_the_socket_whole() {
    let mut said = daemon();
    said.interfaces = datapath().interfaces;
    said.uplinks.insert("eth0".to_owned(), seen());
    let why = Some("no answer through it".to_owned());
    said.conditions.insert("eth0".to_owned(), UplinkHealth { state: UplinkCondition::Lost, since: 950, why });
    let line = serde_json::to_string(&said).unwrap();
    assert_eq!(serde_json::from_str::<DaemonFacts>(&line).unwrap(), said);
    let bare = serde_json::to_string(&daemon()).unwrap();
    assert_eq!(serde_json::from_str::<DaemonFacts>(&bare).unwrap(), daemon());
}
