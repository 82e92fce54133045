//! A table, for a terminal and for a document.

use comfy_table::{CellAlignment, Table as Terminal, presets};
use serde::Serialize;

/// A title, columns, rows, and what a reader has to know beside them. The first column is text, the others are figures.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
    note: String,
}

impl Table {
    /// One without rows.
    pub(crate) fn new(title: &str, columns: impl IntoIterator<Item = String>, note: &str) -> Self {
        Self {
            title: title.to_owned(),
            columns: columns.into_iter().collect(),
            rows: Vec::new(),
            note: note.to_owned(),
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// True if there is nothing to show.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// As a section of a Markdown document.
    pub(crate) fn markdown(&self) -> String {
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let rule: Vec<String> =
            (0..self.columns.len()).map(|at| if at == 0 { "---" } else { "---:" }.to_owned()).collect();
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        let note = if self.note.is_empty() { String::new() } else { format!("\n{}\n", self.note) };
        format!("## {}\n\n{}{}{rows}{note}", self.title, line(&self.columns), line(&rule))
    }

    /// For a terminal.
    pub(crate) fn terminal(&self) -> String {
        let mut table = Terminal::new();
        table.load_preset(presets::NOTHING).set_header(&self.columns).add_rows(&self.rows);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let note = if self.note.is_empty() { String::new() } else { format!("{}\n", self.note) };
        format!("{}\n{}\n{note}", self.title, table.trim_fmt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new("Cost", ["who".to_owned(), "ns".to_owned()], "Less is better.");
        table.row(["a | b".to_owned(), "12".to_owned()]);
        table
    }

    #[test]
    fn markdown_has_figures_on_the_right_and_no_loose_bars() {
        assert_eq!(
            table().markdown(),
            "## Cost\n\n| who | ns |\n| --- | ---: |\n| a \\| b | 12 |\n\nLess is better.\n"
        );
    }

    #[test]
    fn a_terminal_gets_the_same_without_markup() {
        let text = table().terminal();
        assert!(text.starts_with("Cost\n") && text.contains("a | b") && text.ends_with("Less is better.\n"), "{text}");
        assert!(!text.contains("---"));
    }
}
