//! A mapping of the document, whose keys are known.

use super::{
    error::{Place, Report, quote, suggest},
    tree::{Key, Kind, Node},
};

/// Where each key belongs, to help who wrote it in the wrong place.
const HOMES: &[(&str, &[&str])] = &[
    ("", ROOT),
    ("lan", LAN),
    ("uplinks", UPLINK),
    ("hosts.NAME", HOST),
    ("flows", FLOW),
    ("sessions", SESSIONS),
    ("datapath", DATAPATH),
];

/// Keys of the document itself.
pub(super) const ROOT: &[&str] = &[
    "version",
    "system",
    "mode",
    "lan",
    "uplinks",
    "hosts",
    "flows",
    "unmatched",
    "sessions",
    "resolvers",
    "datapath",
];
/// Keys of `lan`.
pub(super) const LAN: &[&str] = &["interfaces", "clients"];
/// Keys of an uplink.
pub(super) const UPLINK: &[&str] = &["name", "interface", "source_nat"];
/// Keys of a host.
pub(super) const HOST: &[&str] = &["names", "addresses", "keep_old"];
/// Keys of a flow.
pub(super) const FLOW: &[&str] = &["name", "to", "ports", "tls_min"];
/// Keys of `sessions`.
pub(super) const SESSIONS: &[&str] = &["udp_idle", "tcp_idle", "capacity", "per_client", "new_per_client"];
/// Keys of `datapath`.
pub(super) const DATAPATH: &[&str] = &["xdp", "tc", "mark"];

/// A mapping with known keys; unknown ones are reported when it is opened.
pub(super) struct Section<'a> {
    /// Its place.
    pub(super) place: Place,
    entries: &'a [(Key, Node)],
}

impl<'a> Section<'a> {
    /// Opens `node` as the mapping called `path` with these keys; `example` is what to write where it is none.
    pub(super) fn open(
        node: &'a Node,
        path: &str,
        keys: &[&'static str],
        example: &str,
        report: &mut Report,
    ) -> Option<Self> {
        let entries = entries(node, path, example, report)?;
        for (key, value) in entries {
            if !keys.contains(&key.name.as_str()) {
                unknown_key(key, path, keys, report);
            } else if matches!(value.kind, Kind::Empty) {
                let help = "write a value, or remove the line for the default";
                report.error(key.place, format!("`{}` has no value", key.name), help);
            }
        }
        Some(Self { place: node.place, entries })
    }

    /// The value of a key, unless it is absent or empty.
    pub(super) fn get(&self, name: &str) -> Option<&'a Node> {
        let (_, node) = self.entries.iter().find(|(key, _)| key.name == name)?;
        (!matches!(node.kind, Kind::Empty)).then_some(node)
    }

    /// The value of a key that must be there; `help` is what to write.
    pub(super) fn require(&self, name: &str, path: &str, help: &str, report: &mut Report) -> Option<&'a Node> {
        if !self.entries.iter().any(|(key, _)| key.name == name) {
            let whose = if path.is_empty() { "the policy".to_owned() } else { format!("`{path}`") };
            report.error(self.place, format!("{whose} needs the key `{name}`"), help);
        }
        self.get(name)
    }
}

/// The entries of a mapping whose keys are names that the admin chose.
pub(super) fn entries<'a>(node: &'a Node, path: &str, example: &str, report: &mut Report) -> Option<&'a [(Key, Node)]> {
    let message = match &node.kind {
        Kind::Map(entries) => return Some(entries),
        Kind::Refused => return None,
        Kind::Empty => "is empty",
        Kind::List(_) => "must have keys and values, and is a list",
        Kind::Scalar(_) => "must have keys and values, and is plain text",
    };
    let what = if path.is_empty() { "the policy".to_owned() } else { format!("`{path}`") };
    report.error(node.place, format!("{what} {message}"), format!("write {example}"));
    None
}

fn unknown_key(key: &Key, path: &str, keys: &[&str], report: &mut Report) {
    let home = HOMES.iter().find(|(_, keys)| keys.contains(&key.name.as_str())).map(|(home, _)| *home);
    let help = match (suggest(&key.name, keys.iter().copied()), home) {
        (Some(near), None) => format!("did you mean `{near}`?"),
        (_, Some("")) => format!("`{}` belongs to the top level, not indented", key.name),
        (_, Some(home)) => format!("`{}` belongs under `{home}`", key.name),
        (None, None) => format!("known here: {}", keys.join(", ")),
    };
    let whose = if path.is_empty() { "unknown key".to_owned() } else { format!("unknown key in `{path}`:") };
    report.error(key.place, format!("{whose} {}", quote(&key.name)), help);
}
