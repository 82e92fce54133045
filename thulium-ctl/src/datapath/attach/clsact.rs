//! The clsact qdisc, on kernels without TCX.

use std::fs;

use anyhow::Context;
use aya::programs::{
    SchedClassifier, TcAttachType,
    tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle},
};

use super::{Fresh, Target, pinned::pin};
use crate::datapath::pins::Pins;

/// Priority and handle of our clsact filters, by which a later run finds them. First of all: a filter before ours that ends
/// with `ok` would keep packets from it.
const FILTER: NlOptions = NlOptions { priority: 1, handle: TcHandle::new(0, 0x7468), classid: None };

/// A clsact filter is no link: the filter itself outlives us, and a pin of its program says that it is ours.
pub(super) fn attach(
    program: &mut SchedClassifier,
    name: &str,
    kind: TcAttachType,
    target: &Target,
    pins: &Pins,
    fresh: &mut Fresh,
) -> anyhow::Result<()> {
    // An error means that the qdisc is there.
    let _ = tc::qdisc_add_clsact(&target.name);
    let path = pin(pins, "clsact", name, target.index);
    // A filter that somebody has taken off is attached anew.
    let taken_over = if path.exists() { program.attach_to_link(filter(&target.name, kind)?).ok() } else { None };
    if path.exists() {
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    if let Some(id) = taken_over {
        std::mem::forget(program.take_link(id)?);
    } else {
        let id = program.attach_with_options(&target.name, kind, TcAttachOptions::Netlink(FILTER))?;
        std::mem::forget(program.take_link(id)?);
        fresh.filters.push((target.clone(), kind));
        fresh.pins.push(path.clone());
    }
    program.pin(&path).with_context(|| format!("cannot pin {}", path.display()))?;
    Ok(())
}

fn filter(interface: &str, kind: TcAttachType) -> anyhow::Result<SchedClassifierLink> {
    let NlOptions { priority, handle, classid } = FILTER;
    Ok(SchedClassifierLink::attached(interface, kind, priority, handle, classid)?)
}

/// Takes our filter off: dropping its handle detaches it. One that is gone already is as good.
///
/// # Errors
/// If there is no such interface.
pub(super) fn detach(interface: &str, kind: TcAttachType) -> anyhow::Result<()> {
    drop(filter(interface, kind)?);
    Ok(())
}
