//! `sessions`: lifetimes and limits.

use std::time::Duration;

use super::value::{self, show};
use crate::{
    datapath::host::{FIRST_PORT, LAST_PORT},
    policy::{
        Sessions, defaults,
        error::{Report, quote},
        section::{SESSIONS, Section},
        tree::{Kind, Node},
    },
};

/// What Thulium needs (T8).
const UDP_FLOOR: Duration = Duration::from_secs(50);
/// What RFC 4787 REQ-5 demands of a NAT.
const UDP_ADVISED: Duration = Duration::from_secs(120);
const UDP_CEILING: Duration = Duration::from_secs(86400);
/// RFC 5382 REQ-5: 2 hours 4 minutes.
const TCP_FLOOR: Duration = Duration::from_secs(7440);
const TCP_CEILING: Duration = Duration::from_secs(14 * 86400);
/// Sessions for which the datapath has room.
const MAX_SESSIONS: u32 = thulium_ebpf::directory::Shape::MOST;
const MAX_NEW_PER_CLIENT: u32 = 1_000_000;
/// Ports that an external address has for mappings: a share beyond that limits nobody.
const MAX_PORTS: u32 = (LAST_PORT - FIRST_PORT) as u32 + 1;

/// Reads `sessions`; what is absent has its default.
pub(super) fn sessions(node: Option<&Node>, report: &mut Report) -> Sessions {
    let mut sessions = defaults::SESSIONS;
    let Some(section) = node.and_then(|node| Section::open(node, &SESSIONS, report)) else {
        return sessions;
    };
    if let Some(idle) = section.get("udp_idle").and_then(|node| udp_idle(node, report)) {
        sessions.udp_idle = idle;
    }
    if let Some(idle) = section.get("tcp_idle").and_then(|node| tcp_idle(node, report)) {
        sessions.tcp_idle = idle;
    }
    let limits = [
        ("capacity", MAX_SESSIONS, &mut sessions.capacity),
        ("per_client", MAX_SESSIONS, &mut sessions.per_client),
        ("new_per_client", MAX_NEW_PER_CLIENT, &mut sessions.new_per_client),
        ("ports_per_client", MAX_PORTS, &mut sessions.ports_per_client),
    ];
    for (key, max, limit) in limits {
        let path = format!("sessions.{key}");
        let given = section.get(key).and_then(|node| value::number(node, &path, 1..=max, *limit, report));
        *limit = given.unwrap_or(*limit);
    }
    if section.get("per_client").is_some() && sessions.per_client > sessions.capacity {
        report.warn("sessions.per_client is more than sessions.capacity: a single client can take all sessions");
    }
    sessions
}

fn udp_idle(node: &Node, report: &mut Report) -> Option<Duration> {
    let idle = value::duration(node, "sessions.udp_idle", UDP_FLOOR..=UDP_CEILING, "300s", report)?;
    if idle < UDP_FLOOR {
        let message = format!("`udp_idle` is {}, below the floor of 50s", written(node));
        let help = "write 300s, as RFC 4787 REQ-5 recommends, or 50s at least (T8):\n\
                    with less, a quiet phone loses its session, and the next call does not ring";
        report.error(node.place, message, help);
        return None;
    }
    if idle < UDP_ADVISED {
        let shown = show(idle);
        report.warn(format!("sessions.udp_idle is {shown}: enough for Thulium (50s), but RFC 4787 REQ-5 wants 120s"));
    }
    at_most(idle, UDP_CEILING, node, "udp_idle", "300s", report)
}

fn tcp_idle(node: &Node, report: &mut Report) -> Option<Duration> {
    let idle = value::duration(node, "sessions.tcp_idle", TCP_FLOOR..=TCP_CEILING, "7440s", report)?;
    if idle < TCP_FLOOR {
        let message = format!("`tcp_idle` is {}, below the floor of 7440s", written(node));
        report.error(node.place, message, "write 7440s (2h 4min) at least, as RFC 5382 REQ-5 demands");
        return None;
    }
    at_most(idle, TCP_CEILING, node, "tcp_idle", "7440s", report)
}

fn at_most(
    idle: Duration,
    ceiling: Duration,
    node: &Node,
    key: &str,
    example: &str,
    report: &mut Report,
) -> Option<Duration> {
    if idle <= ceiling {
        return Some(idle);
    }
    let message = format!("`{key}` is {}, longer than {}", written(node), show(ceiling));
    report.error(node.place, message, format!("write {example}; {} at most", show(ceiling)));
    None
}

/// The value as it stands in the file.
fn written(node: &Node) -> String {
    match &node.kind {
        Kind::Scalar(text) => quote(text),
        _ => String::new(),
    }
}
