//! Sweeping: how long one CPU takes for all sessions, and what packets on another CPU notice of it. The daemon looks at a twelfth
//! of them every few seconds; here it never ends.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use anyhow::{Context, Result};
use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions, loaded_programs};
use nix::time::ClockId;
use thulium_ebpf::abi::SWEEP_STEPS;

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
/// Packets of a sample.
const PACKETS: u32 = 1_000_000;
/// What a round is thought to take, seconds.
const ROUND: f64 = 2.5;

/// Seconds that it is thought to take.
pub(crate) fn seconds(plan: &Plan) -> f64 {
    f64::from(plan.few_rounds()) * plan.products().len() as f64 * ROUND
}

/// Measures it with the `sessions` that are open, round by round.
///
/// # Errors
/// When the program cannot be found or run, or the source cannot.
pub(crate) fn measure(rig: &mut Rig<'_>, plan: &Plan, sessions: u32, progress: &mut Progress) -> Result<Sweep> {
    progress.stage("Sweeping");
    let mut results = Sweep { sessions, ..Sweep::default() };
    let products = plan.products();
    let mut programs = Vec::new();
    for product in &products {
        programs.push(program(rig, *product)?);
    }
    for round in 0..plan.few_rounds() {
        progress.round(round, plan.few_rounds());
        for (product, program) in products.iter().zip(&programs) {
            results.time.push(*product, round, sweep(program, sessions)?);
            let undisturbed = rig.cost(*product, sessions, PACKETS)?;
            let Some(disturbed) = disturbed(rig, *product, program, sessions)? else { continue };
            results.undisturbed.push(*product, round, undisturbed);
            results.disturbed.push(*product, round, disturbed);
            progress.advance(ROUND);
        }
    }
    Ok(results)
}

/// The program of a contender's daemon.
fn program(rig: &mut Rig<'_>, product: Contender) -> Result<SchedClassifier> {
    let open = Open::by(rig.gateway(product)?.daemon().id())?;
    let is_it =
        |info: &aya::programs::ProgramInfo| info.name_as_str() == Some(PROGRAM) && open.programs.contains(&info.id());
    let info = loaded_programs().flatten().find(is_it);
    let info = info.with_context(|| format!("{} has no program {PROGRAM}", product.name()))?;
    Ok(SchedClassifier::from_program_info(info, PROGRAM.into())?)
}

/// Looks at so many sessions; CPU time, milliseconds.
fn sweep(program: &SchedClassifier, sessions: u32) -> Result<f64> {
    // The kernel wants an Ethernet header.
    let frame = [0; 14];
    let repeat = sessions.div_ceil(SWEEP_STEPS);
    let before = cpu_time()?;
    program.test_run(TestRunOptions { data_in: Some(&frame), repeat, ..TestRunOptions::default() })?;
    Ok((cpu_time()? - before) * 1e3)
}

/// What packets cost while another CPU sweeps. None if there is no other.
fn disturbed(rig: &mut Rig<'_>, product: Contender, program: &SchedClassifier, sessions: u32) -> Result<Option<f64>> {
    let (over, cpu) = (AtomicBool::new(false), rig.cpu());
    thread::scope(|scope| {
        let sweeper = scope.spawn(|| sweep_until(&over, cpu, program, sessions));
        let cost = rig.cost(product, sessions, PACKETS);
        over.store(true, Ordering::Relaxed);
        let swept = sweeper.join().map_err(|_| anyhow::anyhow!("a thread of the bench panicked"))??;
        cost.map(|cost| swept.then_some(cost))
    })
}

/// False if there is no other CPU to do it on.
fn sweep_until(over: &AtomicBool, cpu: Cpu, program: &SchedClassifier, sessions: u32) -> Result<bool> {
    if !cpu.avoid()? {
        return Ok(false);
    }
    while !over.load(Ordering::Relaxed) {
        sweep(program, sessions.min(SWEEP_STEPS * 100))?;
    }
    Ok(true)
}

/// This thread's CPU time, seconds.
fn cpu_time() -> Result<f64> {
    let time = ClockId::CLOCK_THREAD_CPUTIME_ID.now().context("reading this thread's CPU time")?;
    Ok(time.tv_sec() as f64 + time.tv_nsec() as f64 / 1e9)
}
