use std::net::{IpAddr, Ipv4Addr};

use super::{
    super::{Lists, NextHop, Outside, Presence, UplinkCondition, Way, health::Fault, warnings_of},
    *,
};
use crate::{observe::status::Link, policy};

const POLICY: &str = "\
system: acme
lan: { interfaces: [eth1], clients: [192.168.20.0/24] }
uplinks: [{ name: isp-a, interface: eth0 }, { name: isp-b, interface: eth2 }]
";
const ANSWER: Trial = Trial::Answered(Duration::from_millis(12));

/// A gateway with two uplinks, and its clock.
struct Gateway {
    policy: Policy,
    slots: Slots,
    ground: Ground,
    watch: Watch,
    start: Moment,
}

fn seen(name: &str, interface: &str, last: u8) -> UplinkGround {
    let address = IpAddr::from([198, 51, last, 254]);
    let hop = NextHop { address, from_policy: false, in_main: true, hardware: None, presence: Presence::Known };
    let own = Ipv4Addr::new(198, 51, last, 1);
    UplinkGround {
        name: name.to_owned(),
        interface: interface.to_owned(),
        index: Some(last.into()),
        link: Link::Up,
        outside: Outside::Address(own),
        ipv4: Some(own),
        ipv6: None,
        way4: Way::Via(hop),
        way6: Way::None,
        expects_ipv4: true,
    }
}

impl Gateway {
    fn new(more: &str, states: &[(&str, UplinkState)]) -> Self {
        Self::with(more, states, Link::Up)
    }

    /// One whose first uplink has this link at the start.
    fn with(more: &str, states: &[(&str, UplinkState)], link: Link) -> Self {
        let policy = policy::parse("policy.yaml", format!("{POLICY}{more}").as_bytes()).unwrap();
        let slots = Slots::assign(&crate::policy::image::SlotNames::default(), &policy);
        let uplinks = vec![UplinkGround { link, ..seen("isp-a", "eth0", 100) }, seen("isp-b", "eth2", 101)];
        let ground =
            Ground { interfaces: Vec::new(), newest: 0, clients: Vec::new(), uplinks, lists: Lists::default() };
        let states = states.iter().map(|(name, state)| ((*name).to_owned(), *state)).collect();
        let start = Moment::now();
        let watch = Watch::new(&policy, &slots, &states, &ground, start);
        Self { policy, slots, ground, watch, start }
    }

    fn at(&self, seconds: u64) -> Moment {
        self.start.after(Duration::from_secs(seconds))
    }

    fn look(&mut self, seconds: u64) -> Vec<What> {
        let now = self.at(seconds);
        self.watch.look(&self.ground, now);
        self.settle(seconds)
    }

    fn tried(&mut self, seconds: u64, slot: u8, trial: Trial) -> Vec<What> {
        let now = self.at(seconds);
        self.watch.tried(slot, Probed { target: None, at: now.wall, trial }, now);
        self.settle(seconds)
    }

    fn settle(&mut self, seconds: u64) -> Vec<What> {
        let now = self.at(seconds);
        self.watch.settle(now).into_iter().map(|event| event.what).collect()
    }

    fn states(&self) -> Vec<UplinkState> {
        self.watch.uplinks().iter().map(Watched::state).collect()
    }

    /// The slots that take new clients.
    fn takers(&self) -> Vec<u8> {
        let mut slots = self.watch.choices(&self.ground).slots.to_vec();
        slots.dedup();
        slots
    }

    fn conditions(&self, seconds: u64) -> Vec<UplinkCondition> {
        let reports = self.watch.reports(&self.ground, None, self.at(seconds));
        reports.into_iter().map(|report| report.state).collect()
    }
}

use UplinkState::{Held, Lost, Up};

#[test]
fn a_lost_link_moves_its_clients_and_a_good_one_takes_them_back() {
    let mut gateway = Gateway::new("health: { probe: off }\n", &[]);
    assert_eq!((gateway.look(0), gateway.states(), gateway.takers()), (vec![], vec![Up, Up], vec![0]));
    gateway.ground.uplinks[0].link = Link::NoCarrier;
    assert_eq!(gateway.look(10), []);
    assert_eq!(gateway.look(11), [What::Lost]);
    assert_eq!((gateway.states(), gateway.takers()), (vec![Lost, Up], vec![1]));
    assert_eq!(gateway.conditions(12), [UplinkCondition::Lost, UplinkCondition::Up]);
    let warnings = warnings_of(&gateway.watch.reports(&gateway.ground, None, gateway.at(12)));
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].what, "uplink isp-a is lost: its interface has no carrier; its IPv4 clients take another");
    gateway.ground.uplinks[0].link = Link::Up;
    assert_eq!(gateway.look(20), []);
    assert_eq!(gateway.look(23), [What::Back]);
    assert_eq!((gateway.states(), gateway.takers()), (vec![Up, Up], vec![0]));
}

#[test]
fn silence_moves_clients_only_to_one_that_answers() {
    let mut gateway = Gateway::new("", &[]);
    gateway.look(0);
    for second in [2, 4] {
        assert_eq!(gateway.tried(second, 0, Trial::Silent), []);
        assert_eq!(gateway.tried(second, 1, ANSWER), []);
        let failing = &gateway.watch.reports(&gateway.ground, None, gateway.at(second))[0];
        assert_eq!((failing.state, &failing.remedy), (UplinkCondition::Failing, &None), "it may be chance");
    }
    assert_eq!(gateway.tried(6, 0, Trial::Silent), [What::Lost]);
    assert_eq!((gateway.states(), gateway.takers()), (vec![Lost, Up], vec![1]));
    let report = &gateway.watch.reports(&gateway.ground, None, gateway.at(6))[0];
    assert_eq!(report.why.as_deref(), Some("no answer through it for 6 s"));
    assert!(report.remedy.as_ref().is_some_and(|remedy| remedy.contains("ask the provider")), "{report:?}");

    let mut dead_target = Gateway::new("", &[]);
    dead_target.look(0);
    for second in [2, 4, 6, 8] {
        dead_target.tried(second, 0, Trial::Silent);
        dead_target.tried(second, 1, Trial::Silent);
    }
    assert_eq!((dead_target.states(), dead_target.takers()), (vec![Up, Up], vec![0]));
    assert_eq!(dead_target.conditions(8), [UplinkCondition::Down; 2], "told, but nobody moves");
}

