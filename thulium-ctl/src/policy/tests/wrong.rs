//! The text of every error. `wrong/NAME.yaml` has mistakes, and `wrong/NAME.txt` is what the admin reads.
//!
//! After a change of the words: `UPDATE_ERRORS=1 cargo test -p thulium-ctl`, then read the difference.

use std::{fs, path::Path};

use super::{SMALLEST, right, wrong};
use crate::{
    exit::{Exit, Failure},
    policy::{Source, load, parse},
};

#[test]
fn every_mistake_is_told_with_its_place_and_remedy() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/policy/tests/wrong");
    let mut count = 0;
    for entry in fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let bytes = fs::read(&path).expect("the policy");
        let name = path.file_name().expect("a name").to_string_lossy();
        let errors = parse(&name, &bytes).expect_err(&name).to_string() + "\n";
        let expected = path.with_extension("txt");
        if std::env::var_os("UPDATE_ERRORS").is_some() {
            fs::write(&expected, &errors).expect("to write");
        }
        assert_eq!(errors, fs::read_to_string(&expected).unwrap_or_default(), "{name}");
        count += 1;
    }
    assert!(count > 15, "only {count} files were found");
}

#[test]
fn a_short_udp_lifetime_cites_the_floor() {
    let errors = wrong(format!("{SMALLEST}sessions: {{ udp_idle: 30s }}"));
    assert!(errors.contains("policy.yaml:4:23") && errors.contains("50s") && errors.contains("T8"), "{errors}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let errors = load(Path::new("/nonexistent/policy.yaml")).expect_err("an error");
    assert!(errors.to_string().starts_with("/nonexistent/policy.yaml: error: it cannot be read: No such file"));
}

#[test]
fn a_directory_is_no_policy() {
    let folder = tempfile::tempdir().expect("a folder");
    let errors = load(folder.path()).expect_err("an error").to_string();
    assert!(errors.contains("it is a directory"), "{errors}");
}

#[test]
fn a_lan_has_32_interfaces_at_most() {
    let lan = |count: usize| {
        let interfaces: Vec<String> = (0..count).map(|number| format!("lan{number}")).collect();
        SMALLEST.replace("eth1", &interfaces.join(", "))
    };
    assert_eq!(right(&lan(32)).lan.interfaces.len(), 32);
    let text = wrong(lan(33));
    assert!(text.contains("this is interface 33 of 33, and a LAN can have 32"), "{text}");
    assert!(text.contains("a bridge instead of its ports"), "{text}");
}

#[test]
fn too_many_flows_hosts_and_ports_are_refused() {
    let list = |count: usize, item: &dyn Fn(usize) -> String| (0..count).map(item).collect::<Vec<_>>().join("\n");
    let flows = list(65, &|n| format!("  - {{ name: f{n}, to: thulium, ports: {}/tcp }}", n + 1));
    assert!(wrong(format!("{SMALLEST}flows:\n{flows}\n")).contains("this is flow 65 of 65, and a policy can have 64"));
    let hosts = list(65, &|n| format!("  h{n}: {{ names: [h{n}.example] }}"));
    let flow = "flows: [{ name: f, to: h0, ports: 1/tcp }]";
    assert!(
        wrong(format!("{SMALLEST}hosts:\n{hosts}\n{flow}\n"))
            .contains("this is host 65 of 65, and a policy can have 64")
    );
    let mut flows = String::new();
    for flow in 0..64 {
        let ranges = (0..32).map(|range| 3 + 1000 * range + 11 * flow).map(|at| format!("{at}-{}/udp", at + 500));
        let ranges = ranges.collect::<Vec<_>>().join(", ");
        flows += &format!("  - {{ name: f{flow}, to: thulium, ports: [{ranges}] }}\n");
    }
    assert!(wrong(format!("{SMALLEST}flows:\n{flows}")).contains("blocks, and a policy can have 4096"));
    let names = |host: usize| list(256, &|n| format!("      - n{n}.h{host}.example"));
    let hosts = list(17, &|n| format!("  h{n}:\n    names:\n{}", names(n)));
    let errors = wrong(format!("{SMALLEST}hosts:\n{hosts}\nflows: [{{ name: f, to: h0, ports: 1/tcp }}]\n"));
    assert!(errors.contains("4352 names in all, and a policy can have 4096"), "{errors}");
    let ports = list(33, &|n| format!("      - {}/tcp", 2 * n + 1));
    let errors = wrong(format!("{SMALLEST}flows:\n  - name: f\n    to: thulium\n    ports:\n{ports}\n"));
    assert!(errors.contains("33 entries"), "{errors}");
}

#[test]
fn of_a_great_many_errors_the_first_are_shown_and_the_rest_counted() {
    let errors = wrong((0..1000).map(|n| format!("key{n}: 1\n")).collect::<String>());
    assert!(errors.ends_with("more errors at least"), "{errors}");
    assert!(errors.len() < 30_000);
}

#[test]
fn errors_end_a_command_with_78() {
    let failure = Failure::from(parse("policy.yaml", b"system: acme").expect_err("errors"));
    assert_eq!(failure.exit, Exit::Policy);
    assert!(failure.to_string().contains("policy.yaml:1:1: error: the policy needs the key `lan`"), "{failure}");
}

#[test]
fn an_interface_that_is_not_there_is_shown_where_the_policy_names_it() {
    let text = SMALLEST.replace("eth1", "lo").replace("eth0", "no-such-link");
    let source = Source::from_bytes("policy.yaml", text.as_bytes()).expect("YAML");
    let policy = source.policy().expect("a policy");
    let errors = crate::policy::check_interfaces(&policy, &source).expect_err("an error").to_string();
    assert!(errors.starts_with("policy.yaml:3:23: error: there is no interface `no-such-link` here"), "{errors}");
    assert!(!errors.contains("`lo`"), "{errors}");
}
