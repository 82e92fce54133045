//! The programs that make and run a virtual machine.

use std::{
    env,
    ffi::OsString,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{apt, workspace};

/// Debian's packages of them: the emulator, the initramfs's only program, and what loads modules.
const PACKAGES: &[&str] = &["qemu-system-x86", "busybox-static", "kmod"];

/// Where the programs are: installed ones on PATH, the others in a folder, unpacked.
pub(super) struct Tools {
    folder: PathBuf,
    /// The emulator.
    qemu: PathBuf,
    /// A busybox that needs no libraries.
    pub(super) busybox: PathBuf,
    /// All that has to do with modules.
    pub(super) kmod: PathBuf,
}

impl Tools {
    /// Finds them, or unpacks what is not installed below `folder`.
    ///
    /// # Errors
    /// If something is missing and cannot be downloaded.
    pub(super) fn ready(folder: &Path) -> Result<Self> {
        let folder = folder.join("tools");
        if !folder.is_dir() {
            apt::unpack_missing(PACKAGES, &folder)?;
        }
        let find = |name: &str| {
            let unpacked = ["usr/bin", "bin"].map(|bin| folder.join(bin).join(name)).into_iter();
            let mut places = unpacked.chain(workspace::on_path(name));
            let remedy = || format!("{name} is not there; after removing {} it is looked for anew", folder.display());
            places.find(|file| workspace::is_executable(file)).with_context(remedy)
        };
        let (qemu, busybox, kmod) = (find("qemu-system-x86_64")?, find("busybox")?, find("kmod")?);
        Ok(Self { qemu, busybox, kmod, folder })
    }

    /// The emulator, with libraries and firmware that came with it. It ends with the thread that starts it, also if that is killed.
    pub(super) fn emulator(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(&self.qemu);
        for firmware in ["qemu", "seabios"] {
            command.arg("-L").arg(self.folder.join("usr/share").join(firmware));
        }
        command.env("LD_LIBRARY_PATH", self.libraries());
        command
    }

    /// kmod as the program `name`, which it takes from how it is called.
    pub(super) fn kmod(&self, name: &str) -> Command {
        let mut command = Command::new(&self.kmod);
        command.arg0(name).env("LD_LIBRARY_PATH", self.libraries());
        command
    }

    /// Where the unpacked libraries are; the installed ones are found without it.
    pub(super) fn libraries(&self) -> OsString {
        let folders = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|lib| self.folder.join(lib));
        // Only a colon in the path prevents it; then what is installed has to do.
        env::join_paths(folders).unwrap_or_default()
    }
}