#[test]
fn hold_lets_clients_wait_for_a_link_and_spares_them_a_probe() {
    let mut gateway = Gateway::new("on_uplink_down: hold\n", &[]);
    gateway.look(0);
    gateway.tried(2, 1, ANSWER);
    for second in [2, 4] {
        gateway.tried(second, 0, Trial::Silent);
    }
    assert_eq!(gateway.tried(6, 0, Trial::Silent), [What::Spared]);
    assert_eq!((gateway.states(), gateway.takers()), (vec![Up, Up], vec![1]));
    gateway.ground.uplinks[0].link = Link::Down;
    gateway.look(10);
    assert_eq!(gateway.look(11), [What::Held]);
    assert_eq!(gateway.states(), [Held, Up]);
}

#[test]
fn who_waits_for_a_cut_link_waits_for_it_after_a_restart_too() {
    let held = [("isp-a", Held), ("isp-b", Up)];
    let mut gateway = Gateway::with("on_uplink_down: hold\n", &held, Link::NoCarrier);
    assert_eq!((gateway.settle(0), gateway.states()), (vec![], vec![Held, Up]));
    gateway.ground.uplinks[0].link = Link::Up;
    gateway.look(1);
    assert_eq!(gateway.states(), [Up, Up], "at once, without a probe");
}

#[test]
fn a_daemon_that_starts_again_moves_nobody() {
    let mut gateway = Gateway::new("", &[("isp-a", Lost), ("isp-b", Up)]);
    assert_eq!((gateway.settle(0), gateway.look(0)), (vec![], vec![]));
    assert_eq!((gateway.states(), gateway.takers()), (vec![Lost, Up], vec![1]));
    gateway.tried(1, 1, ANSWER);
    for second in [1, 3] {
        assert_eq!(gateway.tried(second, 0, ANSWER), []);
    }
    assert_eq!(gateway.tried(5, 0, ANSWER), [What::Back]);
    let mut cut = Gateway::new("", &[("isp-a", Up), ("isp-b", Up)]);
    cut.ground.uplinks[0].link = Link::NoCarrier;
    assert_eq!((cut.look(0), cut.states()), (vec![], vec![Up, Up]), "not before its time");
}

#[test]
fn one_that_is_not_there_at_the_first_start_takes_nobody() {
    let mut gateway = Gateway::new("", &[]);
    gateway.ground.uplinks[0].link = Link::Gone;
    gateway.watch = Watch::new(&gateway.policy, &gateway.slots, &BTreeMap::new(), &gateway.ground, gateway.start);
    assert_eq!(gateway.settle(0), [What::Lost]);
    assert_eq!(gateway.takers(), [1]);
}

#[test]
fn an_uplink_without_a_way_out_is_told_with_the_remedy() {
    let mut gateway = Gateway::new("", &[]);
    gateway.ground.uplinks[1].way4 = Way::None;
    gateway.watch = Watch::new(&gateway.policy, &gateway.slots, &BTreeMap::new(), &gateway.ground, gateway.start);
    gateway.settle(0);
    assert_eq!(gateway.watch.uplinks()[1].health.fault(), Some(Fault::NoWay));
    let warnings = warnings_of(&gateway.watch.reports(&gateway.ground, None, gateway.at(0)));
    assert_eq!(
        warnings[0].what,
        "uplink isp-b is lost: no default route leads out of it; its IPv4 clients take another"
    );
    assert!(warnings[0].remedy.contains("`next_hop`"), "{}", warnings[0].remedy);
}

#[test]
fn one_alone_is_never_lost() {
    let mut gateway = Gateway::new("", &[]);
    gateway.policy.uplinks.truncate(1);
    gateway.ground.uplinks.truncate(1);
    gateway.watch = Watch::new(&gateway.policy, &gateway.slots, &BTreeMap::new(), &gateway.ground, gateway.start);
    gateway.ground.uplinks[0].link = Link::Gone;
    for second in [0, 1, 60] {
        assert_eq!(gateway.look(second), []);
        assert_eq!((gateway.states(), gateway.takers()), (vec![Up], vec![0]));
    }
    assert!(warnings_of(&gateway.watch.reports(&gateway.ground, None, gateway.at(60))).is_empty());
}

#[test]
fn a_report_has_the_probe_and_what_is_waited_for() {
    let mut gateway = Gateway::new("", &[("isp-a", Lost), ("isp-b", Up)]);
    gateway.look(0);
    gateway.tried(2, 0, ANSWER);
    let report = &gateway.watch.reports(&gateway.ground, None, gateway.at(2))[0];
    assert_eq!((report.probe.answered, report.probe.round_trip), (Some(true), Some(12_000)));
    assert_eq!(report.waits_for.as_deref(), Some("2 more answers to its probe"));
    gateway.tried(4, 1, Trial::NotRun("no address of the host thulium is known yet".to_owned()));
    let report = &gateway.watch.reports(&gateway.ground, None, gateway.at(4))[1];
    assert_eq!((report.probe.answered, report.state), (None, UplinkCondition::Up));
    assert_eq!(report.probe.untested.as_deref(), Some("no address of the host thulium is known yet"));
}
