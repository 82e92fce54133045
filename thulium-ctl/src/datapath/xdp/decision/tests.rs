use super::{super::netdev::Features, *};

/// A card whose driver can do everything, with nothing special about it.
fn card(name: &str, index: u32) -> Facts {
    Facts {
        name: name.to_owned(),
        index,
        driver: "ixgbe".to_owned(),
        address: Some([2, 0, 0, 0, 0, index as u8]),
        mtu: 1500,
        features: Some(Features { runs: true, transmits: true }),
        ..Facts::default()
    }
}

fn with_driver(driver: &str) -> Facts {
    Facts { driver: driver.to_owned(), ..card("eth0", 2) }
}

/// What becomes of an uplink with these facts beside a LAN where everything is right, and of that LAN.
fn beside_lan(mode: XdpMode, uplink: &Facts) -> [Decision; 2] {
    let lan = card("eth1", 3);
    let candidates = [
        Candidate { facts: uplink, role: Role::Uplink, is_attached: true },
        Candidate { facts: &lan, role: Role::Lan, is_attached: true },
    ];
    forwards(mode, &candidates).try_into().expect("as many as candidates")
}

/// `auto` leaves the interface alone for this reason, and `native` says it.
fn is_left_out(facts: &Facts, why: &str) {
    for (mode, is_yes) in [(XdpMode::Auto, false), (XdpMode::Native, true)] {
        let decision = attaches(mode, facts);
        assert_eq!(decision.is_yes, is_yes, "{mode:?} {decision:?}");
        assert!(decision.why.contains(why), "{decision:?}");
    }
}

#[test]
fn a_card_that_can_do_everything_forwards() {
    for mode in [XdpMode::Auto, XdpMode::Native] {
        assert_eq!(attaches(mode, &card("eth0", 2)), Decision::yes(""));
        assert_eq!(beside_lan(mode, &card("eth0", 2)), [Decision::yes(""), Decision::yes("")]);
    }
}

#[test]
fn off_is_off() {
    assert_eq!(attaches(XdpMode::Off, &card("eth0", 2)), Decision::no("XDP is off in the policy"));
}

#[test]
fn unfinished_checksums_of_veth_tun_and_tap() {
    is_left_out(&with_driver("veth"), "veth carries frames with unfinished checksums");
    is_left_out(&with_driver("tun"), "tun and tap carry frames with unfinished checksums");
}

#[test]
fn interfaces_on_top_of_others() {
    for driver in ["bridge", "bonding", "team", "802.1Q VLAN Support", ""] {
        is_left_out(&with_driver(driver), "XDP belongs on the ports below it");
    }
}

#[test]
fn the_loopback_interface() {
    is_left_out(&Facts { is_loopback: true, ..card("lo", 1) }, "loopback");
}

#[test]
fn a_driver_without_native_xdp() {
    let facts = Facts { features: Some(Features::default()), ..with_driver("e1000e") };
    is_left_out(&facts, "its driver (e1000e) has no native XDP");
    let joining = Facts { driver: "mlx5_core".to_owned(), ..facts };
    is_left_out(&joining, "offers no native XDP at present; it may after `ethtool -K eth0 lro off rx-gro-hw off`");
}

#[test]
fn tags_that_the_hardware_takes_off_matter_only_with_vlan_devices() {
    let strips = Facts { strips_tags: true, ..card("eth0", 2) };
    assert_eq!(attaches(XdpMode::Auto, &strips), Decision::yes(""));
    let vlans = vec!["eth0.20".to_owned(), "voice".to_owned()];
    assert_eq!(attaches(XdpMode::Auto, &Facts { vlans: vlans.clone(), ..card("eth0", 2) }), Decision::yes(""));
    let both = Facts { vlans, ..strips };
    is_left_out(&both, "VLAN tags by which eth0.20, voice is known; `ethtool -K eth0 rxvlan off`");
}

