//! The drop counters of a gateway as a table that a test can compare.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// What `drops --json` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    rows: Vec<Row>,
    total: u64,
    would_drop: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    reason: String,
    direction: String,
    interface: String,
    family: String,
    flow: Option<String>,
    verdict: String,
    packets: u64,
}

impl Refused {
    /// Reads the JSON of `thulium-ctl drops --json`.
    ///
    /// # Errors
    /// When it is not of the documented shape, or its totals are not the sums of its rows.
    pub fn parse(json: &str) -> Result<Self> {
        let document: Value = serde_json::from_str(json).with_context(|| format!("not JSON: {json}"))?;
        ensure!(document["version"] == 1, "`drops --json` is not version 1: {json}");
        let rows = |key: &str| document[key].as_array().with_context(|| format!("`{key}` is missing"));
        let rows = rows("drops")?.iter().chain(rows("passed")?);
        let rows = rows.map(Row::parse).collect::<Result<Vec<_>>>()?;
        let packets =
            |key: &str| document[key]["packets"].as_u64().with_context(|| format!("`{key}.packets` is missing"));
        let refused = Self { total: packets("total")?, would_drop: packets("would_drop")?, rows };
        ensure!(refused.sum("drop") == refused.total, "`total` is not the sum of the rows: {json}");
        ensure!(refused.sum("would-drop") == refused.would_drop, "`would_drop` is not the sum of the rows: {json}");
        Ok(refused)
    }

    fn sum(&self, verdict: &str) -> u64 {
        self.rows.iter().filter(|row| row.verdict == verdict).map(|row| row.packets).sum()
    }

    /// All packets that were refused.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// All packets that audit mode let pass though enforcing would have refused them.
    pub fn would_drop(&self) -> u64 {
        self.would_drop
    }

    /// Packets refused for `reason`, wherever.
    pub fn of(&self, reason: &str) -> u64 {
        self.rows.iter().filter(|row| row.verdict == "drop" && row.reason == reason).map(|row| row.packets).sum()
    }

    /// Packets refused for `reason` that `flow` names.
    pub fn of_flow(&self, reason: &str, flow: &str) -> u64 {
        let of_flow = |row: &&Row| row.reason == reason && row.flow.as_deref() == Some(flow);
        self.rows.iter().filter(of_flow).map(|row| row.packets).sum()
    }

    /// The reasons whose counters grew since `earlier`; one that grew by more than one packet comes with their number.
    pub fn reasons_since(&self, earlier: &Self) -> Vec<String> {
        let reasons: BTreeSet<_> = self.rows.iter().map(|row| row.reason.as_str()).collect();
        let grown = reasons.into_iter().filter_map(|reason| match self.of(reason) - earlier.of(reason) {
            0 => None,
            1 => Some(reason.to_owned()),
            more => Some(format!("{reason} ({more} packets)")),
        });
        grown.collect()
    }

    /// One line a counter: `no-flow out wan0: 3`, with `would-drop` or `pass` before the colon where it was not dropped.
    pub fn lines(&self) -> Vec<String> {
        let mut counters = BTreeMap::new();
        for row in self.rows.iter().filter(|row| row.packets > 0) {
            *counters.entry(row.key()).or_insert(0) += row.packets;
        }
        counters.iter().map(|(key, packets)| format!("{key}: {packets}")).collect()
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.lines().join(", "))
    }
}

impl Row {
    fn parse(row: &Value) -> Result<Self> {
        let text = |key: &str| -> Result<String> {
            Ok(row[key].as_str().with_context(|| format!("`{key}` is missing in {row}"))?.to_owned())
        };
        Ok(Self {
            reason: text("reason")?,
            direction: text("direction")?,
            interface: text("interface")?,
            family: text("family")?,
            flow: row["flow"].as_str().map(str::to_owned),
            verdict: text("verdict")?,
            packets: row["packets"].as_u64().with_context(|| format!("`packets` is missing in {row}"))?,
        })
    }

    fn key(&self) -> String {
        let family = if self.family == "ipv6" { " ipv6" } else { "" };
        let verdict = if self.verdict == "drop" { String::new() } else { format!(" {}", self.verdict) };
        format!("{} {} {}{family}{verdict}", self.reason, self.direction, self.interface)
    }
}
