//! Whether the interfaces of a policy are there. Apart from the rest, since it asks the machine.

use super::{
    Policy, Source,
    error::{Errors, Place, Report, quote, suggest},
    read::items,
    tree::{Kind, Node},
};

/// Checks that the interfaces of `policy`, which was read from `source`, are in this network namespace.
///
/// # Errors
/// One for each interface that is not there, with the ones that are.
pub fn check_interfaces(policy: &Policy, source: &Source) -> Result<(), Errors> {
    missing(policy, source, &used(policy), &present(source)?)
}

/// Checks that enough of the interfaces of `policy`, which was read from `source`, are there to begin: of several uplinks one will do.
/// A modem that dials, or a tunnel that comes later, must not keep the others from carrying calls.
///
/// # Errors
/// As for [`check_interfaces`], of those without which nothing works.
pub fn require_interfaces(policy: &Policy, source: &Source) -> Result<(), Errors> {
    let present = present(source)?;
    missing(policy, source, &needed(policy, &present), &present)
}

/// The interfaces that a policy names, the LAN's first.
fn used(policy: &Policy) -> Vec<&str> {
    let uplinks = policy.uplinks.iter().map(|uplink| uplink.interface.as_str());
    policy.lan.interfaces.iter().map(String::as_str).chain(uplinks).collect()
}

/// Those of them without which nothing works.
fn needed<'a>(policy: &'a Policy, present: &[String]) -> Vec<&'a str> {
    let is_here = |name: &str| present.iter().any(|present| present == name);
    if !policy.uplinks.iter().any(|uplink| is_here(&uplink.interface)) {
        return used(policy);
    }
    let is_uplink = |name: &str| policy.uplinks.iter().any(|uplink| uplink.interface == name);
    used(policy).into_iter().filter(|name| !is_uplink(name)).collect()
}

/// The interfaces of this network namespace. `/sys` is not asked: it shows the namespace in which it was mounted.
fn present(source: &Source) -> Result<Vec<String>, Errors> {
    let interfaces = nix::net::if_::if_nameindex().map_err(|error| {
        let message = format!("the interfaces of this machine cannot be listed: {error}");
        Errors::of_file(&source.file, message, "check with `--offline` to leave them out")
    })?;
    Ok(interfaces.iter().map(|interface| interface.name().to_string_lossy().into_owned()).collect())
}

/// Reports those of `names` that are not present.
fn missing(policy: &Policy, source: &Source, names: &[&str], present: &[String]) -> Result<(), Errors> {
    let mut report = Report::default();
    for name in names {
        if !present.iter().any(|present| present == name) {
            let message = format!("there is no interface {} here", quote(name));
            report.error(place(&source.root, name), message, remedy(name, present, &used(policy)));
        }
    }
    report.into_errors(&source.file, &source.text).map_or(Ok(()), Err)
}

fn remedy(name: &str, present: &[String], used: &[&str]) -> String {
    let known = present.iter().map(String::as_str).filter(|present| *present != "lo").collect::<Vec<_>>();
    // What the policy uses already was meant for something else.
    let free = known.iter().copied().filter(|known| !used.contains(known));
    let near = suggest(name, free).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
    let list = match known.len() {
        0 => "there is none but lo".to_owned(),
        1..=16 => format!("there are: {}", known.join(", ")),
        more => format!("there are: {}, and {} more", known[..16].join(", "), more - 16),
    };
    format!("{near}{list} (`check --offline` does not look)")
}

/// Where the policy names this interface.
fn place(root: &Node, name: &str) -> Place {
    let lan = child(root, "lan").and_then(|lan| child(lan, "interfaces")).map(items).unwrap_or_default();
    let uplinks = child(root, "uplinks").map(items).unwrap_or_default();
    let mut nodes = lan.iter().chain(uplinks.iter().filter_map(|uplink| child(uplink, "interface")));
    let named = |node: &&Node| matches!(&node.kind, Kind::Scalar(text) if text.trim() == name);
    nodes.find(named).map_or(root.place, |node| node.place)
}

fn child<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    let Kind::Map(entries) = &node.kind else { return None };
    entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is missing of a policy with these uplinks, to be checked and to begin.
    fn errors(lan: &str, uplinks: &[&str], present: &[&str]) -> [String; 2] {
        let uplinks = uplinks.iter().map(|uplink| format!("{{ interface: {uplink} }}")).collect::<Vec<_>>().join(", ");
        let text = format!("system: acme\nlan: {{ interfaces: [{lan}] }}\nuplinks: [{uplinks}]\n");
        let source = Source::from_bytes("policy.yaml", text.as_bytes()).expect("YAML");
        let policy = source.policy().expect("a policy");
        let present: Vec<String> = present.iter().map(|name| (*name).to_owned()).collect();
        let of = |names: &[&str]| {
            missing(&policy, &source, names, &present).map_or_else(|errors| errors.to_string(), |()| String::new())
        };
        [of(&used(&policy)), of(&needed(&policy, &present))]
    }

    #[test]
    fn a_near_interface_is_offered_unless_the_policy_uses_it() {
        let [near, _] = errors("eth1", &["eth2"], &["lo", "eth0", "eth1"]);
        assert!(near.contains("did you mean `eth0`? there are: eth0, eth1"), "{near}");
        let [taken, _] = errors("eth1", &["eth0"], &["lo", "eth0"]);
        assert!(!taken.contains("did you mean") && taken.contains("there are: eth0"), "{taken}");
    }

    #[test]
    fn one_of_several_uplinks_is_enough_to_begin() {
        let [checked, begun] = errors("eth1", &["eth0", "ppp0"], &["lo", "eth0", "eth1"]);
        assert!(checked.contains("there is no interface `ppp0` here"), "{checked}");
        assert_eq!(begun, "");
        let [_, without_uplink] = errors("eth1", &["eth0", "ppp0"], &["lo", "eth1"]);
        assert!(without_uplink.contains("`eth0`") && without_uplink.contains("`ppp0`"), "{without_uplink}");
        let [_, without_lan] = errors("eth1", &["eth0", "ppp0"], &["lo", "eth0"]);
        assert!(without_lan.contains("`eth1`") && !without_lan.contains("`ppp0`"), "{without_lan}");
    }
}
