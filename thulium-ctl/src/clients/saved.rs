//! The pins on disk.

use std::{collections::BTreeMap, io, net::Ipv4Addr, path::Path};

use serde::{Deserialize, Serialize};

use super::Pin;
use crate::disk;

/// The pins of all clients, as they are kept on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedPins {
    /// [`SavedPins::VERSION`].
    pub version: u32,
    /// By client.
    pub pins: BTreeMap<Ipv4Addr, Pin>,
}

impl Default for SavedPins {
    fn default() -> Self {
        Self { version: Self::VERSION, pins: BTreeMap::new() }
    }
}

impl SavedPins {
    /// Version of the file's format.
    pub const VERSION: u32 = 1;

    /// True if both say the same, but for times that came out a little different.
    pub fn is_like(&self, other: &Self) -> bool {
        self.pins.len() == other.pins.len()
            && self
                .pins
                .iter()
                .zip(&other.pins)
                .all(|((client, pin), (other, saved))| client == other && pin.is_like(saved))
    }

    /// Reads the file. One that is not there is empty.
    ///
    /// # Errors
    /// If it cannot be read, or is no such file, or has another version.
    pub fn load(path: &Path) -> io::Result<Self> {
        let Some(saved) = disk::load::<Self>(path)? else { return Ok(Self::default()) };
        if saved.version != Self::VERSION {
            return Err(io::Error::other(format!("it has version {}, not {}", saved.version, Self::VERSION)));
        }
        Ok(saved)
    }

    /// Writes the file whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn store(&self, path: &Path) -> io::Result<()> {
        disk::store(path, self)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{super::Cause, *};

    #[test]
    fn what_is_stored_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pins.json");
        assert_eq!(SavedPins::load(&path).unwrap(), SavedPins::default());
        let pin = |idle, from: Option<&str>| Pin {
            uplink: "isp-b".to_owned(),
            since: 1_800_000_000,
            idle,
            cause: Cause::Moved,
            from: from.map(str::to_owned),
        };
        let pins = [
            (Ipv4Addr::new(192, 168, 20, 10), pin(None, None)),
            (Ipv4Addr::new(192, 168, 20, 11), pin(Some(1_800_000_100), Some("isp-a"))),
        ];
        let saved = SavedPins { pins: pins.into(), ..SavedPins::default() };
        saved.store(&path).unwrap();
        assert_eq!(SavedPins::load(&path).unwrap(), saved);
    }

    #[test]
    fn a_file_of_another_version_or_none_of_ours_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pins.json");
        for text in ["", "{", "[]", r#"{"version": 2, "pins": {}}"#, r#"{"version": 1, "pins": {"fe80::1": {}}}"#] {
            fs::write(&path, text).unwrap();
            assert!(SavedPins::load(&path).is_err(), "{text}");
        }
    }
}
