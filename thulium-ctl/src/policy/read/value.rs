//! Single values: text, numbers, durations, one of several words.

use std::{collections::HashMap, hash::Hash, ops::RangeInclusive, slice, time::Duration};

use crate::policy::{
    error::{Place, Report, quote, suggest},
    tree::{Kind, Node},
};

/// The text of a scalar; `help` is what to write where it is none.
pub(super) fn text<'a>(node: &'a Node, path: &str, help: &str, report: &mut Report) -> Option<&'a str> {
    let message = match &node.kind {
        Kind::Scalar(text) => return Some(text.trim()),
        Kind::Refused => return None,
        Kind::Empty => "is empty",
        Kind::List(_) => "must be one value, and is a list",
        Kind::Map(_) => "must be one value, and has keys and values",
    };
    report.error(node.place, format!("`{path}` {message}"), help);
    None
}

/// The items of a list. A single value counts as a list of one.
pub(in crate::policy) fn items(node: &Node) -> &[Node] {
    match &node.kind {
        Kind::List(items) => items,
        _ => slice::from_ref(node),
    }
}

/// Each item of a list (or the single value) as `parse` understands its text; none may be there twice.
pub(super) fn list<T: Clone + Eq + Hash>(
    node: &Node,
    path: &str,
    help: &str,
    report: &mut Report,
    mut parse: impl FnMut(&str, Place, &mut Report) -> Option<T>,
) -> Vec<T> {
    let mut seen: HashMap<T, Place> = HashMap::new();
    let mut values = Vec::new();
    for item in items(node) {
        let Some(word) = text(item, path, help, report) else { continue };
        let Some(value) = parse(word, item.place, report) else { continue };
        if let Some(first) = seen.get(&value) {
            let message = format!("{} is in `{path}` twice, first in {first}", quote(word));
            report.error(item.place, message, "remove one of the two");
            continue;
        }
        seen.insert(value.clone(), item.place);
        values.push(value);
    }
    values
}

/// A whole number within a range.
pub(super) fn number(
    node: &Node,
    path: &str,
    range: RangeInclusive<u32>,
    default: u32,
    report: &mut Report,
) -> Option<u32> {
    let help = format!("write a whole number from {} to {}, such as {default}", range.start(), range.end());
    let word = text(node, path, &help, report)?;
    match word.parse::<u32>() {
        Ok(number) if range.contains(&number) => Some(number),
        _ if word.parse::<i128>().is_ok() => {
            let message =
                format!("`{path}` is {}, which is not from {} to {}", quote(word), range.start(), range.end());
            report.error(node.place, message, help);
            None
        }
        _ => {
            report.error(node.place, format!("{} is not a whole number", quote(word)), help);
            None
        }
    }
}

/// One of several words.
pub(super) fn choice<T: Copy>(node: &Node, path: &str, words: &[(&str, T)], report: &mut Report) -> Option<T> {
    let known = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(" or ");
    let help = format!("write {known}");
    let word = text(node, path, &help, report)?;
    if let Some((_, value)) = words.iter().find(|(known, _)| *known == word) {
        return Some(*value);
    }
    let help = match suggest(word, words.iter().map(|(word, _)| *word)) {
        Some(near) => format!("did you mean `{near}`? {help}"),
        None => help,
    };
    report.error(node.place, format!("{} is no value of `{path}`", quote(word)), help);
    None
}

/// A duration with its unit, such as `300s` or `2h 4min`. What its help says to write is within `range`, which the caller
/// checks.
pub(super) fn duration(
    node: &Node,
    path: &str,
    range: RangeInclusive<Duration>,
    example: &str,
    report: &mut Report,
) -> Option<Duration> {
    let help = format!("write a number with its unit (s, min, h, days), such as {example}");
    let word = text(node, path, &help, report)?;
    if word.bytes().all(|byte| byte.is_ascii_digit()) && (1..16).contains(&word.len()) {
        let message = format!("`{path}` is {}, without a unit", quote(word));
        report.error(node.place, message, with_unit(word, &range, example));
        return None;
    }
    match humantime::parse_duration(word) {
        Ok(duration) => Some(duration),
        Err(_) => {
            report.error(node.place, format!("{} is not a duration", quote(word)), help);
            None
        }
    }
}

/// A duration that must be within `range`.
pub(super) fn duration_within(
    node: &Node,
    path: &str,
    range: RangeInclusive<Duration>,
    example: &str,
    report: &mut Report,
) -> Option<Duration> {
    let duration = duration(node, path, range.clone(), example, report)?;
    if range.contains(&duration) {
        return Some(duration);
    }
    let (first, last) = (show(*range.start()), show(*range.end()));
    let message = format!("`{path}` is {}, which is not from {first} to {last}", show(duration));
    report.error(node.place, message, format!("write a duration from {first} to {last}, such as {example}"));
    None
}

/// What to write instead of a bare number.
fn with_unit(number: &str, range: &RangeInclusive<Duration>, example: &str) -> String {
    let fits =
        |unit: &&str| humantime::parse_duration(&format!("{number}{unit}")).is_ok_and(|time| range.contains(&time));
    // Seconds were meant, most likely.
    if !fits(&"s") {
        return format!("write {}s or more, such as {example}", range.start().as_secs());
    }
    let others = ["min", "h"].into_iter().filter(fits).map(|unit| format!(" or {number}{unit}"));
    format!("write {number}s{}", others.collect::<String>())
}

/// A duration as it is written in a policy, such as `2h 4m`.
pub(in crate::policy) fn show(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}
