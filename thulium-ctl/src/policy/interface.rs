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
    for name in lan.chain(policy.uplinks.iter().map(|uplink| &uplink.interface)) {
        if !present.contains(name) {
            let message = format!("there is no interface {} here", quote(name));
            report.error(place(&source.root, name), message, remedy(name, present));
        }
    }
    report.into_errors(&source.file, &source.text).map_or(Ok(()), Err)
}

fn remedy(name: &str, present: &[String]) -> String {
    let known = present.iter().map(String::as_str).filter(|present| *present != "lo").collect::<Vec<_>>();
    let near = suggest(name, known.iter().copied()).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
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
