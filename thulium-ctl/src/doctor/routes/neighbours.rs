//! The routers on an uplink's link.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket},
    thread::sleep,
    time::{Duration, Instant},
};

use nix::net::if_::if_nametoindex;
use serde_json::Value;

use crate::doctor::{command::ask_json, family::Family};

/// How long the next hop may take to say its hardware address: the kernel asks three times, a second each.
const PATIENCE: Duration = Duration::from_millis(3500);
const PAUSE: Duration = Duration::from_millis(50);
/// The port "discard": what is sent there only makes the kernel resolve the next hop.
const DISCARD: u16 = 9;

/// Whether a next hop answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Neighbour {
    Known(String),
    /// The kernel's state of it.
    Silent(String),
    /// It could not be asked: why.
    Unasked(String),
}

/// What the kernel knows of a next hop, after it was made to ask for it.
pub(super) fn resolve(uplink: &str, next_hop: IpAddr) -> Neighbour {
    let state = || {
        let json = ask_json("ip", &format!("-json neighbour show to {next_hop} dev {uplink}")).unwrap_or_default();
        let states = json[0]["state"].as_array().into_iter().flatten().filter_map(Value::as_str);
        (json[0]["lladdr"].as_str().map(str::to_owned), states.collect::<Vec<_>>().join(" "))
    };
    // Without a port, or down, only what is known already counts.
    let (any, to) = match next_hop {
        IpAddr::V4(_) => ("0.0.0.0:0", SocketAddr::from((next_hop, DISCARD))),
        // A link-local address is one only together with its link.
        IpAddr::V6(address) => {
            ("[::]:0", SocketAddrV6::new(address, DISCARD, 0, if_nametoindex(uplink).unwrap_or_default()).into())
        }
    };
    let sent = UdpSocket::bind(any).and_then(|socket| socket.send_to(&[], to));
    let deadline = Instant::now() + PATIENCE;
    loop {
        match state() {
            (Some(address), _) => return Neighbour::Known(address),
            (None, _) if let Err(error) = &sent => {
                return Neighbour::Unasked(format!("{next_hop} on {uplink} cannot be asked for its address: {error}"));
            }
            (None, state) if state.contains("FAILED") || Instant::now() > deadline => return Neighbour::Silent(state),
            _ => sleep(PAUSE),
        }
    }
}

/// The only machine that has ever answered on the link, by one of its addresses: most likely the provider's router. `None`:
/// nobody answered, or several did.
pub(super) fn only_one(uplink: &str, family: Family) -> Option<IpAddr> {
    one_machine(&ask_json("ip", &format!("-{} -json neighbour show dev {uplink}", family.number())).ok()?)
}

fn one_machine(neighbours: &Value) -> Option<IpAddr> {
    let answered = || neighbours.as_array().into_iter().flatten().filter(|one| one["lladdr"].is_string());
    let machines: BTreeSet<&str> = answered().filter_map(|one| one["lladdr"].as_str()).collect();
    if machines.len() != 1 {
        return None;
    }
    answered().find_map(|one| one["dst"].as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_machine_may_have_several_addresses() {
        let (address, own) = ("2001:db8:51::254", "fe80::1");
        let both = json!([{ "dst": address, "lladdr": "02:00:00:00:00:01" }, { "dst": own, "lladdr": "02:00:00:00:00:01" },
            { "dst": "2001:db8:51::9", "state": ["FAILED"] }]);
        assert_eq!(one_machine(&both), Some(address.parse().unwrap()));
        let two =
            json!([{ "dst": address, "lladdr": "02:00:00:00:00:01" }, { "dst": own, "lladdr": "02:00:00:00:00:02" }]);
        assert_eq!(one_machine(&two), None);
    }
}
