use thulium_ebpf::abi::{Side, TRAFFIC_SLOTS};

use super::*;

/// What went between a LAN interface and an uplink, arriving on this side, by this path.
type Row = (u8, u8, Side, Path, u64);

fn traffic(rows: &[Row]) -> Vec<Traffic> {
    let mut traffic = vec![Traffic::default(); TRAFFIC_SLOTS];
    for (lan, uplink, side, path, packets) in rows {
        let place = Traffic::place(*lan, *uplink) as usize;
        *traffic[place].counter(*side, *path) = Counter { packets: *packets, bytes: 100 * packets };
    }
    traffic
}

#[test]
fn an_interface_is_told_what_came_in_by_it_of_all_others() {
    let traffic = traffic(&[
        (0, 0, Side::Lan, Path::Xdp, 700),
        (0, 1, Side::Lan, Path::Tc, 250),
        (0, 1, Side::Lan, Path::Kernel, 50),
        (1, 1, Side::Lan, Path::Tc, 3),
        (0, 1, Side::Uplink, Path::Xdp, 9),
        (1, 1, Side::Uplink, Path::Tc, 1),
    ]);
    let told = paths_of(&traffic, "eth1", Role::Lan, 0);
    assert_eq!(
        (told.xdp, told.tc.packets, told.kernel.share),
        (Share { packets: 700, bytes: 70_000, share: 700 }, 250, 50)
    );
    assert_eq!(told.to_string(), "eth1: XDP 70.0 % (700 packets), TC 25.0 % (250 packets), kernel 5.0 % (50 packets)");
    let uplink = paths_of(&traffic, "eth2", Role::Uplink, 1);
    assert_eq!(uplink.to_string(), "eth2: XDP 90.0 % (9 packets), TC 10.0 % (1 packet)");
    assert_eq!(paths_of(&traffic, "eth3", Role::Lan, 1).to_string(), "eth3: TC 100 % (3 packets)");
}

#[test]
fn a_few_packets_are_seen_beside_many() {
    let many = traffic(&[(0, 0, Side::Lan, Path::Xdp, u64::MAX / 200), (0, 0, Side::Lan, Path::Kernel, 1)]);
    let told = paths_of(&many, "eth1", Role::Lan, 0);
    assert_eq!((told.xdp.share, told.kernel.share), (999, 0));
    assert!(told.to_string().ends_with("kernel <0.1 % (1 packet)"), "{told}");
}

#[test]
fn no_traffic_and_an_unknown_slot_are_no_error() {
    for (traffic, slot) in [(traffic(&[]), 0), (Vec::new(), 0), (traffic(&[]), u8::MAX)] {
        for role in [Role::Lan, Role::Uplink] {
            assert_eq!(paths_of(&traffic, "eth1", role, slot).to_string(), "eth1: no packet of a session yet");
        }
    }
}
