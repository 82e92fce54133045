//! Looks at what is on this machine: files and versions, not names of packages.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    BPF_TARGET, LLVM_MAJOR,
    plan::{Found, Linker, Packages},
};
use crate::{environment, step::output, workspace};

/// Debian's compiler. It is named by its path, because rustup's comes first on PATH.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// What is there.
pub(super) fn probe() -> Found {
    Found {
        debian: debian(),
        nightly_llvm: nightly_llvm(),
        linker: linker(),
        llvm: llvm_prefix().is_some(),
        packages: packages(),
    }
}

/// Debian's compiler, if it comes with a prebuilt core for the BPF target.
fn debian() -> Option<PathBuf> {
    let sysroot = output(outside(DEBIAN_RUSTC).args(["--print", "sysroot"]))?;
    let libraries = Path::new(&sysroot).join("lib/rustlib").join(BPF_TARGET).join("lib");
    let core = fs::read_dir(libraries).ok()?.flatten().any(|file| {
        let name = file.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libcore-") && name.ends_with(".rlib")
    });
    core.then(|| PathBuf::from(DEBIAN_RUSTC))
}

/// The major version of the LLVM in rustup's nightly, if that has the source of core.
fn nightly_llvm() -> Option<u32> {
    let rustc = ["run", "nightly", "rustc"];
    let sysroot = output(outside("rustup").args(rustc).args(["--print", "sysroot"]))?;
    let source = Path::new(&sysroot).join("lib/rustlib/src/rust/library/core/Cargo.toml");
    source.is_file().then(|| output(outside("rustup").args(rustc).arg("-vV")).as_deref().and_then(llvm_major))?
}

/// The first usable linker: of `THULIUM_BPF_LINKER`, on PATH, installed by an earlier run.
fn linker() -> Option<Linker> {
    let named = env::var_os("THULIUM_BPF_LINKER").map(PathBuf::from);
    let ours = workspace::tools().join("bin/bpf-linker");
    [named, workspace::on_path("bpf-linker"), Some(ours)].into_iter().flatten().find_map(usable_linker)
}

/// `path`, if it is a linker that is new enough.
fn usable_linker(path: PathBuf) -> Option<Linker> {
    let version = parse_version(&output(outside(&path).arg("--version"))?)?;
    let linker = Linker { path, version };
    linker.is_usable().then_some(linker)
}

/// Where the LLVM is that `bpf-linker` can be built against, headers and libraries included.
pub(super) fn llvm_prefix() -> Option<PathBuf> {
    let prefix = env::var_os("LLVM_PREFIX").map_or_else(|| format!("/usr/lib/llvm-{LLVM_MAJOR}").into(), PathBuf::from);
    let header = prefix.join("include/llvm-c/Core.h");
    let library = prefix.join("lib/libLLVM.so");
    (header.is_file() && library.exists()).then_some(prefix)
}

fn packages() -> Packages {
    match (workspace::on_path("apt-get").is_some(), workspace::is_root()) {
        (true, true) => Packages::Installable,
        (true, false) => Packages::NeedRoot,
        (false, _) => Packages::None,
    }
}

/// A command that inherits nothing of the host's compiler.
fn outside(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    environment::forget(&mut command, environment::is_of_host_build);
    command
}

/// The number in `LLVM version: 22.1.4` of `rustc -vV`.
fn llvm_major(text: &str) -> Option<u32> {
    text.lines().find_map(|line| line.strip_prefix("LLVM version: "))?.split('.').next()?.parse().ok()
}

/// The version in `bpf-linker 0.13.0`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split_whitespace().nth(1)?.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_the_programs_print() {
        assert_eq!(llvm_major("rustc 1.97.0-nightly\nrelease: 1.97.0\nLLVM version: 22.1.4"), Some(22));
        assert_eq!(llvm_major("rustc 1.97.0-nightly"), None);
        assert_eq!(parse_version("bpf-linker 0.13.0"), Some((0, 13)));
        assert_eq!(parse_version("bpf-linker"), None);
    }
}
