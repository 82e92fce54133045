//! The memory that the maps take is what `check` and `status` say.

use std::{fs, os::fd::AsRawFd as _};

use aya::maps::{Map, MapData};
use thulium_ebpf::capacity::memory;

use crate::gateway::Gateway;

/// What the kernel says that all maps of a gateway take, bytes.
fn taken(gateway: &mut Gateway) -> u64 {
    gateway.object().maps().filter_map(|(_, map)| data(map)).map(memory_of).sum()
}

fn data(map: &Map) -> Option<&MapData> {
    match map {
        Map::Array(map)
        | Map::HashMap(map)
        | Map::LruHashMap(map)
        | Map::LpmTrie(map)
        | Map::PerCpuArray(map)
        | Map::PerCpuHashMap(map)
        | Map::Queue(map)
        | Map::Stack(map)
        | Map::RingBuf(map) => Some(map),
        _ => None,
    }
}

fn memory_of(map: &MapData) -> u64 {
    use std::os::fd::AsFd as _;
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", map.fd().as_fd().as_raw_fd())).unwrap();
    let memory = info.lines().find_map(|line| line.strip_prefix("memlock:")).expect("a map says what it takes");
    memory.trim().parse().unwrap()
}

/// Kernels before 6.4 guess.
fn kernel_tells() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(4))
}

#[test]
fn the_maps_take_what_is_said() {
    if !kernel_tells() {
        eprintln!("not tested: this kernel does not tell what maps take");
        return;
    }
    for capacity in [1024, 262_144, 1_048_576] {
        let mut gateway = Gateway::with_capacity(capacity);
        let (said, taken) = (memory(capacity).empty, taken(&mut gateway));
        println!("capacity {capacity}: said {said}, taken {taken}");
        assert!(
            said.abs_diff(taken) < taken / 20 + (2 << 20),
            "capacity {capacity}: {said} is said, {taken} are taken"
        );
    }
}
