//! Removing a lab, also one whose process is gone. Works from names alone.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::ensure;
use nix::{
    mount::{MntFlags, umount2},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{ROOT, bpffs, dir, gateway, namespace::NAMES, wait::within};

/// Removes the lab `id`: its instance of `thulium-ctl`, processes, namespaces, mounts and files.
///
/// Every step is tried whatever became of the one before: a lab may be half built.
pub(super) fn dismantle(id: &str) {
    let names: Vec<PathBuf> =
        ["lan", "gw", "net", "far"].iter().map(|role| PathBuf::from(NAMES).join(format!("{id}-{role}"))).collect();
    gateway::take_down(id, &names[1]);
    for name in &names {
        kill_inside(name);
        let _ = umount2(name, MntFlags::MNT_DETACH);
        let _ = fs::remove_file(name);
    }
    let _ = umount2(&bpffs(id), MntFlags::MNT_DETACH);
    let _ = fs::remove_dir_all(dir(id));
}

/// Removes the labs of this process, for a program that is about to end by a signal.
pub fn dismantle_own() {
    let own = std::process::id().to_string();
    dismantle_of(|owner| owner == own);
}

/// Removes the labs of processes that are gone.
pub(super) fn sweep() {
    dismantle_of(|owner| !Path::new("/proc").join(owner).exists());
}

/// Removes the labs whose owner, a process id, is `wanted`.
fn dismantle_of(wanted: impl Fn(&str) -> bool) {
    let Ok(entries) = fs::read_dir(ROOT) else { return };
    for entry in entries.flatten() {
        let id = entry.file_name().to_string_lossy().into_owned();
        let owner = id.strip_prefix("tl-").and_then(|rest| rest.split('-').next());
        if owner.is_some_and(&wanted) {
            dismantle(&id);
        }
    }
}

/// Kills every process in the namespace, and waits for their end.
fn kill_inside(namespace: &Path) {
    let _ = within(Duration::from_secs(5), "the end of a lab's processes", || {
        let inside = inside(namespace);
        for pid in &inside {
            let _ = kill(*pid, Signal::SIGKILL);
        }
        ensure!(inside.is_empty(), "{} still there", inside.len());
        Ok(())
    });
}

fn inside(namespace: &Path) -> Vec<Pid> {
    let Ok(wanted) = fs::metadata(namespace) else { return Vec::new() };
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    processes
        .flatten()
        .filter(|process| {
            fs::metadata(process.path().join("ns/net"))
                .is_ok_and(|own| (own.dev(), own.ino()) == (wanted.dev(), wanted.ino()))
        })
        .filter_map(|process| process.file_name().to_string_lossy().parse().ok().map(Pid::from_raw))
        .collect()
}

/// Removes what the lab's instances keep outside the lab's folder; a test may have tried a second one, `<id>-…`.
pub(super) fn remove_instance_files(id: &str) {
    for folder in ["/run/thulium-ctl", "/var/lib/thulium-ctl"] {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let ours = name.strip_prefix(id).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']));
            if ours {
                let _ = fs::remove_file(entry.path());
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}
