//! The counters of refused packets.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
};

use serde::Serialize;
use thulium_ebpf::abi::{Counter, Direction, DropKey, Family, NO_SLOT, Reason, Verdict};

use super::{
    Slots, VERSION,
    paragraph::paragraph,
    quantity::{bytes, count},
    table::{Align, Table},
};

/// Packets and IP bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Sum {
    /// Packets; a GSO packet counts as its segments.
    pub packets: u64,
    /// IP bytes.
    pub bytes: u64,
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

impl From<Counter> for Sum {
    fn from(counter: Counter) -> Self {
        Self { packets: counter.packets, bytes: counter.bytes }
    }
}

/// What packets are counted under, in words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Cause {
    /// Name of a [`Reason`].
    pub reason: String,
    /// `out`: from the LAN to the world; `in`: the other way.
    pub direction: &'static str,
    /// Name of the interface; `#INDEX` if the interface is not known.
    pub interface: String,
    /// `ipv4` or `ipv6`.
    pub family: &'static str,
    /// Name of the flow concerned.
    pub flow: Option<String>,
    /// `drop`, `would-drop` or `pass`.
    pub verdict: &'static str,
}

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Why, where and what.
    #[serde(flatten)]
    pub cause: Cause,
    /// How much of it.
    #[serde(flatten)]
    pub sum: Sum,
}

/// All counters; most packets first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// What was refused: the rows with verdict `drop`.
    pub total: Sum,
    /// What audit mode would have refused: the rows with verdict `would-drop`.
    pub would_drop: Sum,
    /// What was refused or would have been.
    pub drops: Vec<Row>,
    /// What no flow names and `unmatched: pass` left to the kernel: verdict `pass`.
    pub passed: Vec<Row>,
}

/// Puts names to the counters and adds them up. Rows that read the same are one.
pub fn report(counters: &[(DropKey, Counter)], interfaces: &HashMap<u32, String>, flows: &Slots) -> Report {
    let mut sums: BTreeMap<Cause, Sum> = BTreeMap::new();
    for (key, counter) in counters.iter().filter(|(_, counter)| counter.packets > 0) {
        sums.entry(cause(key, interfaces, flows)).or_default().add((*counter).into());
    }
    let total = |verdict| {
        let mut total = Sum::default();
        sums.iter().filter(|(cause, _)| cause.verdict == verdict).for_each(|(_, sum)| total.add(*sum));
        total
    };
    let (refused, would_drop) = (total("drop"), total("would-drop"));
    let mut rows: Vec<Row> = sums.into_iter().map(|(cause, sum)| Row { cause, sum }).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.sum.packets));
    let (passed, drops) = rows.into_iter().partition(|row| row.cause.verdict == "pass");
    Report { version: VERSION, total: refused, would_drop, drops, passed }
}

fn cause(key: &DropKey, interfaces: &HashMap<u32, String>, flows: &Slots) -> Cause {
    let reason = Reason::from_number(key.reason);
    let flow = flows.get(&key.flow).cloned().or_else(|| (key.flow != NO_SLOT).then(|| format!("#{}", key.flow)));
    Cause {
        // A counter of a newer version that shares the maps.
        reason: reason.map_or_else(|| format!("#{}", key.reason), |reason| reason.name().to_owned()),
        direction: if key.direction == Direction::Out as u8 { "out" } else { "in" },
        interface: interfaces.get(&key.interface).cloned().unwrap_or_else(|| format!("#{}", key.interface)),
        family: if key.family == Family::Ipv6 as u8 { "ipv6" } else { "ipv4" },
        flow,
        verdict: match key.verdict {
            verdict if verdict == Verdict::WouldDrop as u8 => "would-drop",
            verdict if verdict == Verdict::Pass as u8 => "pass",
            _ => "drop",
        },
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.drops.is_empty() && self.passed.is_empty() {
            return writeln!(f, "Nothing was refused.");
        }
        let mut table = Table::new([
            ("PACKETS", Align::Right),
            ("BYTES", Align::Right),
            ("REASON", Align::Left),
            ("DIRECTION", Align::Left),
            ("INTERFACE", Align::Left),
            ("FAMILY", Align::Left),
            ("FLOW", Align::Left),
            ("VERDICT", Align::Left),
        ]);
        for row in self.drops.iter().chain(&self.passed) {
            table.push(cells(row));
        }
        writeln!(f, "{table}")?;
        self.explain_reasons(f)?;
        self.totals(f)
    }
}

impl Report {
    /// What each reason that occurs means, and what to do about it.
    fn explain_reasons(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let occurring: BTreeSet<&str> =
            self.drops.iter().chain(&self.passed).map(|row| row.cause.reason.as_str()).collect();
        let known = Reason::ALL.iter().filter(|reason| occurring.contains(reason.name()));
        for reason in known {
            writeln!(f, "{}", paragraph(&format!("{}: {}.", reason.name(), reason.meaning()), ""))?;
            writeln!(f, "{}", paragraph(reason.hint(), "    "))?;
        }
        writeln!(f)
    }

    fn totals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |sum: Sum| format!("{}, {}", count(sum.packets, "packet"), bytes(sum.bytes));
        writeln!(f, "Refused: {}.", line(self.total))?;
        if self.would_drop.packets > 0 {
            writeln!(f, "Would have been refused (audit mode): {}.", line(self.would_drop))?;
        }
        if !self.passed.is_empty() {
            let mut passed = Sum::default();
            self.passed.iter().for_each(|row| passed.add(row.sum));
            writeln!(f, "Left to the kernel (`unmatched: pass`): {}.", line(passed))?;
        }
        Ok(())
    }
}

fn cells(row: &Row) -> [String; 8] {
    let cause = &row.cause;
    [
        row.sum.packets.to_string(),
        row.sum.bytes.to_string(),
        cause.reason.clone(),
        cause.direction.to_owned(),
        cause.interface.clone(),
        cause.family.to_owned(),
        cause.flow.clone().unwrap_or_else(|| "-".to_owned()),
        cause.verdict.to_owned(),
    ]
}

#[cfg(test)]
mod tests;
