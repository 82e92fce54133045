//! Packages that are unpacked into a folder instead of being installed: nothing on this machine changes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::{apt_get, update};
use crate::step::{attempt, output, step};

/// The packages whose name matches the regular expression `pattern`.
///
/// # Errors
/// If the package lists cannot be updated.
pub(crate) fn named(pattern: &str) -> Result<Vec<String>> {
    let search = || output(Command::new("apt-cache").args(["search", "--names-only", pattern]));
    let mut found = search().unwrap_or_default();
    // The package lists of a fresh machine are empty.
    if found.is_empty() {
        update()?;
        found = search().unwrap_or_default();
    }
    Ok(found.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

/// Unpacks those of `packages` that are not installed, and what they need and is not installed either, into `folder`.
///
/// # Errors
/// If apt does not know them, or cannot get them.
pub(crate) fn unpack_missing(packages: &[&str], folder: &Path) -> Result<()> {
    // Only what would be installed is asked: a package that would have to go for that may stay.
    let simulated = || {
        let mut install = Command::new("apt-get");
        output(install.args(["install", "--simulate", "--no-install-recommends"]).args(packages))
    };
    let mut plan = simulated();
    if plan.is_none() {
        update()?;
        plan = simulated();
    }
    let Some(plan) = plan else { bail!("apt cannot say what {} need", packages.join(" ")) };
    unpack(&packages.join(" "), &to_install(&plan), folder)
}

/// Downloads `packages`, which are called `what` together, and unpacks them into `folder`, which is not there yet.
///
/// # Errors
/// If apt cannot get them.
pub(crate) fn unpack(what: &str, packages: &[String], folder: &Path) -> Result<()> {
    let partial = folder.with_extension("partial");
    // What a run that was killed left behind.
    let _ = fs::remove_dir_all(&partial);
    let (archives, root) = (partial.join("archives"), partial.join("root"));
    for folder in [&archives, &root] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    download(what, packages, &archives)?;
    for archive in files(&archives)? {
        let status = Command::new("dpkg-deb").arg("--extract").arg(&archive).arg(&root).status();
        if !status.context("cannot start dpkg-deb")?.success() {
            bail!("{} cannot be unpacked", archive.display());
        }
    }
    // From one moment to the next, so that a folder that is there is whole.
    fs::rename(&root, folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::remove_dir_all(&partial).with_context(|| format!("cannot remove {}", partial.display()))
}

fn download(what: &str, packages: &[String], folder: &Path) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let what = format!("Downloading {what}");
    let mut apt = apt_get("download", &packages.iter().map(String::as_str).collect::<Vec<_>>());
    apt.current_dir(folder);
    if attempt(&what, &mut apt)? {
        return Ok(());
    }
    // Old package lists name files that are gone by now.
    update()?;
    step(&what, &mut apt)
}

/// The packages in what `apt-get install --simulate` printed: lines such as `Inst seabios (1.16.2 Debian:12 [all])`.
fn to_install(plan: &str) -> Vec<String> {
    plan.lines().filter_map(|line| line.strip_prefix("Inst ")?.split_whitespace().next()).map(str::to_owned).collect()
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    Ok(entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<_>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_removed_is_not_downloaded() {
        let plan = "Reading state information...\nRemv qemu-utils [1:10.0.2]\nInst seabios (1.16.2 Debian:12 [all])\n\
                    Inst libfdt1 [1.6.0] (1.6.1 Debian:12 [amd64])\nConf seabios (1.16.2 Debian:12 [all])\n";
        assert_eq!(to_install(plan), ["seabios", "libfdt1"]);
    }
}
