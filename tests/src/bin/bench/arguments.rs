//! The command line, as `cargo xtask bench` hands it on.

use std::path::PathBuf;

use clap::Parser;

use crate::sample::{Contender, FLOWS};

/// What a packet costs the gateway, beside the alternatives and the limit.
#[derive(Clone, Debug, Parser)]
#[command(name = "bench")]
pub(crate) struct Arguments {
    /// Fewer flows, rounds and packets
    #[arg(long)]
    pub(crate) quick: bool,
    /// How often everything is measured, by turns
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// Flow counts
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    flows: Vec<u32>,
    /// Who is compared
    #[arg(long, value_name = "CONTENDER", value_delimiter = ',', num_args = 1..)]
    only: Vec<Contender>,
    /// Packets take the flows in another order than that in which they were opened
    #[arg(long)]
    pub(crate) scattered: bool,
    /// Folder of the report
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    pub(crate) out: PathBuf,
}

impl Arguments {
    /// Rounds of each comparison. Fewer than seven are for a look, not for figures to go by.
    pub(crate) fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 5 } else { 11 })
    }

    /// Flow counts, ascending.
    pub(crate) fn flows(&self) -> Vec<u32> {
        let mut flows = self.flows.clone();
        if flows.is_empty() {
            flows = if self.quick { FLOWS[..4].to_vec() } else { FLOWS.to_vec() };
        }
        flows.sort_unstable();
        flows.dedup();
        flows
    }

    /// Who is compared, in the order of a round.
    pub(crate) fn contenders(&self) -> Vec<Contender> {
        let chosen = |contender: &Contender| self.only.is_empty() || self.only.contains(contender);
        Contender::ALL.into_iter().filter(chosen).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(format!("bench --out /out {line}").split_whitespace())
    }

    #[test]
    fn without_options_everything_is_measured() {
        let all = parse("").unwrap();
        assert_eq!(all.flows(), FLOWS);
        assert_eq!(all.contenders(), Contender::ALL);
        assert!(all.rounds() >= 7);
    }

    #[test]
    fn quick_is_less_of_it_and_what_is_named_comes_before() {
        let quick = parse("--quick").unwrap();
        assert!(quick.flows().len() < FLOWS.len() && quick.rounds() < parse("").unwrap().rounds());
        let named = parse("--quick --rounds 3 --flows 1000,10,10").unwrap();
        assert_eq!((named.flows(), named.rounds()), (vec![10, 1000], 3));
    }

    #[test]
    fn contenders_keep_the_order_of_a_round() {
        let only = [Contender::Nftables, Contender::XdpNative];
        assert_eq!(parse("--only xdp-native nftables").unwrap().contenders(), only);
        assert_eq!(parse("--only xdp-native,nftables").unwrap().contenders(), only);
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        for line in ["--only iptables", "--flows 0", "--flows 2000000", "--flows many", "--rounds 0", "--only"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
