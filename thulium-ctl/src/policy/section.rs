//! A mapping of the document, whose keys are known.

use super::{
    error::{Place, Report, quote, suggest},
    tree::{Key, Kind, Node},
};

/// A kind of mapping.
pub(super) struct Shape {
    /// What a sentence calls it.
    what: &'static str,
    /// Its keys.
    keys: &'static [&'static str],
    /// Those of them that must be there.
    required: &'static [&'static str],
    /// What to write where it is no mapping.
    example: &'static str,
}

/// The document itself.
pub(super) const ROOT: Shape = Shape {
    what: "the policy",
    keys: &[
        "version",
        "system",
        "mode",
        "lan",
        "uplinks",
        "on_uplink_down",
        "release_after_idle",
        "health",
        "hosts",
        "flows",
        "unmatched",
        "refuse",
        "mss_clamp",
        "sessions",
        "resolvers",
        "datapath",
    ],
    required: &["system", "lan", "uplinks"],
    example: "`system: acme` and the other keys, one a line",
};
/// `lan`.
pub(super) const LAN: Shape = Shape {
    what: "`lan`",
    keys: &["interfaces", "clients"],
    required: &["interfaces"],
    example: "`lan: { interfaces: [eth1] }`",
};
/// An entry of `uplinks`.
pub(super) const UPLINK: Shape = Shape {
    what: "an uplink",
    keys: &["name", "interface", "source_nat", "weight", "next_hop", "prefixes"],
    required: &["interface"],
    example: "`{ interface: eth0 }`",
};
/// `health`.
pub(super) const HEALTH: Shape = Shape {
    what: "`health`",
    keys: &["link_down", "black_hole", "probe"],
    required: &[],
    example: "`health: { link_down: 1s, black_hole: 10s }`",
};
/// `health.probe`, where it names a host.
pub(super) const PROBE: Shape = Shape {
    what: "`health.probe`",
    keys: &["to", "port"],
    required: &["to", "port"],
    example: "auto, off, or `{ to: thulium, port: 443/tcp }`",
};
/// An entry of `hosts`, or a flow's own host.
pub(super) const HOST: Shape = Shape {
    what: "a host",
    keys: &["names", "addresses", "keep_old", "private_answers"],
    required: &[],
    example: "`{ names: [..], addresses: [..] }`",
};
/// An entry of `flows`.
pub(super) const FLOW: Shape = Shape {
    what: "a flow",
    keys: &["name", "to", "ports", "tls_min"],
    required: &["name", "to", "ports"],
    example: "`{ name: web, to: thulium, ports: 443/tcp }`",
};
/// `sessions`.
pub(super) const SESSIONS: Shape = Shape {
    what: "`sessions`",
    keys: &["udp_idle", "tcp_idle", "capacity", "per_client", "new_per_client", "ports_per_client"],
    required: &[],
    example: "`sessions: { udp_idle: 300s }`",
};
/// `datapath`.
pub(super) const DATAPATH: Shape =
    Shape { what: "`datapath`", keys: &["xdp", "tc", "mark"], required: &[], example: "`datapath: { xdp: auto }`" };

/// All kinds, to tell who wrote a key in the wrong place where it belongs.
const SHAPES: [&Shape; 9] = [&ROOT, &LAN, &UPLINK, &HEALTH, &PROBE, &HOST, &FLOW, &SESSIONS, &DATAPATH];

/// A mapping of a known kind. Unknown and empty keys are reported when it is opened.
pub(super) struct Section<'a> {
    /// Its place.
    pub(super) place: Place,
    entries: &'a [(Key, Node)],
    shape: &'static Shape,
    /// Keys that unknown ones were probably meant to be.
    misspelt: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// Opens `node` as a mapping of this kind.
    pub(super) fn open(node: &'a Node, shape: &'static Shape, report: &mut Report) -> Option<Self> {
        let entries = entries(node, shape.what, shape.example, report)?;
        let absent = |name: &&&str| !entries.iter().any(|(key, _)| key.name == **name);
        let absent = shape.keys.iter().filter(absent).copied().collect::<Vec<_>>();
        let mut misspelt = Vec::new();
        for (key, value) in entries {
            if report.is_full() {
                break;
            }
            let name = key.name.as_str();
            if !shape.keys.contains(&name) {
                let near = suggest(name, absent.iter().copied());
                misspelt.extend(near);
                unknown(key, near, shape, report);
            } else if matches!(value.kind, Kind::Empty) && !shape.required.contains(&name) {
                let help = "write a value, or remove the line for the default";
                report.error(key.place, format!("`{name}` has no value"), help);
            }
        }
        Some(Self { place: node.place, entries, shape, misspelt })
    }

    /// The value of a key, unless it is absent or empty.
    pub(super) fn get(&self, name: &str) -> Option<&'a Node> {
        let (_, node) = self.entries.iter().find(|(key, _)| key.name == name)?;
        (!matches!(node.kind, Kind::Empty)).then_some(node)
    }

    /// The value of a required key; `help` is what to write.
    pub(super) fn require(&self, name: &str, help: &str, report: &mut Report) -> Option<&'a Node> {
        match self.entries.iter().find(|(key, _)| key.name == name) {
            Some((key, value)) if matches!(value.kind, Kind::Empty) => {
                report.error(key.place, format!("`{name}` has no value"), help);
            }
            Some((_, value)) => return Some(value),
            // A misspelt key has its error already.
            None if self.misspelt.contains(&name) => {}
            None => report.error(self.place, format!("{} needs the key `{name}`", self.shape.what), help),
        }
        None
    }
}

fn unknown(key: &Key, near: Option<&str>, shape: &Shape, report: &mut Report) {
    let name = key.name.as_str();
    let home = SHAPES.iter().find(|shape| shape.keys.contains(&name)).map(|shape| shape.what);
    let help = match (near, home) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, Some("the policy")) => format!("`{name}` belongs to the top level, without indentation"),
        (None, Some(home)) => format!("`{name}` is a key of {home}"),
        (None, None) => format!("known here: {}", shape.keys.join(", ")),
    };
    report.error(key.place, format!("unknown key {} in {}", quote(name), shape.what), help);
}

/// The entries of a mapping whose keys may be names that the admin chose.
pub(super) fn entries<'a>(node: &'a Node, what: &str, example: &str, report: &mut Report) -> Option<&'a [(Key, Node)]> {
    let message = match &node.kind {
        Kind::Map(entries) => return Some(entries),
        Kind::Refused => return None,
        Kind::Empty => "is empty",
        Kind::List(_) => "must have keys and values, and is a list",
        Kind::Scalar(_) => "must have keys and values, and is a single value",
    };
    report.error(node.place, format!("{what} {message}"), format!("write {example}"));
    None
}
