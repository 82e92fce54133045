//! What happens to uplinks, as the log has it.

use std::{net::Ipv4Addr, time::Duration};

use super::UplinkGround;
use crate::observe::count;

/// What happened to an uplink and its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub what: What,
    /// Its name in the policy.
    pub name: String,
    /// Its slot.
    pub slot: u8,
    /// What is wrong with it, a part of a sentence.
    pub why: Option<String>,
    /// The other uplinks that take clients now.
    pub takers: Vec<String>,
    /// How long it was as it was before.
    pub lasted: Duration,
}

/// A kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Its clients move.
    Lost,
    /// Its clients wait for it.
    Held,
    /// Its clients stay, though nobody answers through it: the policy holds them. New ones take another.
    Spared,
    /// Its clients stay, though it carries nothing: no other is known to be better.
    NoneBetter,
    /// It carries again, and nobody had to move.
    Well,
    /// It carries again, and clients come back.
    Back,
    /// It carries clients again, well or not: there is no other.
    LastResort,
}

impl Event {
    /// The line in the log, given how many clients are pinned to the uplink: of IPv4 all, since IPv6 is not pinned.
    pub fn line(&self, clients: usize) -> String {
        let Self { name, lasted, .. } = self;
        let why = self.why.as_deref().unwrap_or("it carries nothing");
        let takers = if self.takers.is_empty() { "another uplink".to_owned() } else { self.takers.join(" and ") };
        let clients_that = |one: &str, many: &str, whither: &str| match clients {
            0 => String::new(),
            _ => {
                let verb = if clients == 1 { one } else { many };
                format!("; {} {verb} {whither}", count(clients as u64, "IPv4 client"))
            }
        };
        let lasted = format!("{} s", lasted.as_secs_f64().round());
        match self.what {
            What::Lost => {
                let whither = format!("to {takers}");
                format!("uplink {name} is lost: {why}{}", clients_that("moves", "move", &whither))
            }
            What::Held => {
                let wait = clients_that("waits", "wait", "for it (`on_uplink_down: hold`)");
                format!("uplink {name} is lost: {why}{wait}")
            }
            What::Spared => {
                let stay = clients_that("stays", "stay", "there (`on_uplink_down: hold`)");
                format!("uplink {name} carries nothing: {why}{stay}; new ones take {takers}")
            }
            What::NoneBetter => {
                let stay = clients_that("stays", "stay", "there");
                format!("uplink {name} carries nothing: {why}{stay}; no other uplink is known to be better")
            }
            What::Well => format!("uplink {name} carries traffic again, after {lasted}"),
            What::Back => format!(
                "uplink {name} is back after {lasted}; clients that moved away return to it as soon as they have no session"
            ),
            What::LastResort => format!("uplink {name} takes clients, though {why}: no other uplink carries anything"),
        }
    }
}

/// What changed at an uplink, a sentence each: its address, after the one that is `in_force`; its next hops since the look that showed
/// `was`.
pub fn changes_of(in_force: Option<Ipv4Addr>, was: &UplinkGround, is: &UplinkGround) -> Vec<String> {
    let name = &is.name;
    let mut lines = Vec::new();
    if let (Some(old), Some(new)) = (in_force, is.address())
        && old != new
        && was.address() != is.address()
    {
        lines.push(format!("uplink {name} has another address: {new}, no more {old}; what was opened by that ends"));
    }
    for (was, is) in [(&was.way4, &is.way4), (&was.way6, &is.way6)] {
        let (Some(old), Some(new)) = (was.next_hop(), is.next_hop()) else { continue };
        if old.address != new.address {
            lines.push(format!("uplink {name} has another next hop: {}, no more {}", new.address, old.address));
            continue;
        }
        if let (Some(was), Some(is)) = (&old.hardware, &new.hardware)
            && was != is
        {
            let (was, is) = (hardware(was), hardware(is));
            let address = new.address;
            lines.push(format!(
                "the next hop of uplink {name}, {address}, has another hardware address: {is}, no more {was}"
            ));
        }
    }
    lines
}

/// A hardware address as people write it.
pub(super) fn hardware(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(what: What) -> Event {
        Event {
            what,
            name: "isp-a".to_owned(),
            slot: 0,
            why: Some("no answer through it for 8 s".to_owned()),
            takers: vec!["isp-b".to_owned()],
            lasted: Duration::from_secs(35),
        }
    }

    #[test]
    fn the_log_has_reason_and_numbers() {
        let lost = event(What::Lost);
        assert_eq!(lost.line(12), "uplink isp-a is lost: no answer through it for 8 s; 12 IPv4 clients move to isp-b");
        assert!(lost.line(1).ends_with("; 1 IPv4 client moves to isp-b"));
        let held = event(What::Held).line(2);
        assert!(held.ends_with("; 2 IPv4 clients wait for it (`on_uplink_down: hold`)"), "{held}");
        let stay = event(What::NoneBetter).line(2);
        assert!(stay.ends_with("; 2 IPv4 clients stay there; no other uplink is known to be better"), "{stay}");
        assert!(event(What::Back).line(0).starts_with("uplink isp-a is back after 35 s"));
    }

    #[test]
    fn nothing_is_said_of_clients_where_there_are_none() {
        let line = |what| event(what).line(0);
        assert_eq!(line(What::Lost), "uplink isp-a is lost: no answer through it for 8 s");
        assert_eq!(line(What::Held), line(What::Lost));
        assert!(line(What::Spared).ends_with("for 8 s; new ones take isp-b"));
        assert!(line(What::NoneBetter).ends_with("for 8 s; no other uplink is known to be better"));
    }
}
