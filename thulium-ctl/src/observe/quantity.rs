//! Numbers as people read them.

use std::time::Duration;

/// A duration with its two largest units: `51s`, `4m10s`, `2h03m`, `3d04h`.
pub(super) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// The same, of a time since 1970 that is past: `4m10s ago`.
pub(super) fn ago(then: u64, now: u64) -> String {
    format!("{} ago", duration(Duration::from_secs(now.saturating_sub(then))))
}

/// Bytes with a binary unit: `999 B`, `1.5 KiB`, `20.0 GiB`.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut amount = count as f64 / 1024.0;
    let mut unit = 0;
    // 1023.95 would be printed as 1024.0.
    while amount >= 1023.95 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    format!("{amount:.1} {}", UNITS[unit])
}

/// A count with its noun: `1 packet`, `2 packets`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A count of addresses: `1 address`, `2 addresses`.
pub(crate) fn addresses(number: u64) -> String {
    if number == 1 { "1 address".to_owned() } else { format!("{number} addresses") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units() {
        let text = |seconds| duration(Duration::from_secs(seconds));
        assert_eq!([text(0), text(59), text(60), text(3599)], ["0s", "59s", "1m00s", "59m59s"]);
        assert_eq!([text(3600), text(86_399), text(86_400), text(273_600)], ["1h00m", "23h59m", "1d00h", "3d04h"]);
        assert_eq!(ago(100, 151), "51s ago");
        assert_eq!(ago(200, 100), "0s ago", "a clock that was set back");
    }

    #[test]
    fn bytes_have_a_unit() {
        assert_eq!([bytes(0), bytes(1023), bytes(1024), bytes(1536)], ["0 B", "1023 B", "1.0 KiB", "1.5 KiB"]);
        assert_eq!([bytes(1024 * 1024 - 1), bytes(u64::MAX)], ["1.0 MiB", "16384.0 PiB"]);
        assert_eq!([count(1, "packet"), count(0, "packet")], ["1 packet", "0 packets"]);
        assert_eq!([addresses(1), addresses(2)], ["1 address", "2 addresses"]);
    }
}
