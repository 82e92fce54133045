use serde_json::json;
use thulium_ebpf::abi::{Address4, Counter, NO_SLOT, Path, Side, TRAFFIC_SLOTS};

use super::*;

const NOW: u64 = 1_800_000_000;

/// Two uplinks: isp-a in slot 0, with clients, and isp-b in slot 1; a former one in slot 2.
fn shown(watcher: Watcher) -> Report {
    let uplink = |state: UplinkState, last| Uplink {
        interface: 4,
        address: Address4::new([198, 51, 100, last]),
        translates: 1,
        state: state as u32,
        ..Uplink::default()
    };
    let client =
        |uplink, sessions| (IpAddr::from([192, 168, 20, 10]), Client { uplink, sessions, ..Client::default() });
    let mut traffic = vec![Traffic::default(); TRAFFIC_SLOTS];
    // Of two LAN interfaces, by two paths.
    *traffic[Traffic::place(0, 0) as usize].counter(Side::Lan, Path::Tc) = Counter { packets: 7, bytes: 2000 };
    *traffic[Traffic::place(3, 0) as usize].counter(Side::Lan, Path::Kernel) = Counter { packets: 3, bytes: 48 };
    *traffic[Traffic::place(0, 0) as usize].counter(Side::Uplink, Path::Xdp) = Counter { packets: 20, bytes: 4096 };
    let maps = Maps {
        uplinks: &[uplink(UplinkState::Lost, 1), uplink(UplinkState::Up, 2), uplink(UplinkState::Unused, 3)],
        names: &[(0, "isp-a".to_owned()), (1, "isp-b".to_owned()), (2, "former".to_owned())].into(),
        traffic: &traffic,
        losses: &[UplinkLosses { lost_sessions: 3, moved_clients: 2 }],
        clients: &[client(0, 2), client(0, 0), client(1, 1), client(u32::from(NO_SLOT), 0)],
        interfaces: &[(0, "eth0".to_owned()), (1, "eth2".to_owned())].into(),
        sessions: &[("isp-b".to_owned(), 1)].into(),
    };
    report(maps, watcher, NOW)
}

fn told(name: &str, slot: u8, state: UplinkCondition) -> UplinkReport {
    UplinkReport {
        name: name.to_owned(),
        slot,
        interface: format!("eth{slot}"),
        link: Link::Up,
        state,
        since: NOW - 130,
        why: None,
        remedy: None,
        waits_for: None,
        address: Some(Ipv4Addr::new(198, 51, 100, slot + 1)),
        translates: true,
        ipv6: None,
        next_hops: Vec::new(),
        weight: None,
        share: 64,
        probe: ProbeReport {
            target: Some("203.0.113.10:443".parse().unwrap()),
            untested: None,
            answered: Some(true),
            at: Some(NOW - 1),
            round_trip: Some(12_345),
            failures: 0,
        },
    }
}

#[test]
fn the_maps_alone_say_what_is_carried_and_that_nobody_watches() {
    let links = [("eth0".to_owned(), Link::Up), ("eth2".to_owned(), Link::NoCarrier)].into();
    let report = shown(Watcher::Nobody { why: "Nobody watches the uplinks.".to_owned(), links });
    let states: Vec<_> = report.uplinks.iter().map(|uplink| (uplink.name.as_str(), uplink.last_known)).collect();
    assert_eq!(states, [("isp-a", Some(UplinkCondition::Lost)), ("isp-b", Some(UplinkCondition::Up))]);
    let expected = json!({
        "name": "isp-a", "interface": "eth0", "state": null, "last_known": "lost", "link": "up", "address": "198.51.100.1", "translates": true,
        "clients": {"pinned": 2, "with_sessions": 1}, "sessions": 0,
        "out": {"packets": 10, "bytes": 2048}, "in": {"packets": 20, "bytes": 4096},
        "lost_sessions": 3, "moved_clients": 2,
    });
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!((&json["uplinks"][0], &json["watched"]), (&expected, &json!(false)));
    let text = "\
isp-a on eth0: last known: LOST
  address   198.51.100.1
  clients   2 pinned, 1 of them with sessions; 2 moved away
  sessions  0; lost with it or its address: 3
  out       10 packets, 2.0 KiB
  in        20 packets, 4.0 KiB

isp-b on eth2: last known: up; now its interface has no carrier
  address   198.51.100.2
  clients   1 pinned, 1 of them with sessions
  sessions  1
  out       0 packets, 0 B
  in        0 packets, 0 B

! Nobody watches the uplinks.
";
    assert_eq!(report.to_string(), text);
}

