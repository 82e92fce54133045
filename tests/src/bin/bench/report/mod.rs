//! What is made of a run: tables, a document, a plot, and figures for programs.
//!
//! * [`table`]: a table, for terminal and document; [`tables`](mod@tables), [`beside`]: all of them.
//! * [`plot`]: the plot, on its [`scale`]. [`json`]: everything, for programs.

mod beside;
mod json;
mod plot;
mod scale;
mod table;
mod tables;

use std::{fs, path::Path};

use anyhow::{Context, Result};

use self::{table::Table, tables::tables};
use crate::{
    floors::{Floor, floors},
    results::{LeftOut, Results},
    text,
};

/// What a run came to.
pub(crate) struct Report {
    tables: Vec<Table>,
    floors: Vec<Floor>,
}

impl Report {
    /// Concludes it from the results.
    pub(crate) fn of(results: &Results) -> Self {
        let floors = floors(results);
        Self { tables: tables(results, &floors), floors }
    }

    /// For the terminal: the tables, who was left out, and what was not reached.
    pub(crate) fn terminal(&self, results: &Results) -> String {
        let tables: Vec<String> = self.tables.iter().map(Table::terminal).collect();
        let mut sentences: Vec<String> = remarks(results);
        sentences.extend(self.floors.iter().filter_map(Floor::complaint));
        format!("{}\n{}\n", tables.join("\n"), sentences.join("\n"))
    }

    /// Writes `bench.md`, `bench.json` and `bench.svg` into the folder, which is made if it is not there.
    ///
    /// # Errors
    /// When one of them cannot be written; it is named.
    pub(crate) fn write(&self, results: &Results, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
        };
        let plot = plot::svg(results);
        write("bench.md", self.markdown(results, plot.is_some()))?;
        write("bench.json", format!("{:#}\n", json::document(results, &self.floors)))?;
        plot.map_or(Ok(()), |plot| write("bench.svg", plot))
    }

    fn markdown(&self, results: &Results, has_plot: bool) -> String {
        let plot = if has_plot { "![Gateway CPU time per packet over flows](bench.svg)\n\n" } else { "" };
        let tables: Vec<String> = self.tables.iter().map(Table::markdown).collect();
        let mut remarks = remarks(results);
        remarks.extend(self.floors.iter().filter_map(Floor::complaint));
        let remarks: String = remarks.iter().map(|remark| format!("- {remark}\n")).collect();
        let remarks = if remarks.is_empty() { remarks } else { format!("\n## Remarks\n\n{remarks}") };
        let machine = results.machine.describe();
        format!("# What a packet costs the gateway\n\n{machine}\n\n{plot}{}{remarks}", tables.join("\n"))
    }
}

/// In which order packets took the flows, if not in the usual one; what could not be measured; who could not be compared, and why.
fn remarks(results: &Results) -> Vec<String> {
    let left = |left: &LeftOut| {
        format!("Not compared over {}: {}: {}.", text::flows(left.flows), left.contender.name(), left.reason)
    };
    let order = "Packets took the flows in another order than that in which they were opened.".to_owned();
    let failed = results.failed.iter().map(|failed| format!("Not measured: {failed}."));
    results.scattered.then_some(order).into_iter().chain(failed).chain(results.left_out.iter().map(left)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        machine::Machine,
        sample::Contender,
        statistics::tests::{CASE, sample},
    };

    fn results() -> Results {
        let mut results = Results::new(Machine::default(), vec![1_000], Contender::ALL.to_vec());
        results.samples.extend(vec![sample(CASE, 0, 1600.0), sample(CASE.of(Contender::XdpNative), 0, 400.0)]);
        let reason = "it has no room".to_owned();
        results.failed.push("Latency: no answer".to_owned());
        results.left_out.push(LeftOut { contender: Contender::Nftables, flows: 1_000_000, reason });
        results
    }

    #[test]
    fn what_is_not_reached_and_who_is_left_out_is_said_in_sentences() {
        let results = results();
        let text = Report::of(&results).terminal(&results);
        let missed =
            "Not reached: xdp: native, 1,000 flows, out: times cheaper than nftables: 4.00, and 8 is promised.";
        assert!(text.contains(missed), "{text}");
        let left = "Not compared over 1,000,000 flows: nftables filter + masquerade: it has no room.";
        assert!(text.contains(left), "{text}");
        assert!(text.contains("Not measured: Latency: no answer."), "{text}");
    }

    #[test]
    fn all_three_files_are_written() {
        let results = results();
        let folder = std::env::temp_dir().join(format!("thulium-bench-report-{}", std::process::id()));
        let written = Report::of(&results).write(&results, &folder.join("deep"));
        let read = |name: &str| fs::read_to_string(folder.join("deep").join(name)).unwrap_or_default();
        let [markdown, json, svg] = ["bench.md", "bench.json", "bench.svg"].map(read);
        let _ = fs::remove_dir_all(&folder);
        written.unwrap();
        assert!(markdown.contains("](bench.svg)") && markdown.contains("## Remarks"), "{markdown}");
        assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
        assert!(svg.starts_with("<svg"));
    }
}
