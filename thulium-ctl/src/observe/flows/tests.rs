use serde_json::json;

use super::*;

const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 1000 * SECOND;

/// A session of a client's port, translated to the same port, opened 100 s ago; 10 packets out and 20 in, the last ones
/// 40 s and 5 s ago.
fn pair(client: [u8; 4], port: u16, flow: u8, protocol: u8, state: TcpState) -> [Half<Address4>; 2] {
    let external = Endpoint::new(Address4::new([198, 51, 100, 1]), Port::new(port + 1));
    let inside = Endpoint::new(Address4::new(client), Port::new(port));
    let key = FlowKey {
        source: inside.address,
        source_port: inside.port,
        destination: Address4::new([203, 0, 113, 7]),
        destination_port: Port::new(15060),
        protocol,
        side: Side::Lan as u8,
        pad: 0,
    };
    let out = FlowEntry {
        rewrite: external,
        last_seen: ticks(NOW - 40 * SECOND),
        opened: NOW - 100 * SECOND,
        packets: 10,
        bytes: 1000,
        hosts: 0b101,
        generation: 3,
        flow,
        state: state as u8,
        path: Path::Tc as u8,
        ..FlowEntry::default()
    };
    let inward = FlowEntry {
        rewrite: inside,
        last_seen: ticks(NOW - 5 * SECOND),
        packets: 20,
        bytes: 2000,
        path: Path::Xdp as u8,
        ..out
    };
    [(key, out), (key.pair(&external), inward)]
}

fn shown(halves: &[Half<Address4>], filter: &Filter) -> Report {
    shown_of_both(&Halves { ipv4: halves.to_vec(), ipv6: Vec::new() }, filter)
}

fn shown_of_both(halves: &Halves, filter: &Filter) -> Report {
    let flows = [(0, "sip".to_owned()), (1, "media".to_owned())].into();
    let hosts = [(0, "thulium".to_owned()), (2, "stun".to_owned())].into();
    let uplinks = [(0, "isp-a".to_owned())].into();
    let lifetime = |_, state| if state == TcpState::Reset { SECOND } else { 300 * SECOND };
    report(halves, Names { flows: &flows, hosts: &hosts, uplinks: &uplinks }, NOW, lifetime, filter)
}

#[test]
fn both_directions_are_one_session() {
    let report = shown(&pair([192, 168, 20, 10], 5060, 0, 17, TcpState::None), &Filter::default());
    let expected = json!({"version": 1, "sessions": [{
        "client": "192.168.20.10:5060", "mapped": "198.51.100.1:5061", "uplink": "isp-a", "remote": "203.0.113.7:15060",
        "hosts": ["thulium", "stun"], "flow": "sip", "protocol": "udp", "state": "two-way",
        "out": {"packets": 10, "bytes": 1000, "path": "tc"}, "in": {"packets": 20, "bytes": 2000, "path": "xdp"},
        "age": 100, "idle": 5, "remaining": 294, "generation": 3,
    }]});
    assert_eq!(serde_json::to_value(&report).unwrap(), expected);
    let text = "\
CLIENT              MAPPED             UPLINK  REMOTE                 FLOW  STATE    PATH    OUT  IN  ENDS IN
192.168.20.10:5060  198.51.100.1:5061  isp-a   203.0.113.7:15060/udp  sip   two-way  tc/xdp   10  20    4m54s

1 session. OUT and IN are packets. PATH is that of the last packet, a/b: out/in.
";
    assert_eq!(report.to_string(), text);
}

#[test]
fn a_half_alone_is_a_session_of_the_same_ends() {
    let [out, inward] = pair([192, 168, 20, 10], 5060, 0, 17, TcpState::None);
    let both = shown(&[out, inward], &Filter::default()).sessions.remove(0);
    for (half, state, idle) in [(out, "one-way", 40), (inward, "two-way", 5)] {
        let alone = shown(&[half], &Filter::default()).sessions.remove(0);
        assert_eq!((alone.client, alone.mapped, alone.remote), (both.client, both.mapped, both.remote));
        assert_eq!((alone.state, alone.idle), (state, idle));
    }
}

