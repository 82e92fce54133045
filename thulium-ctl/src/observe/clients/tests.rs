use serde_json::json;

use super::*;

const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 1000 * SECOND;

fn settings() -> Settings {
    Settings { per_client: 100, ports_per_client: 50, session_cost: SECOND / 10, ..Settings::default() }
}

fn uplinks() -> Uplinks {
    let uplink = Uplink { interface: 4, ..Uplink::default() };
    Uplinks::new(&[uplink], &[(4, "eth0".to_owned())].into())
}

/// A client that has had sessions for 70 s and has opened one now.
fn client(sessions: u64, ports: u64) -> Client {
    let spent_until = NOW - 4 * SECOND + SECOND / 10;
    Client { sessions, ports, since: NOW - 70 * SECOND, spent_until, ..Client::default() }
}

fn shown(clients: &[(&str, Client)]) -> Report {
    let clients: Vec<_> = clients.iter().map(|(address, client)| (address.parse().unwrap(), *client)).collect();
    report(&clients, &settings(), &uplinks(), NOW)
}

#[test]
fn a_client_shows_its_shares_and_what_was_refused() {
    let flooder =
        Client { refused_sessions: 180, refused_ports: 3, refused_rate: 7, spent_until: NOW, ..client(100, 20) };
    let report = shown(&[("192.168.20.11", flooder)]);
    let expected = json!({"version": 1, "clients": [{
        "client": "192.168.20.11", "uplink": "eth0", "age": 70,
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
CLIENT           SESSIONS     PORTS       NEW  REFUSED                             UPLINK  SINCE
192.168.20.11  100 of 100  20 of 50  39 of 40  180 client-sessions, 7 client-rate  eth0    1m10s
192.168.20.10    2 of 100   1 of 50  39 of 40  -                                   eth0    1m10s

2 clients. NEW: sessions that it may open at once; 10 come back each second.
PORTS: those of ended sessions count, too, since a port rests for 120 s after its last session.
";
    assert_eq!(text, expected);
    let ipv6 = shown(&[("2001:db8:20::10", client(2, 0))]).to_string();
    assert!(ipv6.contains("2001:db8:20::10  2 of 100      -  39 of 40") && !ipv6.contains("rests"), "{ipv6}");
    assert_eq!(shown(&[]).to_string(), "No client has a session.\n");
}
