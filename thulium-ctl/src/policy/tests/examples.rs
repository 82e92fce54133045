//! The policies that are shipped.

use std::{fs, path::Path};

use super::SMALLEST;
use crate::policy::{Mode, Policy, Probe, load};

fn example(name: &str) -> Policy {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
    load(&folder.join(name)).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn every_shipped_policy_is_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
    for entry in fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            load(&path).unwrap_or_else(|errors| panic!("{errors}"));
        }
    }
}

#[test]
fn thulium_yaml_writes_out_the_defaults() {
    let mut full = example("thulium.yaml");
    let minimal = example("minimal.yaml");
    full.lan.clients = None;
    full.uplinks[0].name = full.uplinks[0].interface.clone();
    assert_eq!(full, minimal);
    assert_eq!(minimal, super::right(SMALLEST));
}

#[test]
fn audit_yaml_refuses_nothing() {
    let audit = example("audit.yaml");
    assert_eq!(audit.mode, Mode::Audit);
    assert_eq!(Policy { mode: Mode::Enforce, ..audit }, example("minimal.yaml"));
}

#[test]
fn two_uplinks_yaml_shares_clients_by_two_providers_with_a_vpn_behind() {
    let policy = example("two-uplinks.yaml");
    let uplinks = policy.uplinks.iter().map(|uplink| (uplink.name.as_str(), uplink.weight)).collect::<Vec<_>>();
    assert_eq!(uplinks, [("fibre", Some(3)), ("cable", Some(1)), ("vpn", None)]);
    assert_eq!(policy.health.probe, Probe::To { host: "thulium".to_owned(), port: 443 });
    assert_eq!(policy.warnings, Vec::<String>::new());
}

#[test]
fn names_yaml_has_a_wildcard_beside_the_server_and_one_host_with_private_answers() {
    let policy = example("names.yaml");
    assert_eq!(policy.hosts[0].names, ["acme.thulium.com", "*.thulium.com"]);
    let private = policy.hosts.iter().filter(|host| host.private_answers).map(|host| host.name.as_str());
    assert_eq!(private.collect::<Vec<_>>(), ["exchange"]);
    assert_eq!(policy.warnings, Vec::<String>::new());
}
