//! Figures as text.

use crate::statistics::Spread;

/// A count with its thousands apart.
pub(crate) fn count(value: u32) -> String {
    figure(f64::from(value), 0)
}

/// A count of flows, in words.
pub(crate) fn flows(value: u32) -> String {
    format!("{} {}", count(value), if value == 1 { "flow" } else { "flows" })
}

/// A value with so many digits behind the point, its thousands apart.
pub(crate) fn figure(value: f64, digits: usize) -> String {
    let text = format!("{:.digits$}", value.abs());
    let (whole, part) = text.split_once('.').map_or((text.as_str(), ""), |(whole, part)| (whole, part));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let sign = if value < 0.0 { "−" } else { "" };
    let point = if part.is_empty() { "" } else { "." };
    format!("{sign}{grouped}{point}{part}")
}

/// Median and quartiles.
pub(crate) fn spread(spread: Spread, digits: usize) -> String {
    let [median, low, high] = [spread.median, spread.low, spread.high].map(|value| figure(value, digits));
    if spread.count == 1 { median } else { format!("{median} ({low}–{high})") }
}

/// The same, or that there is none.
pub(crate) fn or_none(value: Option<Spread>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| spread(value, digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        assert_eq!(count(1), "1");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(1_000_000), "1,000,000");
        assert_eq!(figure(12_345.678, 1), "12,345.7");
        assert_eq!(figure(-1_234.0, 0), "−1,234");
    }

    #[test]
    fn one_flow_is_one() {
        assert_eq!((flows(1), flows(1_000)), ("1 flow".to_owned(), "1,000 flows".to_owned()));
    }

    #[test]
    fn one_value_has_no_spread() {
        assert_eq!(spread(Spread::of([2.0]).unwrap(), 1), "2.0");
        assert_eq!(spread(Spread::of([1.0, 2.0, 3.0]).unwrap(), 1), "2.0 (1.5–2.5)");
    }
}