#[test]
fn the_daemon_adds_health_and_what_to_do() {
    let failing = UplinkReport {
        why: Some("nothing answers through it".to_owned()),
        remedy: Some("Ask the provider.".to_owned()),
        waits_for: Some("2 more answers to its probe".to_owned()),
        next_hops: vec![NextHopReport {
            address: [198, 51, 100, 254].into(),
            from_policy: false,
            hardware: Some("02:00:00:00:51:fe".to_owned()),
            silent: true,
        }],
        share: 0,
        probe: ProbeReport { answered: Some(false), failures: 4, ..told("", 0, UplinkCondition::Lost).probe },
        ..told("isp-a", 0, UplinkCondition::Lost)
    };
    // The policy's order is not that of the slots.
    let report = shown(Watcher::Daemon(vec![told("isp-b", 1, UplinkCondition::Up), failing]));
    let text = "\
isp-b on eth1: up for 2m10s
  address   198.51.100.2
  probe     203.0.113.10:443 answers in 12.3 ms, 1s ago
  clients   1 pinned, 1 of them with sessions; new ones take it
  sessions  1
  out       0 packets, 0 B
  in        0 packets, 0 B

isp-a on eth0: LOST for 2m10s, its IPv4 clients move: nothing answers through it
  address   198.51.100.1
  next hop  198.51.100.254 at 02:00:00:00:51:fe, does not answer
  probe     203.0.113.10:443 did not answer the last 4 probes, 1s ago
  waits for 2 more answers to its probe
  clients   2 pinned, 1 of them with sessions; 2 moved away; new ones take another
  sessions  0; lost with it or its address: 3
  out       10 packets, 2.0 KiB
  in        20 packets, 4.0 KiB

! isp-a: nothing answers through it. Ask the provider.
";
    assert_eq!(report.to_string(), text);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!((&json["uplinks"][1]["why"], &json["watched"]), (&json!("nothing answers through it"), &json!(true)));
    assert_eq!(json["uplinks"][0]["probe"]["round_trip"], json!(12_345));
}

#[test]
fn shares_are_of_new_clients_and_nothing_lasts_for_no_time() {
    let probe = ProbeReport { answered: Some(false), failures: 1, ..told("", 0, UplinkCondition::Up).probe };
    let failing = UplinkReport {
        since: NOW,
        why: Some("no answer through it".to_owned()),
        share: 48,
        probe,
        ..told("isp-a", 0, UplinkCondition::Failing)
    };
    let report = shown(Watcher::Daemon(vec![failing]));
    let text = report.to_string();
    assert!(text.starts_with("isp-a on eth0: FAILING: no answer through it\n"), "{text}");
    assert!(text.contains("; 75 % of new ones take it\n"), "{text}");
    assert_eq!(report.advice, Vec::<String>::new(), "there is nothing to do yet");
}

#[test]
fn a_probe_that_was_not_made_says_so() {
    let probe = |target: Option<&str>, untested: Option<&str>| {
        let probe = ProbeReport {
            target: target.map(|target| target.parse().unwrap()),
            untested: untested.map(str::to_owned),
            answered: None,
            at: None,
            round_trip: None,
            failures: 0,
        };
        let told = UplinkReport { probe, ..told("isp-a", 0, UplinkCondition::Up) };
        let text = shown(Watcher::Daemon(vec![told])).to_string();
        text.lines().find_map(|line| line.strip_prefix("  probe     ")).unwrap().to_owned()
    };
    assert_eq!(probe(None, Some("there is only one uplink")), "not tested: there is only one uplink");
    assert_eq!(probe(Some("203.0.113.10:443"), None), "203.0.113.10:443 not tested yet");
    assert_eq!(probe(None, None), "not tested");
}
