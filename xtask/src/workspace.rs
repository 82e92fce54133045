//! Where things are.

use std::{
    env,
    ffi::OsString,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::environment;

/// The repository's top level.
pub(crate) fn root() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// Cargo's target folder, absolute.
pub(crate) fn target() -> PathBuf {
    root().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| OsString::from("target")))
}

/// Where programs that the build itself installs live: their `bin` folder is below it.
pub(crate) fn tools() -> PathBuf {
    target().join("tools")
}

/// The eBPF object. `thulium-ctl`'s build script looks for it here.
pub(crate) fn object() -> PathBuf {
    target().join("bpf/thulium.o")
}

/// The eBPF programs of the bench.
pub(crate) fn bench_object() -> PathBuf {
    target().join("bpf/bench.o")
}

/// A program of the release profile.
pub(crate) fn release_binary(name: &str) -> PathBuf {
    target().join("release").join(name)
}

/// A cargo of the toolchain that runs this program, for the host's side, at the repository's top.
pub(crate) fn cargo() -> std::process::Command {
    let mut command = std::process::Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    environment::forget(&mut command, environment::is_of_this_crate);
    command.current_dir(root());
    command
}

/// True if this process is root's.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// The first executable file called `name` on PATH.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(|file| is_executable(file))
}

/// True if `file` is a file that someone may execute.
pub(crate) fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.mode() & 0o111 != 0)
}
