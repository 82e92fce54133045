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
pub fn dismantle(id: &str) {
    let names: Vec<PathBuf> =
        ["lan", "gw", "net"].iter().map(|role| PathBuf::from(NAMES).join(format!("{id}-{role}"))).collect();
    gateway::take_down(id, &names[1]);
    for name in &names {
        kill_inside(name);
        let _ = umount2(name, MntFlags::MNT_DETACH);
        let _ = fs::remove_file(name);
    }
    let _ = umount2(&bpffs(id), MntFlags::MNT_DETACH);
    let _ = fs::remove_dir_all(dir(id));
}

/// Removes the labs of processes that are gone.
pub(super) fn sweep() {
    let Ok(entries) = fs::read_dir(ROOT) else { return };
    for entry in entries.flatten() {
        let id = entry.file_name().to_string_lossy().into_owned();
        let owner = id.strip_prefix("tl-").and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
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

/// The state that an instance keeps outside the lab's folder.
pub(super) fn instance_files(id: &str) -> [PathBuf; 2] {
    [PathBuf::from(format!("/run/thulium-ctl/{id}.sock")), PathBuf::from(format!("/var/lib/thulium-ctl/{id}"))]
}
