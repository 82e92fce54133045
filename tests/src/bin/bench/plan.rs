//! What a run measures, and how long that is thought to take.

use crate::{
    arguments::Arguments,
    sample::{Contender, Direction},
};

/// Sessions that a round opens where opening is measured. They stay: in eleven rounds they do not fill the tables with more sessions than
/// the flows that are measured next, since a table that is almost full costs more than one that has them alone.
pub(crate) const OPENED: u32 = 8_000;
/// Flows that are open while that is measured, at most: tables in use, but not yet larger than any cache.
const BEFORE: u32 = 10_000;
/// Most flows that the source has.
const MOST: u32 = 1_000_000;
/// Seconds that every run of the source takes besides its packets.
const CALL: f64 = 0.05;

/// What a run measures.
pub(crate) struct Plan {
    /// Flow counts, ascending.
    pub(crate) flows: Vec<u32>,
    /// Rounds of everything that is compared.
    pub(crate) rounds: u32,
    /// Who is compared, in the order of a round.
    pub(crate) contenders: Vec<Contender>,
    /// For a look, not for figures to go by.
    pub(crate) quick: bool,
    /// Packets take the flows in another order than that in which they were opened.
    pub(crate) scattered: bool,
}

impl Plan {
    /// That of a command line.
    pub(crate) fn of(arguments: &Arguments) -> Self {
        let (flows, rounds, contenders) = (arguments.flows(), arguments.rounds(), arguments.contenders());
        let Arguments { quick, scattered, .. } = *arguments;
        Self { flows, rounds, contenders, quick, scattered }
    }

    /// Packets of a sample: each flow has one at least.
    pub(crate) fn packets(&self, flows: u32) -> u32 {
        flows.max(if self.quick { 100_000 } else { 250_000 })
    }

    /// Rounds of what takes long and varies little.
    pub(crate) fn few_rounds(&self) -> u32 {
        self.rounds.min(if self.quick { 3 } else { 5 })
    }

    /// After which flow count opening is measured: from there on flows are new. None: before all of them.
    pub(crate) fn open_after(&self) -> Option<u32> {
        self.flows.iter().copied().filter(|flows| *flows <= BEFORE).max()
    }

    /// Rounds for which there are new flows.
    pub(crate) fn opening_rounds(&self) -> u32 {
        self.rounds.min((MOST - self.open_after().unwrap_or(0)) / OPENED)
    }

    /// Sessions that there are when so many flows are measured: those of opening stay.
    pub(crate) fn sessions(&self, flows: u32) -> u32 {
        let is_before = self.open_after().is_some_and(|after| flows <= after);
        if is_before { flows } else { flows.max(self.opened()) }
    }

    /// Sessions that there are when all flow counts have been measured.
    pub(crate) fn all_sessions(&self) -> u32 {
        self.flows.iter().copied().fold(self.opened(), u32::max)
    }

    /// Up to which flow opening has opened them.
    fn opened(&self) -> u32 {
        self.open_after().unwrap_or(0) + self.opening_rounds() * OPENED
    }

    /// This product's contenders that are compared.
    pub(crate) fn products(&self) -> Vec<Contender> {
        let products = [Contender::XdpOff, Contender::XdpNative];
        products.into_iter().filter(|product| self.contenders.contains(product)).collect()
    }

    /// What a round over so many flows is thought to take, seconds.
    pub(crate) fn round_seconds(&self, flows: u32) -> f64 {
        self.pass_seconds(self.packets(flows))
    }

    /// What opening so many flows is thought to take, seconds.
    pub(crate) fn open_seconds(&self, flows: u32) -> f64 {
        4.0 * self.pass_seconds(flows)
    }

    /// What a round of opening is thought to take, seconds.
    pub(crate) fn opening_seconds(&self) -> f64 {
        2.0 * self.pass_seconds(OPENED)
    }

    /// So many packets through everybody, once.
    fn pass_seconds(&self, packets: u32) -> f64 {
        let packet = |contender: &Contender| match contender {
            Contender::KernelForwarding => 1.2e-6,
            Contender::Nftables => 2.5e-6,
            Contender::XdpOff => 1.3e-6,
            Contender::XdpNative => 0.4e-6,
            Contender::BareRedirect => 0.2e-6,
        };
        let once = |seconds: f64| CALL + f64::from(packets) * seconds;
        once(0.1e-6) + self.contenders.iter().map(packet).map(once).sum::<f64>()
    }

    /// What the rounds and openings of all flow counts are thought to take, seconds.
    pub(crate) fn flows_seconds(&self) -> f64 {
        let directions = Direction::ALL.len() as f64;
        let rounds = |flows: &u32| f64::from(self.rounds) * directions * self.round_seconds(*flows);
        let flows: f64 = self.flows.iter().map(|flows| self.open_seconds(*flows) + rounds(flows)).sum();
        flows + f64::from(self.opening_rounds()) * self.opening_seconds()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn plan(line: &str) -> Plan {
        Plan::of(&Arguments::try_parse_from(format!("bench --out /out {line}").split_whitespace()).unwrap())
    }

    #[test]
    fn new_flows_are_opened_where_they_are_still_new() {
        assert_eq!(plan("").open_after(), Some(10_000));
        assert_eq!(plan("--flows 1000").open_after(), Some(1_000));
        assert_eq!(plan("--flows 100000,1000000").open_after(), None);
        let many = plan("--rounds 1000");
        assert!(10_000 + many.opening_rounds() * OPENED <= MOST);
    }

    #[test]
    fn sessions_that_were_opened_stay_and_are_no_more_than_are_measured_next() {
        let plan = plan("--rounds 11 --flows 1000,100000,1000000");
        assert_eq!([1_000, 100_000, 1_000_000].map(|flows| plan.sessions(flows)), [1_000, 100_000, 1_000_000]);
        let late = self::plan("--rounds 2 --flows 15000");
        assert_eq!((late.sessions(15_000), late.all_sessions()), (16_000, 16_000));
        assert_eq!(self::plan("--rounds 2 --flows 1000").all_sessions(), 17_000);
    }

    #[test]
    fn each_flow_has_a_packet_in_a_sample() {
        assert!(plan("").packets(1) >= 100_000);
        assert_eq!(plan("--quick").packets(1_000_000), 1_000_000);
    }

    #[test]
    fn a_whole_run_is_thought_to_take_minutes_and_a_quick_one_fewer() {
        let (whole, quick) = (plan("").flows_seconds(), plan("--quick").flows_seconds());
        assert!(whole < 660.0 && quick < 90.0, "{whole} {quick}");
    }

    #[test]
    fn only_this_products_contenders_have_daemons() {
        assert_eq!(plan("").products(), [Contender::XdpOff, Contender::XdpNative]);
        assert_eq!(plan("--only nftables xdp-native").products(), [Contender::XdpNative]);
    }
}
