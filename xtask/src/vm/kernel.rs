//! A kernel of Debian's, from its package.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use super::tools::Tools;
use crate::{apt, step::step};

/// An unpacked kernel package.
pub(super) struct Kernel {
    /// Where it was unpacked.
    pub(super) folder: PathBuf,
    /// What the kernel calls itself, `6.1.0-56-amd64` for example.
    pub(super) release: String,
}

impl Kernel {
    /// The newest kernel of `series` (`6.1`) that Debian's packages have, unpacked below `folder` unless it is there.
    ///
    /// # Errors
    /// If there is none, or it cannot be downloaded.
    pub(super) fn ready(series: &str, folder: &Path, tools: &Tools) -> Result<Self> {
        let folder = folder.join(format!("linux-{series}"));
        if !folder.is_dir() {
            let package = newest(series, apt::named(&pattern(series))?);
            let Some(package) = package else { bail!("no package of a kernel {series} is known to apt") };
            apt::unpack(&package.clone(), &[package], &folder)?;
        }
        let release = only_entry(&folder.join("lib/modules"))?;
        let kernel = Self { folder, release };
        if !kernel.modules().join("modules.dep").is_file() {
            let mut depmod = tools.kmod("depmod");
            depmod.arg("--basedir").arg(&kernel.folder).arg(&kernel.release);
            step(&format!("Reading the modules of {}", kernel.release), &mut depmod)?;
        }
        Ok(kernel)
    }

    /// The kernel itself.
    pub(super) fn image(&self) -> PathBuf {
        self.folder.join("boot").join(format!("vmlinuz-{}", self.release))
    }

    /// The folder of its modules.
    pub(super) fn modules(&self) -> PathBuf {
        self.folder.join("lib/modules").join(&self.release)
    }
}

/// What the names of `series`' packages match, for apt.
fn pattern(series: &str) -> String {
    format!("^linux-image-{}\\.[0-9].*-amd64$", series.replace('.', "\\."))
}

/// The newest of Debian's plain kernels in `packages`: the cloud flavour lacks PPP.
fn newest(series: &str, packages: Vec<String>) -> Option<String> {
    let prefix = format!("linux-image-{series}.");
    let version = |package: &String| -> Option<Vec<u32>> {
        let version = package.strip_prefix(&prefix)?.strip_suffix("-amd64")?;
        // 0-56, or 117+deb12; other flavours are 0-56-cloud, or 117+deb12-cloud.
        let (number, release) = version.split_once('+').unwrap_or((version, ""));
        let numbers: Option<Vec<u32>> = number.split(['.', '-']).map(|number| number.parse().ok()).collect();
        numbers.filter(|_| !release.contains('-'))
    };
    let versions = packages.into_iter().filter_map(|package| Some((version(&package)?, package)));
    versions.max().map(|(_, package)| package)
}

fn only_entry(folder: &Path) -> Result<String> {
    let mut entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let entry = entries.next().with_context(|| format!("nothing is in {}", folder.display()))??;
    Ok(entry.file_name().to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_plain_kernel_is_taken() {
        let of = |series, names: &[&str]| newest(series, names.iter().map(ToString::to_string).collect());
        let bookworm = ["linux-image-6.1.0-9-amd64", "linux-image-6.1.0-56-amd64", "linux-image-6.1.0-57-cloud-amd64"];
        assert_eq!(of("6.1", &bookworm).as_deref(), Some("linux-image-6.1.0-56-amd64"));
        let security = [
            "linux-image-6.12.117+deb12-amd64",
            "linux-image-6.12.99+deb12-amd64",
            "linux-image-6.12.118+deb12-rt-amd64",
        ];
        assert_eq!(of("6.12", &security).as_deref(), Some("linux-image-6.12.117+deb12-amd64"));
        assert_eq!(of("6.12", &["linux-image-6.12.118+deb12-amd64-unsigned", "linux-image-6.12-amd64"]), None);
        assert_eq!(of("6.1", &security), None);
    }
}
