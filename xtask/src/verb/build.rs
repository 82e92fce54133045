//! `cargo xtask build`: the eBPF object, then the release binary with the object inside.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{
    environment,
    step::step,
    toolchain::{self, BPF_TARGET, Compiler, Toolchain},
    workspace,
};

/// The product's programs, one of the `bin` targets of thulium-ebpf.
const PRODUCT: &str = "thulium";
/// Those of the bench, another one.
const BENCH: &str = "bench";

/// Builds `target/bpf/thulium.o` and `target/release/thulium-ctl`.
///
/// # Errors
/// If the toolchain is incomplete or a build fails.
pub(crate) fn run() -> Result<Toolchain> {
    let toolchain = toolchain::ready()?;
    step("Building the eBPF object", &mut bpf_cargo(&toolchain, "build", &[PRODUCT], &[]))?;
    copy_if_changed(&built(PRODUCT), &workspace::object())?;
    let mut cargo = workspace::cargo();
    cargo.env("THULIUM_OBJECT", workspace::object());
    step("Building thulium-ctl", cargo.args(["build", "--release", "--package", "thulium-ctl"]))?;
    Ok(toolchain)
}

/// Builds `target/bpf/bench.o`, the programs of the bench.
///
/// # Errors
/// If the build fails.
pub(crate) fn bench_object(toolchain: &Toolchain) -> Result<()> {
    step("Building the eBPF programs of the bench", &mut bpf_cargo(toolchain, "build", &[BENCH], &[]))?;
    copy_if_changed(&built(BENCH), &workspace::bench_object())
}

/// A check of all eBPF programs by the compiler, with its warnings as errors.
pub(crate) fn bpf_check(toolchain: &Toolchain) -> Command {
    bpf_cargo(toolchain, "check", &[PRODUCT, BENCH], &["-Dwarnings"])
}

/// A cargo that does `verb` to these eBPF objects, with `extra` compiler flags.
fn bpf_cargo(toolchain: &Toolchain, verb: &str, objects: &[&str], extra: &[&str]) -> Command {
    let mut command = match &toolchain.compiler {
        Compiler::Prebuilt(rustc) => {
            let mut cargo = workspace::cargo();
            environment::forget(&mut cargo, environment::is_of_host_build);
            // aya-ebpf uses unstable features, which a stable compiler refuses otherwise.
            cargo.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1").arg(verb);
            cargo
        }
        Compiler::Nightly => {
            let mut rustup = Command::new("rustup");
            environment::forget(&mut rustup, environment::is_of_host_build);
            rustup.args(["run", "nightly", "cargo", verb, "-Z", "build-std=core"]);
            rustup
        }
    };
    command.current_dir(workspace::root());
    command.args(["--package", "thulium-ebpf", "--release", "--target", BPF_TARGET]);
    for object in objects {
        command.args(["--bin", object]);
    }
    // A folder of its own: another compiler's artifacts would be taken for stale in the host's.
    command.arg("--target-dir").arg(bpf_target());
    command.env("CARGO_ENCODED_RUSTFLAGS", rustflags(&toolchain.linker, extra));
    command
}

fn bpf_target() -> PathBuf {
    workspace::target().join("bpf-build")
}

/// Where the build of an object leaves it.
fn built(object: &str) -> PathBuf {
    bpf_target().join(BPF_TARGET).join("release").join(object)
}

/// The compiler's flags, separated as cargo wants them.
fn rustflags(linker: &Path, extra: &[&str]) -> OsString {
    let mut flags = OsString::from("-Clinker=");
    flags.push(linker);
    let arch = format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH);
    // v3: compare-exchange, and results of atomic additions.
    let fixed = ["-Clink-arg=--btf", "-Cdebuginfo=2", "-Ctarget-cpu=v3", &arch];
    for flag in fixed.iter().chain(extra) {
        flags.push("\u{1f}");
        flags.push(flag);
    }
    flags
}

/// Copies `from` to `to` unless that has the same content: a newer file would make cargo build thulium-ctl again.
fn copy_if_changed(from: &Path, to: &Path) -> Result<()> {
    let object = fs::read(from).with_context(|| format!("no eBPF object at {}", from.display()))?;
    if fs::read(to).is_ok_and(|present| present == object) {
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(to, object).with_context(|| format!("cannot write {}", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_separated_so_that_paths_may_have_spaces() {
        let flags = rustflags(Path::new("/a b/bpf-linker"), &["-Dwarnings"]).into_string().unwrap();
        let flags: Vec<_> = flags.split('\u{1f}').collect();
        assert_eq!(flags.first(), Some(&"-Clinker=/a b/bpf-linker"));
        assert_eq!(flags.last(), Some(&"-Dwarnings"));
        assert!(flags.contains(&"-Ctarget-cpu=v3") && flags.contains(&"-Clink-arg=--btf"));
    }

    #[test]
    fn the_bpf_build_chooses_its_compiler() {
        let toolchain = |compiler| Toolchain { compiler, linker: "/bin/bpf-linker".into() };
        let nightly = bpf_cargo(&toolchain(Compiler::Nightly), "build", &[PRODUCT], &[]);
        assert_eq!(nightly.get_program(), "rustup");
        assert!(nightly.get_args().any(|argument| argument == "build-std=core"));
        let prebuilt = bpf_cargo(&toolchain(Compiler::Prebuilt("/usr/bin/rustc".into())), "build", &[PRODUCT], &[]);
        assert!(
            prebuilt.get_envs().any(|(name, value)| name == "RUSTC" && value.is_some_and(|v| v == "/usr/bin/rustc"))
        );
        assert!(prebuilt.get_args().all(|argument| argument != "-Z"));
    }
}
