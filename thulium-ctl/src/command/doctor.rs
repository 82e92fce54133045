//! `doctor`: what on this gateway would block or modify Thulium's traffic.

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use super::{Options, daemon::PATIENCE, print::print};
use crate::{
    control::{Reply, Request, ask, socket_path},
    datapath::{marks::Marks, pins::Pins, tables::Tables},
    doctor::{Origin, Subject, examine},
    exit::{Exit, Failure},
    observe::{
        Source as _,
        status::{Hook, Mode, Role},
    },
    policy,
};

/// What to look at.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Arguments {
    /// Look at this policy, before its first `run` or instead of the one in force
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

/// Looks and prints what was found; 1 if a check failed.
///
/// # Errors
/// If the policy is wrong (78), or there is none to look at (3).
pub(super) fn run(options: &Options, arguments: Arguments, tables: Option<&Tables>) -> anyhow::Result<ExitCode> {
    let mut subject = subject(options, arguments.policy, tables)?;
    let pins = Pins::of(&options.instance, options.bpffs.as_deref());
    subject.others =
        pins.map_or(Vec::new(), |pins| pins.others().iter().map(|other| other.instance().to_owned()).collect());
    let report = examine(subject, options.bpffs.as_deref());
    print(&report, options.json)?;
    Ok(if report.has_failed() { ExitCode::from(Exit::CheckFailed as u8) } else { ExitCode::SUCCESS })
}

/// How many addresses the daemon knows of each host.
fn known(instance: &str) -> Option<BTreeMap<String, u64>> {
    let Ok(Reply::Hosts(hosts)) = ask(&socket_path(instance), Request::Hosts, PATIENCE) else { return None };
    Some(hosts.into_iter().map(|host| (host.name.clone(), host.admitting())).collect())
}

fn subject(options: &Options, file: Option<PathBuf>, tables: Option<&Tables>) -> anyhow::Result<Subject> {
    let instance = &options.instance;
    let attachments = tables.map(Tables::attachments).transpose()?.unwrap_or_default();
    let is_attached = attachments.iter().any(|one| one.tc != Hook::None);
    if let Some(file) = file {
        let policy = policy::load(&file).map_err(Failure::from)?;
        return Ok(Subject::of_policy(instance, Origin::File { policy: file }, policy, is_attached));
    }
    if let Ok(Reply::Policy(in_force)) = ask(&socket_path(instance), Request::Policy, PATIENCE) {
        let policy =
            policy::parse(&in_force.file.display().to_string(), in_force.text.as_bytes()).map_err(Failure::from)?;
        let origin = Origin::Daemon { policy: in_force.file, process: in_force.process };
        return Ok(Subject { known: known(instance), ..Subject::of_policy(instance, origin, policy, is_attached) });
    }
    let Some(tables) = tables else {
        return Err(Failure::new(
            Exit::NotRunning,
            format!("instance `{instance}` is not running, so that there is no policy to look at"),
            "Name one: thulium-ctl doctor --policy FILE",
        )
        .into());
    };
    let of = |role: Role| attachments.iter().filter(|one| one.role == role).map(|one| one.name.clone()).collect();
    let uplinks: Vec<String> = of(Role::Uplink);
    Ok(Subject {
        instance: instance.clone(),
        origin: Origin::Pins,
        policy: None,
        is_attached,
        others: Vec::new(),
        known: None,
        lan: of(Role::Lan),
        mark: Marks::of(policy::DEFAULT_MARK, uplinks.len()),
        uplinks,
        clients: Vec::new(),
        is_audited: tables.mode()? == Some(Mode::Audit),
        is_enforced: tables.mode()? == Some(Mode::Enforce) && tables.settings()?.pass_unmatched == 0,
    })
}
