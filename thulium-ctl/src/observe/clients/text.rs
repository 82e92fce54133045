//! The clients as text.

use std::{fmt, time::Duration};

use thulium_ebpf::ports;

use super::{ClientReport, PinReport, Refused, Report, Share, Why};
use crate::observe::{
    quantity::{count, duration},
    table::{Align, Table},
};

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.used, self.limit)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.clients.is_empty() {
            return writeln!(f, "No client is pinned to an uplink, and none has a session.");
        }
        let mut table = Table::new([
            ("CLIENT", Align::Left),
            ("UPLINK", Align::Left),
            ("SINCE", Align::Right),
            ("IDLE", Align::Right),
            ("MOVED", Align::Left),
            ("SESSIONS", Align::Right),
            ("PORTS", Align::Right),
            ("NEW", Align::Right),
            ("REFUSED", Align::Left),
        ]);
        for client in &self.clients {
            table.push(cells(client));
        }
        write!(f, "{table}")?;
        let per_second = self.clients.first().map_or(0, |client| client.rate.per_second);
        let clients = count(self.clients.len() as u64, "client");
        writeln!(f, "\n{clients}. NEW: sessions that it may open at once; {per_second} come back each second.")?;
        if self.clients.iter().filter_map(|client| client.pin.as_ref()).any(|pin| pin.idle.is_some()) {
            let hold = duration(self.release_after_idle);
            writeln!(f, "IDLE: since its last session; a client stays with its uplink until it was idle for {hold}.")?;
        }
        if self.clients.iter().any(|client| client.ports.used > 0) {
            let rest = Duration::from_nanos(ports::REST).as_secs();
            writeln!(
                f,
                "PORTS: those of ended sessions count, too, since a port rests for {rest} s after its last session."
            )?;
        }
        Ok(())
    }
}

fn cells(client: &ClientReport) -> [String; 9] {
    let none = || "-".to_owned();
    let of_pin = |text: &dyn Fn(&PinReport) -> String| client.pin.as_ref().map_or_else(none, text);
    let time = |seconds| duration(Duration::from_secs(seconds));
    [
        client.client.to_string(),
        of_pin(&|pin| pin.uplink.clone()),
        of_pin(&|pin| time(pin.age)),
        of_pin(&|pin| pin.idle.map_or_else(none, time)),
        of_pin(&moved),
        client.sessions.to_string(),
        // IPv6 is not translated.
        if client.client.is_ipv4() { client.ports.to_string() } else { none() },
        format!("{} of {}", client.rate.left, client.rate.burst),
        refused(client.refused),
    ]
}

/// Its last move, and why.
fn moved(pin: &PinReport) -> String {
    match (pin.why, &pin.from) {
        (Why::First | Why::Prefix, _) => "-".to_owned(),
        (Why::Moved, Some(from)) => format!("{from} was lost"),
        (Why::Moved, None) => "another was lost".to_owned(),
        (Why::Substitute, _) => "its own was down".to_owned(),
        (Why::Returned, Some(from)) => format!("back from {from}"),
        (Why::Returned, None) => "back again".to_owned(),
    }
}

/// The refusals by their reasons, as `drops` names them.
fn refused(refused: Refused) -> String {
    let reasons =
        [("client-sessions", refused.sessions), ("client-ports", refused.ports), ("client-rate", refused.rate)];
    let met: Vec<String> =
        reasons.iter().filter(|(_, packets)| *packets > 0).map(|(name, packets)| format!("{packets} {name}")).collect();
    if met.is_empty() { "-".to_owned() } else { met.join(", ") }
}