#[test]
fn the_path_is_told_once_where_both_directions_take_it() {
    let column = |out: (u64, Path), inward: (u64, Path)| {
        let mut halves = pair([192, 168, 20, 10], 5060, 0, 17, TcpState::None);
        for (half, (packets, path)) in halves.iter_mut().zip([out, inward]) {
            (half.1.packets, half.1.path) = (packets, path as u8);
        }
        path(&shown(&halves, &Filter::default()).sessions[0])
    };
    assert_eq!(column((3, Path::Xdp), (5, Path::Xdp)), "xdp");
    assert_eq!(column((3, Path::Kernel), (5, Path::Tc)), "kernel/tc");
    assert_eq!(column((3, Path::Tc), (0, Path::Kernel)), "tc", "nothing came back yet");
    assert_eq!(column((0, Path::Kernel), (0, Path::Kernel)), "-");
}

#[test]
fn what_has_ended_is_left_out() {
    let ended = pair([192, 168, 20, 10], 5060, 0, 6, TcpState::Reset);
    let report = shown(&ended, &Filter::default());
    assert!(report.sessions.is_empty());
    assert_eq!(report.to_string(), "No live sessions.\n");
    let mut exact = pair([192, 168, 20, 10], 5060, 0, 17, TcpState::None);
    exact.iter_mut().for_each(|(_, half)| half.last_seen = ticks(NOW - 302 * SECOND));
    assert!(shown(&exact, &Filter::default()).sessions.is_empty());
}

#[test]
fn sessions_are_sorted_by_client_and_flow_and_can_be_chosen() {
    let halves: Vec<Half<Address4>> = [
        pair([192, 168, 20, 11], 1000, 0, 6, TcpState::Established),
        pair([192, 168, 20, 9], 1000, 0, 17, TcpState::None),
        pair([192, 168, 20, 9], 1001, 1, 17, TcpState::None),
    ]
    .concat();
    let rows = |filter: &Filter| -> Vec<String> {
        let row = |session: &Session| format!("{} {}", session.client, session.flow.as_deref().unwrap_or("-"));
        shown(&halves, filter).sessions.iter().map(row).collect()
    };
    let all = ["192.168.20.9:1001 media", "192.168.20.9:1000 sip", "192.168.20.11:1000 sip"];
    assert_eq!(rows(&Filter::default()), all);
    let client = Some([192, 168, 20, 9].into());
    assert_eq!(rows(&Filter { client, flow: None }), all[..2]);
    assert_eq!(rows(&Filter { client: None, flow: Some("sip".to_owned()) }), all[1..]);
    assert_eq!(rows(&Filter { client, flow: Some("sip".to_owned()) }), all[1..2]);
}

#[test]
fn a_slot_without_a_name_shows_its_number() {
    let session =
        shown(&pair([192, 168, 20, 10], 5060, 9, 6, TcpState::SynSent), &Filter::default()).sessions.remove(0);
    assert_eq!((session.flow.as_deref(), session.state, session.protocol), (Some("#9"), "syn-sent", "tcp"));
    let none =
        shown(&pair([192, 168, 20, 10], 5060, NO_SLOT, 17, TcpState::None), &Filter::default()).sessions.remove(0);
    assert_eq!(none.flow, None);
}

#[test]
fn sessions_of_both_families_and_of_ping_stand_together() {
    let server = std::net::Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 7);
    let client = std::net::Ipv6Addr::new(0x2001, 0xdb8, 0x20, 0, 0, 0, 0, 0x10);
    let inside = Endpoint::new(Address6::from(client), Port::new(7));
    let key = FlowKey {
        source: inside.address,
        source_port: inside.port,
        destination: server.into(),
        destination_port: Port::new(0),
        protocol: protocol::ICMPV6,
        side: Side::Lan as u8,
        pad: 0,
    };
    let out = FlowEntry { rewrite: inside, last_seen: ticks(NOW), opened: NOW, packets: 1, ..FlowEntry::default() };
    let halves = Halves {
        ipv4: pair([192, 168, 20, 10], 5060, 0, 17, TcpState::None).to_vec(),
        ipv6: vec![(key, out), (key.pair(&inside), out)],
    };
    let report = shown_of_both(&halves, &Filter::default());
    assert_eq!(report.sessions.len(), 2);
    let ping = &report.sessions[1];
    assert_eq!((ping.client.to_string(), ping.client), ("[2001:db8:20::10]:7".to_owned(), ping.mapped));
    assert_eq!((ping.protocol, ping.state), ("icmpv6", "two-way"));
    assert!(report.to_string().contains("2001:db8:7::7/icmpv6"), "{report}");
    let filter = Filter { client: Some(client.into()), flow: None };
    assert_eq!(shown_of_both(&halves, &filter).sessions.len(), 1);
}
