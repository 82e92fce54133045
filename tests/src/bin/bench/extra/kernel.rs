//! Maps and programs that a process has open, as `/proc/<pid>/fdinfo` tells of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use anyhow::{Context, Result};

/// What a process has open.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Open {
    /// Bytes of each map, by its id.
    pub(super) maps: BTreeMap<u32, u64>,
    /// Ids of programs.
    pub(super) programs: BTreeSet<u32>,
}

impl Open {
    /// By the process `id`.
    ///
    /// # Errors
    /// When it is gone.
    pub(super) fn by(id: u32) -> Result<Self> {
        let folder = format!("/proc/{id}/fdinfo");
        let mut open = Self::default();
        for file in fs::read_dir(&folder).with_context(|| format!("reading {folder}"))? {
            // A descriptor may be closed meanwhile.
            open.add(&fs::read_to_string(file?.path()).unwrap_or_default());
        }
        Ok(open)
    }

    fn add(&mut self, text: &str) {
        let number = |name: &str| {
            let fields = text.lines().filter_map(|line| line.split_once(':'));
            fields.into_iter().find(|(key, _)| *key == name).and_then(|(_, value)| value.trim().parse::<u64>().ok())
        };
        let id = |name: &str| number(name).and_then(|id| u32::try_from(id).ok());
        if let (Some(map), Some(bytes)) = (id("map_id"), number("memlock")) {
            self.maps.insert(map, bytes);
        }
        self.programs.extend(id("prog_id"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "pos:\t0\nflags:\t02000002\nmap_type:\t1\nmemlock:\t4096\nmap_id:\t7\nfrozen:\t0\n";
    const PROGRAM: &str = "pos:\t0\nprog_type:\t3\nprog_jited:\t1\nmemlock:\t8192\nprog_id:\t9\n";

    #[test]
    fn a_map_that_is_open_twice_counts_once() {
        let mut open = Open::default();
        for text in [MAP, PROGRAM, MAP, "pos:\t0\nmnt_id:\t15\n"] {
            open.add(text);
        }
        assert_eq!(open.maps, BTreeMap::from([(7, 4096)]));
        assert_eq!(open.programs, BTreeSet::from([9]));
    }
}
