//! What a command must not inherit. Cargo tells a program that it runs about the crate and the toolchain it was built
//! with; a second cargo, for another crate or with another compiler, must not take that for its own settings.

use std::{env, process::Command};

/// Removes the variables that `unwanted` picks from what `command` inherits.
pub(crate) fn forget(command: &mut Command, unwanted: fn(&str) -> bool) {
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(unwanted) {
            command.env_remove(name);
        }
    }
}

/// Variables that describe the crate of this very program.
pub(crate) fn is_of_this_crate(name: &str) -> bool {
    ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_", "CARGO_CFG_", "CARGO_FEATURE_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
        || matches!(name, "CARGO_CRATE_NAME" | "CARGO_PRIMARY_PACKAGE" | "OUT_DIR")
}

/// Variables that choose a compiler, its flags, its libraries or its output for the host's side.
/// Settings of the network, registries and cargo's home are not among them.
pub(crate) fn is_of_host_build(name: &str) -> bool {
    is_of_this_crate(name)
        || ["CARGO_BUILD_", "CARGO_TARGET_", "CARGO_PROFILE_", "CARGO_UNSTABLE_", "CARGO_ENCODED_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
        || matches!(
            name,
            "CARGO"
                | "CARGO_MAKEFLAGS"
                | "MAKEFLAGS"
                | "MFLAGS"
                | "RUSTC"
                | "RUSTC_WRAPPER"
                | "RUSTC_WORKSPACE_WRAPPER"
                | "RUSTC_BOOTSTRAP"
                | "RUSTDOC"
                | "RUSTFLAGS"
                | "RUSTDOCFLAGS"
                | "RUSTUP_TOOLCHAIN"
                | "RUST_RECURSION_COUNT"
                | "LD_LIBRARY_PATH"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_builds_settings_stay_out_of_the_bpf_build() {
        for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_DIR", "RUSTC", "CARGO_PROFILE_RELEASE_LTO"] {
            assert!(is_of_host_build(name), "{name}");
        }
    }

    #[test]
    fn network_and_home_are_inherited() {
        for name in ["CARGO_HOME", "RUSTUP_HOME", "CARGO_NET_OFFLINE", "CARGO_HTTP_PROXY", "HTTPS_PROXY", "PATH"] {
            assert!(!is_of_host_build(name), "{name}");
        }
    }

    #[test]
    fn the_host_build_keeps_its_own_settings() {
        assert!(is_of_this_crate("CARGO_PKG_NAME"));
        assert!(!is_of_this_crate("RUSTFLAGS"));
        assert!(!is_of_this_crate("CARGO_TARGET_DIR"));
    }
}