#[test]
fn what_cannot_transmit_is_never_forwarded_to_nor_is_it_forced() {
    let mute = Some(Features { runs: true, transmits: false });
    for (facts, why) in [
        (Facts { features: mute, ..with_driver("mlx4_en") }, "its driver (mlx4_en) cannot transmit what XDP redirects"),
        (Facts { features: mute, ..with_driver("veth") }, "the other end of its veth pair takes no frames from XDP"),
        (Facts { features: None, ..with_driver("mlx4_en") }, "does not tell whether its driver (mlx4_en) transmits"),
        (Facts { features: None, ..with_driver("veth") }, "Linux 6.3 does"),
        (Facts { address: None, ..with_driver("tun") }, "no Ethernet header"),
    ] {
        for mode in [XdpMode::Auto, XdpMode::Native] {
            let [uplink, lan] = beside_lan(mode, &facts);
            assert!(!uplink.is_yes && uplink.why.contains(why), "{mode:?} {uplink:?}");
            assert_eq!(lan, Decision::no("not to eth0"));
        }
    }
}

#[test]
fn an_older_kernel_is_trusted_where_its_drivers_are_known() {
    let old = Facts { features: None, ..with_driver("virtio_net") };
    assert_eq!(attaches(XdpMode::Auto, &old), Decision::yes(""));
    assert_eq!(beside_lan(XdpMode::Auto, &old), [Decision::yes(""), Decision::yes("")]);
}

#[test]
fn queueing_that_would_be_bypassed() {
    let shaped = Facts { shaper: Some("cake".to_owned()), ..card("eth0", 2) };
    assert_eq!(attaches(XdpMode::Auto, &shaped), Decision::yes(""), "it may refuse there");
    let why = "XDP sends past its queueing (cake)";
    assert_eq!(beside_lan(XdpMode::Auto, &shaped), [Decision::no(why), Decision::no("not to eth0")]);
    assert_eq!(beside_lan(XdpMode::Native, &shaped), [Decision::yes(why), Decision::yes("")], "as the admin wants it");
}

#[test]
fn native_forwards_with_all_that_speaks_against_it() {
    let veth = Facts { shaper: Some("tbf".to_owned()), ..with_driver("veth") };
    let [uplink, _] = beside_lan(XdpMode::Native, &veth);
    assert!(uplink.is_yes && uplink.why.contains("unfinished checksums") && uplink.why.contains("(tbf)"), "{uplink:?}");
}

#[test]
fn some_of_the_others_are_enough() {
    let [lan, good] = [card("eth1", 3), card("eth0", 2)];
    let shaped = Facts { shaper: Some("htb".to_owned()), ..card("eth2", 4) };
    let candidate = |facts, role| Candidate { facts, role, is_attached: true };
    let candidates = [candidate(&good, Role::Uplink), candidate(&shaped, Role::Uplink), candidate(&lan, Role::Lan)];
    let decided = forwards(XdpMode::Auto, &candidates);
    assert_eq!([&decided[0], &decided[2]], [&Decision::yes(""), &Decision::yes("not to eth2")]);
    assert!(!decided[1].is_yes);
}

#[test]
fn nothing_is_forwarded_to_where_no_program_is() {
    let [lan, uplink] = [card("eth1", 3), card("eth0", 2)];
    let candidates = [
        Candidate { facts: &uplink, role: Role::Uplink, is_attached: false },
        Candidate { facts: &lan, role: Role::Lan, is_attached: true },
    ];
    assert_eq!(forwards(XdpMode::Native, &candidates), [Decision::no(""), Decision::no("not to eth0")]);
    let alone = forwards(XdpMode::Native, &candidates[1..]);
    assert_eq!(alone, [Decision::no("there is no interface to forward to")], "the uplink is gone");
}

#[test]
fn of_two_with_the_same_place_the_first_forwards() {
    let [first, second, lan] = [card("eth0", 2), card("ppp7", 258), card("eth1", 3)];
    let candidate = |facts, role| Candidate { facts, role, is_attached: true };
    let candidates = [candidate(&first, Role::Uplink), candidate(&second, Role::Uplink), candidate(&lan, Role::Lan)];
    let decided = forwards(XdpMode::Auto, &candidates);
    assert!(decided[0].is_yes && !decided[1].is_yes);
    assert_eq!(decided[1].why, "its index (258) ends like that of eth0 (2)");
}
