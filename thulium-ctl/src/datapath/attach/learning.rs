//! The programs by which names learn their addresses from DNS replies. A kernel that does not take them enforces all the same.

use std::fs;

use anyhow::Context;
use aya::{Ebpf, programs::SchedClassifier};

use super::{
    Fresh, Target, clsact,
    pinned::{Pinned, pin},
    tcx,
};
use crate::datapath::{load::load_program, pins::Pins};

/// How they are attached.
pub(super) struct Learning<'a> {
    /// With TCX, or with clsact.
    pub(super) with_tcx: bool,
    /// True if the others were attached just now, so that those of an earlier run would stand behind them.
    pub(super) goes_first: bool,
    /// What an earlier run attached.
    pub(super) pins: &'a Pins,
}

impl Learning<'_> {
    /// Loads them, if they are not, and attaches them to an interface where they belong.
    ///
    /// # Errors
    /// If the kernel does not take one of them.
    pub(super) fn attach(&self, ebpf: &mut Ebpf, target: &Target, fresh: &mut Fresh) -> anyhow::Result<()> {
        for (name, kind) in target.learners() {
            let program = ebpf.program_mut(name).with_context(|| format!("there is no program {name}"))?;
            if program.fd().is_err() {
                load_program(name, program)?;
            }
            if self.goes_first {
                self.release(name, target)?;
            }
            let program: &mut SchedClassifier = program.try_into()?;
            let by = if self.with_tcx { tcx::attach } else { clsact::attach };
            by(program, name, *kind, target, self.pins, fresh)
                .with_context(|| format!("the kernel does not attach the program {name} to {}", target.name))?;
        }
        Ok(())
    }

    /// Takes the program of an earlier run off.
    fn release(&self, program: &str, target: &Target) -> anyhow::Result<()> {
        let path = pin(self.pins, if self.with_tcx { "tcx" } else { "clsact" }, program, target.index);
        if !path.exists() {
            return Ok(());
        }
        if let Some(pinned) = Pinned::parse(&path) {
            pinned.detach_filter()?;
        }
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))
    }
}
