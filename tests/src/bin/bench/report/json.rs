//! The report for programs: every sample, and what was concluded.

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    floors::Floor,
    results::Results,
    sample::{Contender, Direction},
    statistics::{Case, Spread},
};

/// Version of the document; a field that is added does not change it.
const VERSION: u32 = 1;

/// What a case came to.
#[derive(Serialize)]
struct Cost {
    contender: Contender,
    direction: Direction,
    flows: u32,
    /// CPU time per packet, nanoseconds.
    nanoseconds: Option<Spread>,
    /// How many times cheaper than nftables.
    times_cheaper: Option<Spread>,
    /// Rounds in which packets were lost; they are not in the others.
    lossy_rounds: usize,
}

/// The document.
pub(super) fn document(results: &Results, floors: &[Floor]) -> Value {
    let sweep = &results.sweep;
    json!({
        "version": VERSION,
        "machine": results.machine,
        "scattered": results.scattered,
        "costs": costs(results),
        "samples": results.samples.all(),
        "left_out": results.left_out,
        "failed": results.failed,
        "openings_nanoseconds": results.openings,
        "memory": results.memory,
        "conntrack_object_bytes": results.conntrack,
        "latency_microseconds": { "p50": results.median_latency, "p99": results.tail_latency },
        "tcp_gbit_per_second": results.throughput,
        "start_milliseconds": results.starts,
        "policy_change_milliseconds": results.changes,
        "sweep": {
            "sessions": sweep.sessions,
            "milliseconds": sweep.time,
            "packet_nanoseconds_undisturbed": sweep.undisturbed,
            "packet_nanoseconds_disturbed": sweep.disturbed,
        },
        "floors": floors,
    })
}

fn costs(results: &Results) -> Vec<Cost> {
    let mut costs = Vec::new();
    for direction in Direction::ALL {
        for flows in &results.flows {
            for contender in &results.contenders {
                let case = Case { contender: *contender, direction, flows: *flows };
                let (lossy_rounds, rounds) = results.samples.lossy(case);
                if rounds == 0 {
                    continue;
                }
                costs.push(Cost {
                    contender: *contender,
                    direction,
                    flows: *flows,
                    nanoseconds: results.samples.cost(case),
                    times_cheaper: results.samples.ratio(case.of(Contender::Nftables), case),
                    lossy_rounds,
                });
            }
        }
    }
    costs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        floors::floors,
        machine::Machine,
        statistics::tests::{CASE, sample},
    };

    #[test]
    fn it_has_a_version_every_sample_and_what_they_came_to() {
        let mut results = Results::new(Machine::default(), vec![1_000], Contender::ALL.to_vec());
        for round in 0..2 {
            let native = sample(CASE.of(Contender::XdpNative), round, 200.0);
            results.samples.extend(vec![sample(CASE, round, 1600.0), native]);
        }
        let document = document(&results, &floors(&results));
        assert_eq!(document["version"], 1);
        assert_eq!(document["samples"].as_array().unwrap().len(), 4);
        let costs = document["costs"].as_array().unwrap();
        assert_eq!(costs.len(), 2);
        assert_eq!((&costs[1]["contender"], &costs[1]["times_cheaper"]["median"]), (&json!("xdp-native"), &json!(8.0)));
        assert_eq!(document["floors"][0]["outcome"], "held");
        assert_eq!(document["floors"][0]["bound"]["at-least"], 8.0);
    }
}
