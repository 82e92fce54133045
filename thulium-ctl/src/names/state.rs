//! What is kept on disk of the names, so that a restart with DNS dead goes on working.

use std::{collections::BTreeMap, io, net::IpAddr, path::Path};

use serde::{Deserialize, Serialize};

use crate::disk;

/// The file's name in the folder of what an instance keeps on disk.
pub const NAMES_FILE: &str = "names.json";

/// The addresses of every name, as they are kept on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedNames {
    /// [`SavedNames::VERSION`].
    pub version: u32,
    /// By DNS name.
    pub names: BTreeMap<String, Vec<SavedAddress>>,
}

/// An address that a name led to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedAddress {
    /// The address.
    pub address: IpAddr,
    /// When an answer first named it; seconds since 1970.
    pub first_seen: u64,
    /// When an answer last named it; seconds since 1970.
    pub last_seen: u64,
    /// When it was found missing from an answer to the daemon's own question; seconds since 1970. `None`: the last good answer
    /// named it.
    pub left: Option<u64>,
    /// Whether an answer to the daemon's own question ever named it; all did up to version 1.
    #[serde(default = "yes")]
    pub resolved: bool,
    /// When an answer to the daemon's own question last named it; seconds since 1970. `None`: when it was last seen at all.
    #[serde(default)]
    pub last_answer: Option<u64>,
    /// Until when the replies to clients that named it are valid; seconds since 1970. `None`: none did.
    #[serde(default)]
    pub learned_until: Option<u64>,
}

const fn yes() -> bool {
    true
}

impl SavedNames {
    /// Version of the file's format. Version 1, which knew nothing of replies to clients, can be read.
    pub const VERSION: u32 = 2;

    /// True if both have the same addresses from the same sources; when they were last seen does not matter.
    pub fn same_addresses(&self, other: &Self) -> bool {
        let essence = |saved: &Self| -> Vec<_> {
            let all = saved.names.iter().flat_map(|(name, all)| all.iter().map(move |one| (name.clone(), one)));
            all.map(|(name, one)| (name, one.address, one.left, one.resolved, one.learned_until.is_some())).collect()
        };
        essence(self) == essence(other)
    }

    /// Reads the file. One that is not there is empty.
    ///
    /// # Errors
    /// If it cannot be read, or is no such file, or has another version.
    pub fn load(path: &Path) -> io::Result<Self> {
        let Some(saved) = disk::load::<Self>(path)? else { return Ok(Self::default()) };
        if !(1..=Self::VERSION).contains(&saved.version) {
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

    use super::*;

    #[test]
    fn what_is_stored_is_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("default/names.json");
        assert_eq!(SavedNames::load(&path).unwrap(), SavedNames::default());
        let address = SavedAddress {
            address: "203.0.113.7".parse().unwrap(),
            first_seen: 1,
            last_seen: 2,
            left: Some(3),
            resolved: true,
            last_answer: Some(2),
            learned_until: Some(4),
        };
        let saved = SavedNames { version: 2, names: [("a.test".to_owned(), vec![address])].into() };
        saved.store(&path).unwrap();
        saved.store(&path).unwrap();
        assert_eq!(SavedNames::load(&path).unwrap(), saved);
        let left_over = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(left_over, 1, "only the file itself stays");
    }

    #[test]
    fn a_file_of_version_1_can_be_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("names.json");
        let text = r#"{"version": 1, "names": {"a.test": [
            {"address": "203.0.113.7", "first_seen": 1, "last_seen": 2, "left": null}]}}"#;
        fs::write(&path, text).unwrap();
        let address = &SavedNames::load(&path).unwrap().names["a.test"][0];
        assert_eq!((address.resolved, address.left, address.learned_until), (true, None, None));
    }

    #[test]
    fn a_file_of_another_version_or_none_of_ours_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("names.json");
        for text in ["", "{", "[]", r#"{"version": 3, "names": {}}"#] {
            fs::write(&path, text).unwrap();
            assert!(SavedNames::load(&path).is_err(), "{text}");
        }
    }
}
