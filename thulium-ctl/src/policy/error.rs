//! What is wrong with a policy: every error of the file, each with its place, the line itself and what to write instead.

use std::fmt;

use crate::exit::{Exit, Failure};

/// Errors that are shown of one file; of more only the number is told.
const SHOWN: usize = 50;
/// Characters of a line that are shown.
const WIDTH: usize = 100;

/// A place in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// Characters that the caret underlines.
    pub length: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// Where; `None` when the file as a whole is meant.
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
    /// The line of `place`, without its line break.
    pub text: String,
}

/// All that is wrong with a file, sorted by place. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors {
    /// The file, as the admin wrote its name.
    pub file: String,
    /// The errors, the first ones of a great many.
    pub list: Vec<PolicyError>,
    /// Errors that are not in `list`, at least.
    pub more: usize,
}

impl Errors {
    /// One error that is about the file as a whole.
    pub(super) fn of_file(file: &str, message: impl Into<String>, help: impl Into<String>) -> Self {
        let error = PolicyError { place: None, message: message.into(), help: help.into(), text: String::new() };
        Self { file: file.to_owned(), list: vec![error], more: 0 }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.list.len() + self.more
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.list.iter().enumerate() {
            if index > 0 {
                writeln!(f, "\n")?;
            }
            error.write(f, &self.file)?;
        }
        if self.more > 0 {
            write!(f, "\n\n{}: and {} more errors at least", self.file, self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

impl From<Errors> for Failure {
    fn from(errors: Errors) -> Self {
        let count = errors.count();
        let what = if count == 1 { "an error".to_owned() } else { format!("{count} errors") };
        Self::new(Exit::Policy, format!("the policy has {what}; nothing was changed"), errors.to_string())
    }
}

impl PolicyError {
    /// Writes `file:line:column: error: message`, the line with a caret, and the help.
    fn write(&self, f: &mut fmt::Formatter<'_>, file: &str) -> fmt::Result {
        let Some(place) = self.place else {
            write!(f, "{file}: error: {}", self.message)?;
            return if self.help.is_empty() { Ok(()) } else { write!(f, "\n  = {}", self.help) };
        };
        let number = place.line.to_string();
        let margin = " ".repeat(number.len());
        let (text, column) = window(&self.text, place.column);
        let room = text.chars().count().saturating_sub(column - 1);
        let carets = "^".repeat(place.length.min(room).max(1));
        writeln!(f, "{file}:{}:{}: error: {}", place.line, place.column, self.message)?;
        writeln!(f, "{margin} |\n{number} | {text}\n{margin} | {}{carets}", " ".repeat(column - 1))?;
        if !self.help.is_empty() {
            write!(f, "{margin} = {}", self.help.replace('\n', &format!("\n{margin}   ")))?;
        }
        Ok(())
    }
}

/// The part of a line around a column that fits on a screen, printable, and the column in it.
fn window(line: &str, column: usize) -> (String, usize) {
    let skip = if column > WIDTH - 20 { column - WIDTH / 2 } else { 0 };
    let mut rest = line.chars().skip(skip);
    let mut text = rest.by_ref().take(WIDTH).map(printable).collect::<String>();
    if rest.next().is_some() {
        text.push_str("...");
    }
    if skip == 0 {
        return (text.trim_end().to_owned(), column);
    }
    (format!("...{}", text.trim_end()), column - skip + 3)
}

/// A character that cannot move the cursor or change colours.
fn printable(character: char) -> char {
    match character {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// Text of the file as it stands in a sentence: in backticks, printable and not too long.
pub(super) fn quote(text: &str) -> String {
    let mut shown = text.chars().take(64).map(printable).collect::<String>();
    if text.chars().nth(64).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// The candidate that was probably meant, unless none is near.
pub(super) fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > 64 {
        return None;
    }
    let word = word.to_lowercase().replace('-', "_");
    candidates
        .into_iter()
        .map(|candidate| {
            let known = candidate.to_lowercase().replace('-', "_");
            let begun = word.len() > 2 && known.starts_with(&word);
            (if begun { 1 } else { strsim::damerau_levenshtein(&word, &known) }, candidate)
        })
        .filter(|(distance, candidate)| *distance <= (candidate.len().max(word.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Collects what is found while a policy is read.
#[derive(Debug, Default)]
pub(super) struct Report {
    errors: Vec<PolicyError>,
    more: usize,
    /// Legal, but the admin should know; one sentence each.
    pub(super) warnings: Vec<String>,
}

impl Report {
    /// Notes an error.
    pub(super) fn error(&mut self, place: Place, message: impl Into<String>, help: impl Into<String>) {
        if self.errors.len() == SHOWN {
            self.more += 1;
            return;
        }
        let (message, help) = (message.into(), help.into());
        self.errors.push(PolicyError { place: Some(place), message, help, text: String::new() });
    }

    /// Whether there are more errors than anyone reads: searching for further ones is no use.
    pub(super) fn is_full(&self) -> bool {
        self.more > 0
    }

    /// Notes a warning.
    pub(super) fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// The errors, sorted, with their lines; `None` if there is none.
    pub(super) fn into_errors(self, file: &str, text: &str) -> Option<Errors> {
        let mut list = self.errors;
        if list.is_empty() {
            return None;
        }
        list.sort_by_key(|error| error.place);
        let mut lines = text.lines();
        let (mut number, mut line) = (0, "");
        for error in &mut list {
            let wanted = error.place.map_or(0, |place| place.line);
            while number < wanted {
                line = lines.next().unwrap_or_default();
                number += 1;
            }
            // Enough for the window around the column; the rest of a very long line is not kept.
            let column = error.place.map_or(0, |place| place.column);
            error.text = line.chars().take(column + WIDTH).collect();
        }
        Some(Errors { file: file.to_owned(), list, more: self.more })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_file_place_line_caret_and_remedy() {
        let mut report = Report::default();
        report.error(Place { line: 2, column: 8, length: 3 }, "too short", "write 300s");
        let errors = report.into_errors("p.yaml", "sessions:\n  idle: 30s # why\n").expect("an error");
        assert_eq!(
            errors.to_string(),
            "p.yaml:2:8: error: too short\n  |\n2 |   idle: 30s # why\n  |        ^^^\n  = write 300s"
        );
    }

    #[test]
    fn a_very_long_line_is_cut_around_the_caret() {
        let line = format!("{}x{}", "a".repeat(5000), "b".repeat(5000));
        let mut report = Report::default();
        report.error(Place { line: 1, column: 5001, length: 1 }, "wrong", "");
        let shown = report.into_errors("p.yaml", &line).expect("an error").to_string();
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[2].len() < 120, "{shown}");
        assert_eq!(lines[2].find('x'), lines[3].find('^'));
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        let mut report = Report::default();
        report.error(Place { line: 1, column: 1, length: 1 }, format!("{} is wrong", quote("\u{1b}[2J")), "");
        let shown = report.into_errors("p.yaml", "\u{1b}[2J\n").expect("an error").to_string();
        assert!(!shown.contains('\u{1b}'));
    }

    #[test]
    fn a_near_word_is_suggested_and_a_far_one_is_not() {
        assert_eq!(suggest("udp-idel", ["udp_idle", "tcp_idle"]), Some("udp_idle"));
        assert_eq!(suggest("colour", ["udp_idle", "tcp_idle"]), None);
    }
}
