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
    let present = present().map_err(|error| {
        let message = format!("the interfaces of this machine cannot be listed: {error}");
        Errors::of_file(&source.file, message, "check with `--offline` to leave them out")
    })?;
    missing(policy, source, &present)
}

/// The interfaces of this network namespace. `/sys` is not asked: it shows the namespace in which it was mounted.
fn present() -> nix::Result<Vec<String>> {
    let interfaces = nix::net::if_::if_nameindex()?;
    Ok(interfaces.iter().map(|interface| interface.name().to_string_lossy().into_owned()).collect())
}

fn missing(policy: &Policy, source: &Source, present: &[String]) -> Result<(), Errors> {
    let mut report = Report::default();
    let lan = policy.lan.interfaces.iter();
    let used = lan.chain(policy.uplinks.iter().map(|uplink| &uplink.interface)).collect::<Vec<_>>();
    for name in &used {
        let name = *name;
        if !present.contains(name) {
            let message = format!("there is no interface {} here", quote(name));
            report.error(place(&source.root, name), message, remedy(name, present, &used));
        }
    }
    report.into_errors(&source.file, &source.text).map_or(Ok(()), Err)
}

fn remedy(name: &str, present: &[String], used: &[&String]) -> String {
    let known = present.iter().map(String::as_str).filter(|present| *present != "lo").collect::<Vec<_>>();
    // What the policy uses already was meant for something else.
    let free = known.iter().copied().filter(|known| !used.iter().any(|used| used == known));
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

    fn errors(lan: &str, uplink: &str, present: &[&str]) -> String {
        let text = format!("system: acme\nlan: {{ interfaces: [{lan}] }}\nuplinks: [{{ interface: {uplink} }}]\n");
        let source = Source::from_bytes("policy.yaml", text.as_bytes()).expect("YAML");
        let policy = source.policy().expect("a policy");
        let present: Vec<String> = present.iter().map(|name| (*name).to_owned()).collect();
        missing(&policy, &source, &present).expect_err("an error").to_string()
    }

    #[test]
    fn a_near_interface_is_offered_unless_the_policy_uses_it() {
        let errors_of = |uplink| errors("eth1", uplink, &["lo", "eth0", "eth1"]);
        assert!(errors_of("eth2").contains("did you mean `eth0`? there are: eth0, eth1"), "{}", errors_of("eth2"));
        let taken = errors("eth1", "eth0", &["lo", "eth0"]);
        assert!(!taken.contains("did you mean") && taken.contains("there are: eth0"), "{taken}");
    }
}
