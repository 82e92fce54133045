//! From what was found to what is done about it. Pure.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::{BPF_TARGET, LINKER_VERSION, LLVM_MAJOR};

/// Debian packages with a compiler that has a prebuilt core for the BPF target.
const COMPILER_PACKAGES: &[&str] = &["rustc-web", "libstd-rust-web-dev-bpf"];
/// Debian packages that `bpf-linker` is built against.
const LINKER_PACKAGES: &[&str] = &["g++", "llvm-22-dev", "libpolly-22-dev", "zlib1g-dev", "libzstd-dev", "libxml2-dev"];
/// What helps where those packages do not exist.
pub(super) const OTHERWISE: &str = "the Debian packages for the eBPF toolchain could not be installed; instead of them, \
     `rustup toolchain install nightly --component rust-src` and `cargo binstall bpf-linker` will do";
/// The oldest `bpf-linker` that is used.
const OLDEST_LINKER: (u32, u32) = (0, 13);

/// What makes the eBPF object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Toolchain {
    /// The compiler.
    pub(crate) compiler: Compiler,
    /// The linker.
    pub(crate) linker: PathBuf,
}

/// A compiler for the BPF target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Compiler {
    /// This rustc, which has a prebuilt core for the target.
    Prebuilt(PathBuf),
    /// rustup's nightly, which builds core from its source.
    Nightly,
}

/// A `bpf-linker`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Linker {
    /// The program.
    pub(crate) path: PathBuf,
    /// Its major and minor version.
    pub(crate) version: (u32, u32),
}

impl Linker {
    /// True if it is new enough.
    pub(super) fn is_usable(&self) -> bool {
        self.version >= OLDEST_LINKER
    }
}

/// Whether Debian packages can be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packages {
    /// Yes.
    Installable,
    /// By root, which we are not.
    NeedRoot,
    /// There is no apt.
    None,
}

/// What is on this machine.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Debian's rustc, if it has core for the BPF target.
    pub(super) debian: Option<PathBuf>,
    /// The LLVM's major version of rustup's nightly, if that has the source of core.
    pub(super) nightly_llvm: Option<u32>,
    /// A usable linker.
    pub(super) linker: Option<Linker>,
    /// Whether the LLVM is there that a linker can be built against.
    pub(super) llvm: bool,
    /// Whether packages can be installed.
    pub(super) packages: Packages,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// What is used; nothing yet if something has to be installed first.
    pub(super) toolchain: Option<Toolchain>,
    /// Debian packages to install.
    pub(super) packages: Vec<&'static str>,
    /// Whether to build and install `bpf-linker` after that.
    pub(super) build_linker: bool,
}

/// Decides what to do about what was `found`.
///
/// # Errors
/// If something is missing that cannot be installed here: says what to install.
pub(super) fn plan(found: &Found) -> Result<Plan> {
    let compiler = compiler(found);
    if let (Some(compiler), Some(linker)) = (&compiler, &found.linker) {
        let toolchain = Toolchain { compiler: compiler.clone(), linker: linker.path.clone() };
        return Ok(Plan { toolchain: Some(toolchain), packages: Vec::new(), build_linker: false });
    }
    let mut packages = Vec::new();
    if compiler.is_none() {
        packages.extend(COMPILER_PACKAGES);
    }
    let build_linker = found.linker.is_none();
    if build_linker && !found.llvm {
        packages.extend(LINKER_PACKAGES);
    }
    if !packages.is_empty() && found.packages != Packages::Installable {
        bail!(missing(found, compiler.is_none(), &packages));
    }
    Ok(Plan { toolchain: None, packages, build_linker })
}

/// Debian's compiler before the nightly: it needs no core to be built. A nightly whose LLVM is newer than the one a
/// linker would be built against is of no use without a linker that is there already.
fn compiler(found: &Found) -> Option<Compiler> {
    let nightly = found.nightly_llvm.filter(|llvm| *llvm <= LLVM_MAJOR || found.linker.is_some());
    found.debian.clone().map(Compiler::Prebuilt).or(nightly.map(|_| Compiler::Nightly))
}

/// What to install, and how.
fn missing(found: &Found, compiler: bool, packages: &[&str]) -> String {
    let mut text = String::new();
    if compiler {
        text += &format!("no Rust compiler for {BPF_TARGET} was found\n");
    }
    if found.linker.is_none() {
        text += &format!("no bpf-linker {LINKER_VERSION} or newer was found (PATH, THULIUM_BPF_LINKER)\n");
    }
    if found.packages == Packages::NeedRoot {
        text += &format!("As root:  apt-get install --no-install-recommends {}\n", packages.join(" "));
        text += "or run this command as root once. On a distribution without these packages:\n";
    }
    if compiler {
        text += "          rustup toolchain install nightly --component rust-src\n";
    }
    if found.linker.is_none() {
        text += "          cargo install cargo-binstall && cargo binstall bpf-linker\n";
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Found =
        Found { debian: None, nightly_llvm: None, linker: None, llvm: false, packages: Packages::Installable };

    fn rustc() -> Option<PathBuf> {
        Some("/usr/bin/rustc".into())
    }

    fn linker() -> Option<Linker> {
        Some(Linker { path: "/bin/bpf-linker".into(), version: (0, 13) })
    }

    #[test]
    fn a_fresh_debian_gets_packages_and_a_linker() {
        let plan = plan(&NOTHING).unwrap();
        assert!(plan.packages.contains(&"libstd-rust-web-dev-bpf") && plan.packages.contains(&"llvm-22-dev"));
        assert!(plan.build_linker && plan.toolchain.is_none());
    }

    #[test]
    fn a_complete_machine_is_left_alone() {
        let found = Found { debian: rustc(), linker: linker(), packages: Packages::None, ..NOTHING };
        let plan = plan(&found).unwrap();
        assert_eq!(plan.toolchain.unwrap().compiler, Compiler::Prebuilt("/usr/bin/rustc".into()));
        assert!(plan.packages.is_empty() && !plan.build_linker);
    }

    #[test]
    fn only_what_is_missing_is_installed() {
        let plan = plan(&Found { debian: rustc(), llvm: true, packages: Packages::None, ..NOTHING }).unwrap();
        assert!(plan.packages.is_empty() && plan.build_linker);
    }

    #[test]
    fn a_nightly_is_used_where_its_llvm_fits() {
        let nightly = |llvm, linker| compiler(&Found { nightly_llvm: Some(llvm), linker, ..NOTHING });
        assert_eq!(nightly(22, None), Some(Compiler::Nightly));
        assert_eq!(nightly(23, linker()), Some(Compiler::Nightly));
        assert_eq!(nightly(23, None), None, "the linker that we can build reads no bitcode of a newer LLVM");
    }

    #[test]
    fn an_ordinary_user_is_told_what_to_install() {
        let error = plan(&Found { packages: Packages::NeedRoot, ..NOTHING }).unwrap_err().to_string();
        assert!(error.contains("apt-get install --no-install-recommends rustc-web"), "{error}");
        assert!(error.contains("rustup toolchain install nightly"), "{error}");
    }

    #[test]
    fn without_apt_nothing_is_said_of_packages() {
        let error = plan(&Found { debian: rustc(), packages: Packages::None, ..NOTHING }).unwrap_err().to_string();
        assert!(!error.contains("apt-get") && !error.contains("nightly") && error.contains("bpf-linker"), "{error}");
    }

    #[test]
    fn an_old_linker_is_no_linker() {
        assert!(!Linker { path: PathBuf::new(), version: (0, 9) }.is_usable());
    }
}
