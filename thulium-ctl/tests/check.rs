//! The command `check`, as an admin or a script runs it.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

const RIGHT: &str = "system: acme\nlan: { interfaces: [eth1] }\nuplinks: [{ interface: eth0 }]\n";

struct Policy {
    _folder: TempDir,
    path: PathBuf,
}

impl Policy {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("policy.yaml");
        fs::write(&path, text).expect("to write the policy");
        Self { _folder: folder, path }
    }

    fn check(&self, options: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_thulium-ctl"));
        command.arg("check").arg(&self.path).args(options).output().expect("to run thulium-ctl")
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("JSON on standard output")
}

#[test]
fn a_right_policy_is_explained_and_ends_with_0() {
    let output = Policy::new(RIGHT).check(&["--offline"]);
    assert_eq!(output.status.code(), Some(0));
    let meaning = text(&output.stdout);
    assert!(meaning.contains("media  16000-20000/udp  to thulium"), "{meaning}");
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn a_wrong_policy_is_told_on_standard_error_and_ends_with_78() {
    let policy = Policy::new(&format!("{RIGHT}sessions:\n  udp_idle: 30s\n  tcp_idel: 3h\n"));
    let output = policy.check(&["--offline"]);
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(text(&output.stdout), "");
    let errors = text(&output.stderr);
    let file = policy.path.display();
    assert!(errors.contains(&format!("{file}:5:13: error: `udp_idle` is `30s`, below the floor of 50s")), "{errors}");
    assert!(errors.contains("5 |   udp_idle: 30s\n  |             ^^^\n"), "{errors}");
    assert!(errors.contains("did you mean `tcp_idle`?"), "{errors}");
    assert!(errors.ends_with("2 errors\n"), "{errors}");
}

#[test]
fn json_tells_the_meaning() {
    let output = Policy::new(RIGHT).check(&["--offline", "--json"]);
    let meaning = json(&output);
    assert_eq!(meaning["version"], 1);
    assert_eq!(meaning["ok"], true);
    assert_eq!(meaning["policy"]["hosts"]["thulium"]["names"][0], "acme.thulium.com");
    assert_eq!(meaning["policy"]["flows"][1]["ports"][0], "15060/udp");
}

#[test]
fn json_tells_the_errors() {
    let output = Policy::new(&format!("{RIGHT}mod: audit\n")).check(&["--offline", "--json"]);
    assert_eq!(output.status.code(), Some(78));
    let errors = json(&output);
    assert_eq!(errors["ok"], false);
    assert_eq!(errors["errors"][0]["line"], 4);
    assert_eq!(errors["errors"][0]["column"], 1);
    assert_eq!(errors["errors"][0]["help"], "did you mean `mode`?");
}

#[test]
fn the_full_policy_is_a_policy() {
    let full = text(&Policy::new(RIGHT).check(&["--offline", "--full"]).stdout);
    assert!(full.contains("udp_idle: 5m"), "{full}");
    assert_eq!(Policy::new(&full).check(&["--offline"]).status.code(), Some(0));
}

#[test]
fn an_interface_that_is_not_on_the_machine_ends_with_78() {
    let policy = Policy::new(&RIGHT.replace("eth1", "lo").replace("eth0", "no-such-link"));
    assert_eq!(policy.check(&["--offline"]).status.code(), Some(0));
    let output = policy.check(&[]);
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("there is no interface `no-such-link` here"));
}
