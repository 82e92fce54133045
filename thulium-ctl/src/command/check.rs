//! `check FILE`: whether a policy is right, and what it means. Changes nothing.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use serde_json::{Value, json};

use super::Options;
use crate::{
    exit::Exit,
    policy::{self, Document, Errors, Policy, PolicyError, Source},
};

/// Arguments of `check`.
#[derive(clap::Args, Debug)]
pub(super) struct Check {
    /// The policy file
    file: PathBuf,
    /// Do not look whether the policy's interfaces are on this machine
    #[arg(long)]
    offline: bool,
    /// Print the whole policy as YAML, with every default written out
    #[arg(long)]
    full: bool,
}

/// Prints what the policy means and ends with 0, or what is wrong with it and ends with 78.
///
/// # Errors
/// Standard output cannot be written.
pub(super) fn run(options: &Options, arguments: &Check) -> anyhow::Result<ExitCode> {
    let file = arguments.file.display().to_string();
    match read(arguments) {
        Ok(policy) => {
            let text = match (options.json, arguments.full) {
                (true, _) => pretty(&meaning(&file, &policy)?)?,
                (false, true) => Document::from(&policy).to_yaml()?,
                (false, false) => format!("{file}: right\n\n{}", policy::describe(&policy)),
            };
            io::stdout().write_all(text.as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        Err(errors) => {
            if options.json {
                io::stdout().write_all(pretty(&complaint(&errors))?.as_bytes())?;
            } else {
                let count = errors.count();
                writeln!(io::stderr(), "{errors}\n\n{count} error{}", if count == 1 { "" } else { "s" })?;
            }
            Ok(ExitCode::from(Exit::Policy as u8))
        }
    }
}

fn read(arguments: &Check) -> Result<Policy, Errors> {
    let source = Source::read(&arguments.file)?;
    let policy = source.policy()?;
    if !arguments.offline {
        policy::check_interfaces(&policy, &source)?;
    }
    Ok(policy)
}

fn meaning(file: &str, policy: &Policy) -> anyhow::Result<Value> {
    let document = serde_json::to_value(Document::from(policy))?;
    Ok(json!({ "version": 1, "file": file, "ok": true, "policy": document, "warnings": policy.warnings }))
}

fn complaint(errors: &Errors) -> Value {
    let error = |error: &PolicyError| {
        json!({
            "line": error.place.map(|place| place.line),
            "column": error.place.map(|place| place.column),
            "message": error.message,
            "help": error.help,
        })
    };
    let list = errors.list.iter().map(error).collect::<Vec<_>>();
    json!({ "version": 1, "file": errors.file, "ok": false, "errors": list, "more": errors.more })
}

fn pretty(value: &Value) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}
