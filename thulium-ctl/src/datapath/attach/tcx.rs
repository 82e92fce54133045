//! TCX: links, which are pinned.

use std::{fs, path::Path};

use anyhow::Context;
use aya::programs::{
    LinkOrder, ProgramError, SchedClassifier, TcAttachType,
    links::{FdLink, PinnedLink},
    tc::{SchedClassifierLink, TcAttachOptions},
};

use super::{Fresh, Target, pinned::pin};
use crate::datapath::pins::Pins;

/// Attaches a program first of all, or puts it in the place of an earlier run's. True if it was not there before.
pub(super) fn attach(
    program: &mut SchedClassifier,
    name: &str,
    kind: TcAttachType,
    target: &Target,
    pins: &Pins,
    fresh: &mut Fresh,
) -> anyhow::Result<bool> {
    let path = pin(pins, "tcx", name, target.index);
    if let Some(link) = take_over(&path) {
        let link: SchedClassifierLink = link.try_into()?;
        match program.attach_to_link(link) {
            Ok(id) => {
                // The pin still stands for the link; only our descriptor of it goes.
                drop(FdLink::try_from(program.take_link(id)?)?);
                return Ok(false);
            }
            Err(error) if is_of_a_gone_interface(&error) => {}
            Err(error) => return Err(error.into()),
        }
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    let order = TcAttachOptions::TcxOrder(LinkOrder::first());
    let id = program.attach_with_options(&target.name, kind, order)?;
    let link = FdLink::try_from(program.take_link(id)?)?;
    link.pin(&path).with_context(|| format!("cannot pin {}", path.display()))?;
    fresh.pins.push(path);
    Ok(true)
}

/// The link of an earlier run.
pub(in crate::datapath) fn take_over(path: &Path) -> Option<FdLink> {
    PinnedLink::from_pin(path).ok().map(FdLink::from)
}

/// True if a link could not be updated because its interface is gone: another one has its index now. Any other failure leaves
/// a link that still enforces.
pub(in crate::datapath) fn is_of_a_gone_interface(error: &ProgramError) -> bool {
    let ProgramError::SyscallError(error) = error else { return false };
    error.io_error.raw_os_error() == Some(libc::ENOLINK)
}

/// True if a program of this name is attached there. A kernel without TCX has none.
pub(super) fn is_attached(interface: &str, program: &str, kind: TcAttachType) -> bool {
    SchedClassifier::query_tcx(interface, kind)
        .is_ok_and(|(_, attached)| attached.iter().any(|info| info.name_as_str() == Some(program)))
}
