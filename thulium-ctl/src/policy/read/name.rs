//! Names: of the tenant, of hosts in DNS, of interfaces, and those that the admin gives to flows, hosts and uplinks.

use crate::policy::error::{Place, Report, quote};

/// Bytes of a name that the admin gives; with its terminating zero it fills a slot of the datapath.
const NAME_BYTES: usize = 63;
/// Bytes of an interface name (IFNAMSIZ without its terminating zero).
const INTERFACE_BYTES: usize = 15;
/// Bytes of a DNS name and of one of its labels (RFC 1035 §2.3.4).
const DNS_BYTES: usize = 253;
const LABEL_BYTES: usize = 63;

/// A name of a flow, a host or an uplink.
pub(super) fn given(word: &str, what: &str, place: Place, report: &mut Report) -> Option<String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let message = if word.is_empty() {
        format!("the {what} has an empty name")
    } else if word.len() > NAME_BYTES {
        format!("the {what} name {} is longer than {NAME_BYTES} characters", quote(word))
    } else if !word.chars().all(legal) || !word.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        format!("{} is not a name that a {what} can have", quote(word))
    } else {
        return Some(word.to_owned());
    };
    report.error(place, message, "write letters, digits, `-`, `_` and `.`, beginning with a letter or digit");
    None
}

/// The tenant: a single DNS label, lower case.
pub(super) fn system(word: &str, place: Place, report: &mut Report) -> Option<String> {
    let lower = word.to_ascii_lowercase();
    if label(&lower) && !lower.contains('_') {
        return Some(lower);
    }
    let first = lower.split('.').next().unwrap_or_default();
    let help = if lower.contains('.') && label(first) {
        format!("write {first} alone; the host names add the rest, as in \"{{system}}.thulium.com\"")
    } else {
        "write the tenant's part of the server name: letters, digits and hyphens, such as acme".to_owned()
    };
    report.error(place, format!("{} cannot be a part of a DNS name", quote(word)), help);
    None
}

/// A DNS name, lower case, without trailing dot; `{system}` stands for the tenant. Its first label may be a `*`, which stands for
/// any one label.
pub(super) fn dns(word: &str, system: Option<&str>, place: Place, report: &mut Report) -> Option<String> {
    // When the tenant itself is wrong, that error is enough: judge the rest of the name with a stand-in.
    let name = word.replace("{system}", system.unwrap_or("system")).to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    let Some((message, help)) = complain(name) else { return Some(name.to_owned()) };
    report.error(place, format!("{} {message}", quote(word)), help);
    None
}

/// What is wrong with a DNS name, and what to write instead.
fn complain(name: &str) -> Option<(&'static str, String)> {
    if name.parse::<std::net::IpAddr>().is_ok() || name.parse::<ipnet::IpNet>().is_ok() {
        return Some(("is an address, not a name", "write it under `addresses`".to_owned()));
    }
    if name.contains('{') || name.contains('}') {
        return Some(("has a placeholder that is not known", "the only placeholder is {system}".to_owned()));
    }
    if let Some((_, rest)) = name.split_once("://") {
        let host = rest.split(['/', ':']).next().unwrap_or_default();
        return Some(("is a URL, not a name", format!("write {}", quote(host))));
    }
    if let Some((host, _)) = name.split_once(':') {
        return Some(("has a port", format!("write {} here, and the port in the flow's `ports`", quote(host))));
    }
    if !name.is_ascii() {
        return Some(("has characters that DNS does not know", "write it in Punycode (xn--…)".to_owned()));
    }
    if name.len() > DNS_BYTES {
        return Some(("is longer than a DNS name can be", format!("write {DNS_BYTES} characters at most")));
    }
    if name.contains('*') {
        return complain_of_wildcard(name);
    }
    if !name.split('.').all(label) {
        let help = "write a name such as stun.l.google.com: letters, digits and hyphens between dots".to_owned();
        return Some(("is not a DNS name", help));
    }
    None
}

/// What is wrong with a name that has a `*`.
fn complain_of_wildcard(name: &str) -> Option<(&'static str, String)> {
    let Some(rest) = name.strip_prefix("*.").filter(|rest| !rest.contains('*')) else {
        let help =
            "a `*` stands for one whole label, the first one: write a name such as *.thulium.com, or names one by one";
        return Some(("is not a wildcard name", help.to_owned()));
    };
    if !rest.split('.').all(label) {
        return Some((
            "is not a wildcard name",
            "write letters, digits and hyphens between dots behind `*.`".to_owned(),
        ));
    }
    // Whoever has a name of his own below a top-level domain would decide what clients may open.
    if !rest.contains('.') {
        return Some((
            "is too wide a wildcard",
            "write two labels at least behind the `*`, such as *.thulium.com".to_owned(),
        ));
    }
    None
}

/// Whether this is a label of a DNS name. Underscores are found in practice.
fn label(label: &str) -> bool {
    let legal = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
    (1..=LABEL_BYTES).contains(&label.len())
        && label.bytes().all(legal)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// An interface name that Linux allows.
pub(super) fn interface(word: &str, place: Place, report: &mut Report) -> Option<String> {
    let illegal = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    let message = if word.is_empty() {
        "an interface name is empty".to_owned()
    } else if word.len() > INTERFACE_BYTES {
        format!("{} is longer than the {INTERFACE_BYTES} characters of an interface name", quote(word))
    } else if word.contains(illegal) || matches!(word, "." | "..") {
        format!("{} cannot be the name of an interface", quote(word))
    } else {
        return Some(word.to_owned());
    };
    report.error(place, message, "write one interface name as `ip link` shows it, such as eth1");
    None
}
