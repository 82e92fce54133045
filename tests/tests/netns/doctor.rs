//! `doctor` names what is in the way, and the command that it prints takes it out of the way.

mod ipv6;
pub(crate) mod programs;
mod rules;
mod settings;
mod uplinks;

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use thulium_tests::lab::{Lab, POLICY, Ran, Verb};

/// What doctor says of the instance in force, or of a policy.
struct Doctor {
    ran: Ran,
    json: Value,
}

impl Doctor {
    /// Asks about what is in force.
    fn ask(lab: &Lab) -> Result<Self> {
        Self::of(Verb::new(lab, "doctor --json")?)
    }

    /// Asks about a policy that need not be in force.
    fn ask_about(lab: &Lab, policy: &str) -> Result<Self> {
        let file = lab.dir().join("asked.yaml");
        fs::write(&file, policy)?;
        let mut verb = Verb::new(lab, "doctor --json --policy")?;
        verb.command().arg(file);
        Self::of(verb)
    }

    fn of(verb: Verb) -> Result<Self> {
        let ran = verb.ran()?;
        let json = ran.json()?;
        let has_failed = json["status"] == "fail";
        ensure!(ran.code == i32::from(has_failed), "it ends with 1 if a check failed, else with 0: {ran:?}");
        Ok(Self { ran, json })
    }

    /// Findings with this status, as `check: seen`.
    fn with(&self, status: &str) -> Vec<String> {
        let checks = self.json["checks"].as_array().into_iter().flatten();
        let of_status = checks.filter(|check| check["status"] == status);
        of_status.map(|check| format!("{}: {}", text(&check["check"]), text(&check["seen"]))).collect()
    }

    /// The one finding of `check` with this status, whose text has `words` in it.
    fn finding(&self, check: &str, status: &str, words: &str) -> Result<&Value> {
        let checks = self.json["checks"].as_array().into_iter().flatten();
        let mut found =
            checks.filter(|one| one["check"] == check && one["status"] == status && text(&one["seen"]).contains(words));
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (first, _) => bail!(
                "{} {status} {check} with {words:?}: {}",
                if first.is_some() { "several" } else { "no" },
                self.ran.out
            ),
        }
    }

    /// True if there is a finding of `check` with this status, whose text has `words` in it.
    fn has(&self, check: &str, status: &str, words: &str) -> bool {
        self.finding(check, status, words).is_ok()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Runs the command that a finding prints, as an admin pastes it, in the gateway.
fn fix(lab: &Lab, finding: &Value) -> Result<()> {
    let command = finding["fix"].as_str().with_context(|| format!("no command: {finding}"))?;
    let output = lab.gw.command("sh").args(["-c", command]).output()?;
    ensure!(output.status.success(), "`{command}` fails: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Sees the trouble named, pastes what is printed, and sees it gone.
fn named_and_fixed(lab: &Lab, check: &str, status: &str, words: &str) -> Result<()> {
    let before = Doctor::ask(lab)?;
    fix(lab, before.finding(check, status, words)?)?;
    let after = Doctor::ask(lab)?;
    ensure!(!after.has(check, status, words), "{check} is still there: {}", after.ran.out);
    Ok(())
}

#[test]
fn nothing_is_wrong_with_a_plain_gateway() -> Result<()> {
    let lab = Lab::new()?;
    let before = Doctor::ask_about(&lab, POLICY)?;
    for status in ["fail", "warn", "not-tested"] {
        assert_eq!(before.with(status), [""; 0], "before the first run");
    }
    assert_eq!(
        (&before.json["looked_at"]["source"], &before.json["looked_at"]["attached"]),
        (&"file".into(), &false.into())
    );
    let _gateway = lab.start(POLICY)?;
    let running = Doctor::ask(&lab)?;
    for status in ["fail", "warn", "not-tested"] {
        assert_eq!(running.with(status), [""; 0], "while it runs");
    }
    assert_eq!(
        (&running.json["looked_at"]["source"], &running.json["looked_at"]["attached"]),
        (&"daemon".into(), &true.into())
    );
    Ok(())
}

#[test]
fn it_says_what_it_looked_at_without_a_daemon_too() -> Result<()> {
    let lab = Lab::new()?;
    let nothing = Verb::new(&lab, "doctor")?.ran()?;
    assert_eq!(nothing.code, 3, "{nothing:?}");
    assert!(nothing.err.contains("doctor --policy FILE"), "{nothing:?}");
    let mut gateway = lab.start(POLICY)?;
    // What is in force counts, not what the file has become.
    fs::write(lab.dir().join("policy.yaml"), "not: a policy\n")?;
    let text = gateway.ctl("doctor")?;
    assert_eq!(text.code, 0, "{text:?}");
    assert!(text.out.starts_with("Looked at the policy in force (process "), "{}", text.out);
    gateway.kill()?;
    let pins = Doctor::ask(&lab)?;
    assert_eq!(pins.json["looked_at"]["source"], "pins");
    assert!(pins.has("names", "not-tested", "no daemon runs"), "{}", pins.ran.out);
    assert_eq!(pins.json["looked_at"]["uplinks"], serde_json::json!(["wan0"]));
    Ok(())
}

#[test]
fn a_wrong_policy_is_told_like_everywhere() -> Result<()> {
    let lab = Lab::new()?;
    let file = lab.dir().join("wrong.yaml");
    fs::write(&file, "system: acme\n")?;
    let mut verb = Verb::new(&lab, "doctor --policy")?;
    verb.command().arg(file);
    let ran = verb.ran()?;
    assert_eq!(ran.code, 78, "{ran:?}");
    Ok(())
}
