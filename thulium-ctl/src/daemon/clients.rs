//! The clients' pins at the start.

use super::{Setup, say, state_directory};
use crate::{
    clients::{PinKeeper, pins_file},
    datapath::{clients::Orders, tables::Tables},
    observe::{count, status::Warning},
    policy::Policy,
};

/// Who keeps the clients' pins; maps that are `new` begin with those of an earlier boot. Pins that cannot be read are a warning.
///
/// # Errors
/// If the kernel refuses.
pub(super) fn keep_pins(
    setup: &Setup,
    policy: &Policy,
    tables: &mut Tables,
    new: bool,
) -> anyhow::Result<(PinKeeper, Option<Warning>)> {
    let file = pins_file(&state_directory(setup.pins.instance()));
    let (keeper, trouble) = PinKeeper::open(file, policy.release_after_idle, Orders::open(&setup.pins)?);
    if new {
        match keeper.restore(tables)? {
            0 => {}
            restored => say(&format!("pinned as before the boot: {}", count(restored as u64, "client"))),
        }
    }
    let warning = trouble.map(|error| {
        let line = format!("the clients' pins of an earlier run are lost: {error:#}");
        say(&line);
        Warning::new(line, "Clients are pinned anew at their next packet; the file is written again.")
    });
    Ok((keeper, warning))
}
