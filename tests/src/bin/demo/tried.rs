//! What was tried, expected and seen.

use std::{
    fmt,
    io::{self, Write},
    time::Instant,
};

use anyhow::Result;
use comfy_table::{Table, presets};

use crate::interrupt;

/// The demo's steps so far.
#[derive(Default)]
pub(crate) struct Tried {
    steps: Vec<Step>,
}

struct Step {
    what: String,
    expected: String,
    seen: String,
}

impl Step {
    fn as_expected(&self) -> bool {
        self.seen == self.expected
    }
}

impl Tried {
    /// Tries something and says how it went. `step` returns what was seen; an error is what was seen, too.
    pub(crate) fn step(&mut self, what: &str, expected: &str, step: impl FnOnce() -> Result<String>) {
        print!("  {what} … ");
        // Progress only: if nobody reads it, the table still says all.
        let _ = io::stdout().flush();
        let start = Instant::now();
        let seen = step();
        if seen.is_err() {
            interrupt::wait_if_interrupted();
        }
        let seen = seen.unwrap_or_else(|error| format!("{error:#}"));
        let step = Step { what: what.to_owned(), expected: expected.to_owned(), seen };
        let mark = if step.as_expected() { "" } else { "NOT AS EXPECTED: " };
        println!("{mark}{} ({:.1} s)", step.seen, start.elapsed().as_secs_f64());
        self.steps.push(step);
    }

    /// True if everything was seen as expected.
    pub(crate) fn as_expected(&self) -> bool {
        self.steps.iter().all(Step::as_expected)
    }

    /// One sentence on all steps.
    pub(crate) fn summary(&self) -> String {
        let different = self.steps.iter().filter(|step| !step.as_expected()).count();
        match different {
            0 => format!("All {} as expected.", self.steps.len()),
            _ => format!("{different} of {} NOT as expected.", self.steps.len()),
        }
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_preset(presets::ASCII_BORDERS_ONLY_CONDENSED).set_header(["", "TRIED", "EXPECTED", "SEEN"]);
        for step in &self.steps {
            let mark = if step.as_expected() { "ok" } else { "NO" };
            table.add_row([mark, &step.what, &step.expected, &step.seen]);
        }
        writeln!(f, "{table}")
    }
}
