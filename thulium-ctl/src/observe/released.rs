//! What became of clients that were to be released from their uplinks.

use std::{fmt, net::Ipv4Addr};

use serde::Serialize;

use super::{VERSION, quantity::count};

/// A client that is pinned to no uplink any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Released {
    /// Its address.
    pub client: Ipv4Addr,
    /// The uplink that it was pinned to.
    pub uplink: String,
    /// Its sessions that were ended.
    pub ended: u64,
}

/// A client that keeps its pin, since it has sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Its address.
    pub client: Ipv4Addr,
    /// The uplink that it is pinned to.
    pub uplink: String,
    /// Its sessions.
    pub sessions: u64,
}

/// What became of all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// Those that were released.
    pub released: Vec<Released>,
    /// Those that were not.
    pub in_use: Vec<Kept>,
}

impl Default for Report {
    fn default() -> Self {
        Self { version: VERSION, released: Vec::new(), in_use: Vec::new() }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Released { client, uplink, ended } in &self.released {
            let ended = if *ended == 0 { String::new() } else { format!("; {} ended", count(*ended, "session")) };
            writeln!(f, "{client} is released from {uplink}{ended}")?;
        }
        for Kept { client, uplink, sessions } in &self.in_use {
            writeln!(f, "{client} stays with {uplink}: it has {}", count(*sessions, "session"))?;
        }
        if !self.released.is_empty() {
            writeln!(f, "\nWho is released takes an uplink anew with its next session.")?;
        }
        if !self.in_use.is_empty() {
            writeln!(f, "\nSessions end by themselves when they are idle; `--now` ends them and calls with them.")?;
        }
        if self.released.is_empty() && self.in_use.is_empty() {
            writeln!(f, "No client is pinned to an uplink.")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report() -> Report {
        let client = |host| Ipv4Addr::new(192, 168, 20, host);
        let uplink = || "isp-a".to_owned();
        Report {
            released: vec![
                Released { client: client(10), uplink: uplink(), ended: 0 },
                Released { client: client(11), uplink: uplink(), ended: 3 },
            ],
            in_use: vec![Kept { client: client(12), uplink: uplink(), sessions: 1 }],
            ..Report::default()
        }
    }

    #[test]
    fn each_client_has_its_line() {
        let expected = "\
192.168.20.10 is released from isp-a
192.168.20.11 is released from isp-a; 3 sessions ended
192.168.20.12 stays with isp-a: it has 1 session

Who is released takes an uplink anew with its next session.

Sessions end by themselves when they are idle; `--now` ends them and calls with them.
";
        assert_eq!(report().to_string(), expected);
        assert_eq!(Report::default().to_string(), "No client is pinned to an uplink.\n");
    }

    #[test]
    fn the_json_has_both_lists() {
        let expected = json!({"version": 1,
            "released": [
                {"client": "192.168.20.10", "uplink": "isp-a", "ended": 0},
                {"client": "192.168.20.11", "uplink": "isp-a", "ended": 3},
            ],
            "in_use": [{"client": "192.168.20.12", "uplink": "isp-a", "sessions": 1}],
        });
        assert_eq!(serde_json::to_value(report()).unwrap(), expected);
    }
}
