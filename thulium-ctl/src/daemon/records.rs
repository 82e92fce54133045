//! The debug records of the slow path (`run --log-datapath`).

use anyhow::Context;
use aya::Ebpf;
use aya_log::EbpfLogger;
use log::{LevelFilter, Log, Metadata, Record};
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
            say(&format!("datapath: {}", record.args()));
        }
    }

    fn flush(&self) {}
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
