//! Kernel memory of sessions.

use std::{collections::BTreeMap, fs};

use anyhow::Result;
use aya::maps::{MapInfo, loaded_maps};

use super::kernel::Open;
use crate::{results::Memory, rig::Rig, sample::Contender};

/// What all maps of a contender that is this product take, with so many sessions.
///
/// # Errors
/// When its daemon is gone.
pub(crate) fn measure(rig: &mut Rig<'_>, contender: Contender, sessions: u32) -> Result<Memory> {
    let open = Open::by(rig.gateway(contender)?.daemon().id())?;
    let mut maps = BTreeMap::new();
    for (name, bytes) in loaded_maps().flatten().filter_map(|map| named(&map).zip(open.maps.get(&map.id()).copied())) {
        *maps.entry(name).or_default() += bytes;
    }
    Ok(Memory { contender, sessions, maps })
}

fn named(map: &MapInfo) -> Option<String> {
    map.name_as_str().map(str::to_owned)
}

/// Bytes of the object that the kernel keeps for a connection; none if it does not tell.
pub(crate) fn conntrack() -> Option<u64> {
    object_size(&fs::read_to_string("/proc/slabinfo").ok()?)
}

/// In a line of slabinfo: name, active objects, objects, bytes of one.
fn object_size(slabs: &str) -> Option<u64> {
    let line = slabs.lines().find(|line| line.starts_with("nf_conntrack "))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connections_size_is_that_of_its_slab() {
        let slabs = "slabinfo - version: 2.1\n# name <active_objs> <num_objs> <objsize>\n\
                     nf_conntrack_expect 0 0 208\nnf_conntrack         144    208    256   16    1 : tunables\n";
        assert_eq!(object_size(slabs), Some(256));
        assert_eq!(object_size("nothing"), None);
    }
}
