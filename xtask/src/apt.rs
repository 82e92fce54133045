//! Debian packages.

mod unpack;

use std::{path::Path, process::Command};

use anyhow::{Result, bail};

pub(crate) use unpack::{named, unpack, unpack_missing};

use crate::{
    step::{attempt, output, step},
    workspace,
};

/// Installs those of `packages` that are not installed, without what they merely recommend, and never by removing others.
///
/// # Errors
/// If we may not, or apt fails.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let missing: Vec<&str> = packages.iter().copied().filter(|package| !is_installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if workspace::on_path("apt-get").is_none() {
        bail!("these Debian packages, or what corresponds to them here, have to be installed: {list}");
    }
    if !workspace::is_root() {
        bail!("missing packages; as root: apt-get install --no-install-recommends {list}");
    }
    let what = format!("Installing {list}");
    // The package lists of a fresh machine are empty; those of an old one name files that are gone by now.
    let known = output(apt_get("install", &missing).arg("--simulate")).is_some();
    if known && attempt(&what, &mut apt_get("install", &missing))? {
        return Ok(());
    }
    update()?;
    step(&what, &mut apt_get("install", &missing))
}

fn update() -> Result<()> {
    step("Updating the package lists", &mut apt_get("update", &[]))
}

/// True if dpkg has the package, configured.
fn is_installed(package: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    output(query.args(["--show", "--showformat=${db:Status-Status}", package]))
        .is_some_and(|status| status == "installed")
}

fn apt_get(verb: &str, packages: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").arg("--quiet");
    // Another apt at work is waited for.
    command.args(["-o", "DPkg::Lock::Timeout=300", verb]);
    if verb == "install" {
        command.args(["--yes", "--no-install-recommends", "--no-remove"]);
    }
    command.args(packages);
    command
}

/// True if systemd runs this machine.
pub(crate) fn has_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Keeps the service of a package that is about to be installed from being started by its installation: masked in
/// `/run`, so that even a run that was killed leaves nothing behind that outlives a reboot.
pub(crate) struct Masked(Option<&'static str>);

impl Masked {
    /// Masks `service` if its package is yet to be installed.
    pub(crate) fn before_installing(package: &str, service: &'static str) -> Self {
        let needed = has_systemd() && !is_installed(package);
        Self((needed && systemctl(&["mask", "--runtime", service])).then_some(service))
    }
}

impl Drop for Masked {
    fn drop(&mut self) {
        if let Some(service) = self.0 {
            systemctl(&["disable", service]);
            systemctl(&["unmask", "--runtime", service]);
        }
    }
}

fn systemctl(arguments: &[&str]) -> bool {
    output(Command::new("systemctl").arg("--quiet").args(arguments)).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_never_installed_by_removing_others() {
        let command = apt_get("install", &["nftables"]);
        let arguments: Vec<_> = command.get_args().filter_map(|argument| argument.to_str()).collect();
        assert!(arguments.ends_with(&["--yes", "--no-install-recommends", "--no-remove", "nftables"]), "{arguments:?}");
    }

    #[test]
    fn the_lists_are_updated_without_install_options() {
        assert!(apt_get("update", &[]).get_args().all(|argument| argument != "--no-remove"));
    }
}
