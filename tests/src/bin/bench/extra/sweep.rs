//! Sweeping: how long one CPU takes for all sessions, and what packets on another CPU notice of it. The daemon looks at a twelfth
//! of them every few seconds; here it never ends.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use anyhow::{Context, Result, ensure};
use aya::programs::{ProgramInfo, SchedClassifier, TestRun as _, TestRunOptions, loaded_programs};
use nix::time::ClockId;
use thulium_ebpf::abi::{self, SWEEP_STEPS, order_frame};

use super::kernel::Open;
use crate::{
    plan::Plan,
    progress::Progress,
    results::Sweep,
    rig::{Cpu, Rig},
    sample::Contender,
};

/// The name of the program, as the kernel knows it.
const PROGRAM: &str = "sweep";
/// Sessions that are swept before it is asked whether it is over.
const SLICE: u32 = 10_000;
/// What a round is thought to take, seconds.
const ROUND: f64 = 2.5;

/// Seconds that it is thought to take.
pub(crate) fn seconds(plan: &Plan) -> f64 {
    f64::from(plan.few_rounds()) * plan.products().len() as f64 * ROUND
}

/// Measures it with the sessions that are open, round by round, and packets of `flows` of them.
///
/// # Errors
/// When the program cannot be found or run, or the source cannot.
pub(crate) fn measure(rig: &mut Rig<'_>, plan: &Plan, flows: u32, progress: &mut Progress) -> Result<Sweep> {
    progress.stage("Sweeping");
    let (sessions, packets) = (plan.all_sessions(), plan.packets(flows));
    let mut results = Sweep { sessions, ..Sweep::default() };
    let mut sweepers = Vec::new();
    for product in plan.products() {
        sweepers.push((product, Sweeper { program: program(rig, product)?, sessions }));
    }
    for round in 0..plan.few_rounds() {
        progress.round(round, plan.few_rounds());
        for (product, sweeper) in &sweepers {
            results.time.push(*product, round, sweeper.sweep(sessions)?);
            let undisturbed = rig.cost(*product, flows, packets)?;
            let disturbed = sweeper.during(rig.cpu(), || rig.cost(*product, flows, packets))?;
            if let (Some(undisturbed), Some(Some(disturbed))) = (undisturbed, disturbed) {
                results.undisturbed.push(*product, round, undisturbed);
                results.disturbed.push(*product, round, disturbed);
            }
            progress.advance(ROUND);
        }
    }
    Ok(results)
}

/// The program of a contender's daemon.
fn program(rig: &mut Rig<'_>, product: Contender) -> Result<SchedClassifier> {
    let open = Open::by(rig.gateway(product)?.daemon().id())?;
    let is_it = |info: &ProgramInfo| info.name_as_str() == Some(PROGRAM) && open.programs.contains(&info.id());
    let info = loaded_programs().flatten().find(is_it);
    let info = info.with_context(|| format!("{} has no program {PROGRAM}", product.name()))?;
    Ok(SchedClassifier::from_program_info(info, PROGRAM.into())?)
}

/// What looks at a contender's sessions.
struct Sweeper {
    program: SchedClassifier,
    sessions: u32,
}

impl Sweeper {
    /// Looks at so many sessions; CPU time, milliseconds.
    fn sweep(&self, sessions: u32) -> Result<f64> {
        // However lately they were looked at.
        let order = order_frame(&abi::Sweep { age: 0 });
        let repeat = sessions.div_ceil(SWEEP_STEPS);
        let before = cpu_time()?;
        let swept =
            self.program.test_run(TestRunOptions { data_in: Some(&order), repeat, ..TestRunOptions::default() })?;
        ensure!(swept.return_value > 0, "there were no {sessions} sessions to look at");
        Ok((cpu_time()? - before) * 1e3)
    }

    /// Does `work` while another CPU than this one sweeps. None if there is no other.
    fn during<T>(&self, cpu: Cpu, work: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let sweeping = scope.spawn(|| self.until(&over, cpu));
            let done = work();
            over.store(true, Ordering::Relaxed);
            let swept = sweeping.join().map_err(|_| anyhow::anyhow!("a thread of the bench panicked"))??;
            done.map(|done| swept.then_some(done))
        })
    }

    /// Sweeps until it is over. False if there is no other CPU than this one.
    fn until(&self, over: &AtomicBool, cpu: Cpu) -> Result<bool> {
        if !cpu.avoid()? {
            return Ok(false);
        }
        while !over.load(Ordering::Relaxed) {
            self.sweep(self.sessions.min(SLICE))?;
        }
        Ok(true)
    }
}

/// This thread's CPU time, seconds.
fn cpu_time() -> Result<f64> {
    let time = ClockId::CLOCK_THREAD_CPUTIME_ID.now().context("reading this thread's CPU time")?;
    Ok(time.tv_sec() as f64 + time.tv_nsec() as f64 / 1e9)
}
