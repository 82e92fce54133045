//! What the kernel starts with: busybox, the modules for the host's file system, and two scripts.

use std::{collections::BTreeSet, fs};

use anyhow::{Context, Result};

use super::{cpio::Archive, kernel::Kernel, tools::Tools};

/// What the host's file system needs: a bus, a transport, the file system itself.
const MODULES: &[&str] = &["virtio_pci", "9pnet_virtio", "9p"];

/// The initramfs of `kernel`; `settings` is a shell script for `guest.sh`.
///
/// # Errors
/// If a file of the kernel or of the tools cannot be read.
pub(super) fn make(kernel: &Kernel, tools: &Tools, settings: &str) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for folder in ["bin", "dev", "host", "modules", "proc", "root", "sys"] {
        archive.folder(folder);
    }
    archive.file("bin/busybox", &read(&tools.busybox)?);
    archive.file("init", include_bytes!("init.sh"));
    archive.file("guest.sh", include_bytes!("guest.sh"));
    archive.file("settings.sh", settings.as_bytes());
    let dependencies = fs::read_to_string(kernel.modules().join("modules.dep")).context("reading modules.dep")?;
    // Their order is in their names.
    for (number, module) in load_order(&dependencies, MODULES).iter().enumerate() {
        archive.file(&format!("modules/{number:02}"), &read(&kernel.modules().join(module))?);
    }
    Ok(archive.finish())
}

fn read(file: &std::path::Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

/// The files of `wanted` and of what they need, each behind all that it needs. `dependencies` is a modules.dep, which has
/// all that a module needs in the order in which it is to be unloaded. What the kernel has built in is not in there.
fn load_order<'a>(dependencies: &'a str, wanted: &[&str]) -> Vec<&'a str> {
    let lines: Vec<(&str, &str)> = dependencies.lines().filter_map(|line| line.split_once(':')).collect();
    let is = |file: &str, name: &str| file.rsplit('/').next().and_then(|file| file.split('.').next()) == Some(name);
    let mut seen = BTreeSet::new();
    let found = wanted.iter().filter_map(|name| lines.iter().find(|(file, _)| is(file, name)));
    found
        .flat_map(|(file, needs)| needs.split_whitespace().rev().chain([*file]))
        .filter(|file| seen.insert(*file))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_come_behind_what_they_need_and_once() {
        let dependencies = "kernel/fs/9p/9p.ko.xz: kernel/net/9p/9pnet.ko.xz kernel/fs/netfs/netfs.ko.xz\n\
                            kernel/fs/netfs/netfs.ko.xz:\n\
                            kernel/net/9p/9pnet.ko.xz: kernel/fs/netfs/netfs.ko.xz\n\
                            kernel/net/9p/9pnet_virtio.ko.xz: kernel/net/9p/9pnet.ko.xz kernel/fs/netfs/netfs.ko.xz\n";
        let order = load_order(dependencies, &["virtio_pci", "9pnet_virtio", "9p"]);
        let names: Vec<_> = order.iter().filter_map(|file| file.rsplit('/').next()).collect();
        assert_eq!(names, ["netfs.ko.xz", "9pnet.ko.xz", "9pnet_virtio.ko.xz", "9p.ko.xz"]);
    }
}
