//! Where maps, links and some programs outlive the daemon: `<bpffs>/thulium/<instance>/v<schema>-<layout>/{maps,links,programs}`.

use std::{
    fs, io,
    os::fd::IntoRawFd,
    path::{Path, PathBuf},
};

use anyhow::Context;
use nix::sys::statfs::{FsType, statfs};
use thulium_ebpf::abi::{LAYOUT, SCHEMA};

use crate::exit::{Exit, Failure};

/// `BPF_FS_MAGIC` of `linux/magic.h`.
const BPF_FS: FsType = FsType(0xcafe_4a11);
/// Where distributions mount it.
const USUAL: &str = "/sys/fs/bpf";
/// Ancestors that are asked for theirs.
const ANCESTORS: usize = 16;

/// The pins of an instance.
#[derive(Clone, Debug)]
pub struct Pins {
    /// `<bpffs>/thulium`.
    root: PathBuf,
    instance: String,
}

impl Pins {
    /// The pins of `instance` in the BPF file system at `bpffs`, or where it usually is.
    ///
    /// # Errors
    /// If there is no BPF file system.
    pub fn of(instance: &str, bpffs: Option<&Path>) -> Result<Self, Failure> {
        let found = match bpffs {
            Some(path) => Some(path).filter(|path| is_bpffs(path)).map(Path::to_path_buf),
            None => Some(PathBuf::from(USUAL)).filter(|path| is_bpffs(path)).or_else(hidden_bpffs),
        };
        let Some(bpffs) = found else {
            let place = bpffs.unwrap_or(Path::new(USUAL)).display().to_string();
            return Err(Failure::new(
                Exit::Kernel,
                format!("there is no BPF file system at {place}: maps and links could not outlive the daemon"),
                format!(
                    "Mount it: mount -t bpf bpf {place}\n\
                     Where it is mounted elsewhere, or hidden as by `ip netns exec`, name it with `--bpffs`."
                ),
            ));
        };
        Ok(Self { root: bpffs.join("thulium"), instance: instance.to_owned() })
    }

    fn instance_directory(&self) -> PathBuf {
        self.root.join(&self.instance)
    }

    /// The folder of this version's layout.
    fn directory(&self) -> PathBuf {
        self.instance_directory().join(format!("v{SCHEMA}-{LAYOUT:08x}"))
    }

    /// The pin of a map.
    pub fn map(&self, name: &str) -> PathBuf {
        self.directory().join("maps").join(name)
    }

    /// The pin of a program that commands run.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs().join(name)
    }

    fn programs(&self) -> PathBuf {
        self.directory().join("programs")
    }

    /// The folder of the links.
    pub fn links(&self) -> PathBuf {
        self.directory().join("links")
    }

    /// True if the instance has pins of this layout.
    ///
    /// # Errors
    /// If this user may not look.
    pub fn exist(&self) -> Result<bool, Failure> {
        let generation = self.map("generation");
        generation.try_exists().map_err(|error| {
            Failure::new(
                Exit::Kernel,
                format!("cannot look at {}: {error}", self.instance_directory().display()),
                "Only root can read the datapath's maps: run it as root.",
            )
        })
    }

    /// The pins of links of this layout.
    pub fn own_links(&self) -> Vec<PathBuf> {
        fs::read_dir(self.links()).into_iter().flatten().flatten().map(|link| link.path()).collect()
    }

    /// The pins of links, those of other layouts too.
    pub fn links_of_all_layouts(&self) -> Vec<PathBuf> {
        let layouts = fs::read_dir(self.instance_directory()).into_iter().flatten().flatten();
        let links = layouts.filter_map(|layout| fs::read_dir(layout.path().join("links")).ok());
        links.flatten().flatten().map(|link| link.path()).collect()
    }

    /// The name of another layout's folder, if the instance has one.
    pub fn other_layout(&self) -> Option<String> {
        let ours = self.directory();
        let entries = fs::read_dir(self.instance_directory()).ok()?;
        let other = entries.flatten().find(|entry| entry.path() != ours)?;
        Some(other.file_name().to_string_lossy().into_owned())
    }

    /// Makes the folders.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn create(&self) -> anyhow::Result<()> {
        for directory in [self.directory().join("maps"), self.links(), self.programs()] {
            fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        }
        Ok(())
    }

    /// Removes all pins of the instance, those of other layouts too: links detach, maps are freed. True if there were any.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn remove(&self) -> anyhow::Result<bool> {
        let directory = self.instance_directory();
        match remove_tree(&directory) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error).with_context(|| format!("cannot remove {}", directory.display())),
        }
        // Other instances may have theirs beside it.
        let _ = fs::remove_dir(&self.root);
        Ok(true)
    }

    /// The instances that have pins in this file system, other than this one.
    pub fn others(&self) -> Vec<Self> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| *name != self.instance)
            .map(|instance| Self { root: self.root.clone(), instance })
            .collect()
    }

    /// The instance's name.
    pub fn instance(&self) -> &str {
        &self.instance
    }
}

/// `fs::remove_dir_all` opens directories in a way that bpffs does not support on older kernels.
fn remove_tree(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    fs::remove_dir(directory)
}

/// `ip netns exec` gives its command a mount namespace in which another `/sys` hides the BPF file system: it is still there for
/// the process that called it. A descriptor keeps hold of it when that process is gone.
fn hidden_bpffs() -> Option<PathBuf> {
    let ancestors = std::iter::successors(Some(std::process::id()), |process| parent(*process));
    let theirs = ancestors.skip(1).take(ANCESTORS).map(|process| PathBuf::from(format!("/proc/{process}/root{USUAL}")));
    let found = theirs.into_iter().find(|path| is_bpffs(path))?;
    let directory = fs::File::open(found).ok()?;
    // Held until this process ends.
    Some(PathBuf::from(format!("/proc/self/fd/{}", directory.into_raw_fd())))
}

/// The parent of a process; `None` at the end of the line.
fn parent(process: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    parent.trim().parse().ok().filter(|parent| *parent > 0)
}

fn is_bpffs(path: &Path) -> bool {
    statfs(path).is_ok_and(|stat| stat.filesystem_type() == BPF_FS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_ancestors_begins_with_the_parent() {
        assert_eq!(parent(std::process::id()), Some(std::os::unix::process::parent_id()));
        assert_eq!(parent(u32::MAX), None);
    }

    #[test]
    fn a_folder_that_is_no_bpffs_is_an_error_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let failure = Pins::of("default", Some(folder.path())).unwrap_err();
        assert_eq!(failure.exit, Exit::Kernel);
        assert!(failure.remedy.contains("mount -t bpf"), "{failure}");
    }
}
