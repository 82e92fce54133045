use serde_json::json;

use super::*;

const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 1000 * SECOND;

fn settings() -> Settings {
    Settings {
        per_client: 100,
        ports_per_client: 50,
        session_cost: SECOND / 10,
        release_after_idle: 12 * 3600 * SECOND,
        ..Settings::default()
    }
}

/// A client that has had sessions for 70 s and has opened one now.
fn client(sessions: u64, ports: u64) -> Client {
    let spent_until = NOW - 4 * SECOND + SECOND / 10;
    Client { sessions, ports, since: NOW - 70 * SECOND, pinned: NOW - 70 * SECOND, spent_until, ..Client::default() }
}

fn shown(clients: &[(&str, Client)]) -> Report {
    let clients: Vec<_> = clients.iter().map(|(address, client)| (address.parse().unwrap(), *client)).collect();
    let slots = |a: &str, b: &str| Slots::from([(0, a.to_owned()), (1, b.to_owned())]);
    let known = Known {
        settings: &settings(),
        uplinks: &slots("isp-a", "isp-b"),
        interfaces: &slots("eth0", "eth2"),
        saved: &SavedPins::default(),
        clocks: Clocks { wall: 1_800_000_000, datapath: NOW },
    };
    report(&clients, known)
}

#[test]
fn a_client_shows_its_shares_and_what_was_refused() {
    let flooder =
        Client { refused_sessions: 180, refused_ports: 3, refused_rate: 7, spent_until: NOW, ..client(100, 20) };
    let report = shown(&[("192.168.20.11", flooder)]);
    let expected = json!({"version": 1, "clients": [{
        "client": "192.168.20.11", "uplink": "eth0", "age": 70,
        "pin": {"uplink": "isp-a", "age": 70, "idle": null, "why": "first", "from": null},
        "sessions": {"used": 100, "limit": 100}, "ports": {"used": 20, "limit": 50},
        "rate": {"left": 0, "burst": 40, "per_second": 10},
        "refused": {"sessions": 180, "ports": 3, "rate": 7},
    }]});
    assert_eq!(serde_json::to_value(&report).unwrap(), expected);
}

#[test]
fn who_is_nearest_to_a_limit_comes_first() {
    let report = shown(&[
        ("192.168.20.10", client(3, 3)),
        ("2001:db8:20::10", client(60, 0)),
        ("192.168.20.12", client(50, 50)),
        ("192.168.20.9", client(3, 3)),
    ]);
    let order: Vec<String> = report.clients.iter().map(|client| client.client.to_string()).collect();
    assert_eq!(order, ["192.168.20.12", "2001:db8:20::10", "192.168.20.9", "192.168.20.10"]);
}

#[test]
fn those_at_a_limit_are_counted() {
    let address = IpAddr::from([192, 168, 20, 10]);
    let clients = [client(99, 49), client(100, 1), client(1, 50), client(0, 3)].map(|client| (address, client));
    assert_eq!(usage(&clients, &settings()), ClientUse { known: 4, at_limit: 2 });
}

#[test]
fn the_text_fits_a_screen() {
    let flooder = Client { refused_sessions: 180, refused_rate: 7, ..client(100, 20) };
    let text = shown(&[("192.168.20.10", client(2, 1)), ("192.168.20.11", flooder)]).to_string();
    let expected = "\
CLIENT         UPLINK  SINCE  IDLE  MOVED    SESSIONS     PORTS       NEW  REFUSED
192.168.20.11  isp-a   1m10s     -  -      100 of 100  20 of 50  39 of 40  180 client-sessions, 7 client-rate
192.168.20.10  isp-a   1m10s     -  -        2 of 100   1 of 50  39 of 40  -

2 clients. NEW: sessions that it may open at once; 10 come back each second.
PORTS: those of ended sessions count, too, since a port rests for 120 s after its last session.
";
    assert_eq!(text, expected);
    let ipv6 = shown(&[("2001:db8:20::10", client(2, 0))]);
    assert_eq!(ipv6.clients[0].pin.as_ref().unwrap().why, Why::Prefix);
    let ipv6 = ipv6.to_string();
    assert!(ipv6.contains("2 of 100      -  39 of 40") && !ipv6.contains("rests"), "{ipv6}");
    assert_eq!(shown(&[]).to_string(), "No client is pinned to an uplink, and none has a session.\n");
}

#[test]
fn a_client_without_sessions_is_listed_as_long_as_it_is_pinned() {
    let idle = Client { uplink: 1, cause: 1, idle: NOW - 65 * SECOND, ..client(0, 0) };
    let returned = Client { cause: 2, ..idle };
    let released = Client { uplink: 255, ..idle };
    let report = shown(&[("192.168.20.10", idle), ("192.168.20.11", released), ("192.168.20.12", returned)]);
    let rows: Vec<String> = report.to_string().lines().map(str::to_owned).collect();
    assert_eq!(
        rows[..3],
        [
            "CLIENT         UPLINK  SINCE   IDLE  MOVED             SESSIONS    PORTS       NEW  REFUSED",
            "192.168.20.10  isp-b   1m10s  1m05s  another was lost  0 of 100  0 of 50  39 of 40  -",
            "192.168.20.12  isp-b   1m10s  1m05s  back again        0 of 100  0 of 50  39 of 40  -",
        ]
    );
    assert_eq!(rows[5], "IDLE: since its last session; a client stays with its uplink until it was idle for 12h00m.");
    let still_resting = shown(&[("192.168.20.11", Client { ports: 1, ..released })]);
    assert_eq!(still_resting.clients[0].pin, None);
}
