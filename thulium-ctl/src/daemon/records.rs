//! The debug records of the slow path (`run --log-datapath`).

use anyhow::Context;
use aya::Ebpf;
use aya_log::EbpfLogger;
use log::{LevelFilter, Log, Metadata, Record};
use thulium_ebpf::abi::Reason;
use tokio::io::{Interest, unix::AsyncFd};

use super::say;

/// Prints records where the daemon's other lines go.
struct ToLog;

impl Log for ToLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("thulium")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            say(&format!("datapath: {}", with_name(&record.args().to_string())));
        }
    }

    fn flush(&self) {}
}

/// A record with its reason's name instead of the number, which is all that the programs say.
fn with_name(record: &str) -> String {
    const REASON: &str = "reason ";
    let named = || {
        let (before, rest) = record.split_once(REASON)?;
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let reason = Reason::from_number(rest[..end].parse().ok()?)?;
        Some(format!("{before}{REASON}{}{}", reason.name(), &rest[end..]))
    };
    named().unwrap_or_else(|| record.to_owned())
}

/// A task that prints the records of the loaded programs, for ever.
///
/// # Errors
/// If the programs have no records.
pub(super) fn print(ebpf: &mut Ebpf) -> anyhow::Result<impl Future<Output = ()> + Send + use<>> {
    // Set once: there is one daemon a process.
    let _ = log::set_logger(&ToLog).map(|()| log::set_max_level(LevelFilter::Debug));
    let logger = EbpfLogger::init(ebpf).context("the programs have no debug records")?;
    // SAFETY: the logger owns its descriptor, always returns that one, and closes it only when it is dropped.
    let registered = unsafe { AsyncFd::register_with_interest(logger, Interest::READABLE) };
    let mut logger = registered.context("cannot wait for debug records")?;
    Ok(async move {
        while let Ok(mut guard) = logger.readable_mut().await {
            guard.get_inner_mut().flush();
            guard.clear_ready();
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_its_name() {
        let number = Reason::NoFlow as u8;
        let record = format!("refused at interface 5: reason {number}, flow slot 255");
        assert_eq!(with_name(&record), "refused at interface 5: reason no-flow, flow slot 255");
        for other in ["refused at interface 5: reason 250, flow slot 1", "something else", "reason "] {
            assert_eq!(with_name(other), other);
        }
    }
}
