//! The running kernel's version.

use anyhow::Context;

use crate::exit::{Exit, Failure};

/// Refuses kernels below the floor, by name of what they lack.
///
/// # Errors
/// If the running kernel is older than 6.1.
pub fn check() -> anyhow::Result<()> {
    let release = release()?;
    if version(&release) >= (6, 1) {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Kernel,
        format!("Linux {release} is too old: programs cannot fill its hash maps without preallocating them whole"),
        "Linux 6.1 or newer is needed (Debian 12 has it).",
    )
    .into())
}

/// True from Linux 6.6 on (commit e420bed02507).
///
/// # Errors
/// If the kernel does not tell its version.
pub fn has_tcx() -> anyhow::Result<bool> {
    Ok(version(&release()?) >= (6, 6))
}

/// The running kernel's release, such as `6.12.9-amd64`.
///
/// # Errors
/// If the kernel does not tell.
pub fn release() -> anyhow::Result<String> {
    Ok(nix::sys::utsname::uname()
        .context("the kernel does not tell its version")?
        .release()
        .to_string_lossy()
        .into_owned())
}

fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_releases() {
        assert_eq!(version("6.1.0-18-cloud-amd64"), (6, 1));
        assert_eq!(version("6.18.44"), (6, 18));
        assert_eq!(version("7.0-rc1"), (7, 0));
        assert_eq!(version("5.15.0-91-generic"), (5, 15));
    }
}
