//! Source and sink: packets through a gateway, and what became of them.
//!
//! The source is no socket but an XDP program that the kernel runs on live frames (`BPF_PROG_TEST_RUN`), so that sending costs
//! next to nothing beside forwarding. The sink is an XDP program on the far interface.

use std::{env, path::PathBuf};

use anyhow::{Context, Result};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, MapData, PerCpuArray, PerCpuValues},
    programs::{TestRun as _, TestRunAttrs, TestRunOptions, Xdp, XdpMode},
    util::nr_cpus,
};
use nix::net::if_::if_nametoindex;
use thulium_ebpf::bench::{Expectation, Frame, Order, Seen, Way};
use thulium_tests::lab::Namespace;

use super::cpu::Cpu;

/// Frames that the kernel sends at once, as a driver's poll handles them. A veth has room for 256.
const BATCH: u32 = 64;

/// The programs, loaded.
pub(super) struct Traffic {
    ebpf: Ebpf,
    cpu: Cpu,
    /// Packets of established sessions take the flows in another order than that in which they were opened.
    pub(super) scattered: bool,
}

/// What became of a run's packets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passage {
    pub(super) sent: u64,
    pub(super) delivered: u64,
    /// Those that arrived otherwise than expected, where that was checked.
    pub(super) wrong: u64,
    /// CPU time that all of it took, nanoseconds.
    pub(super) time: u64,
}

impl Passage {
    /// Packets that were sent and did not arrive.
    pub(super) const fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.delivered)
    }
}

impl Traffic {
    /// Loads the programs from the object of the bench: `THULIUM_BENCH_OBJECT`, else that of the target folder this program is in.
    ///
    /// # Errors
    /// When it was not built, or the kernel refuses a program.
    pub(super) fn load(scattered: bool) -> Result<Self> {
        let path = object()?;
        let mut ebpf = EbpfLoader::new().load_file(&path).with_context(|| format!("loading {}", path.display()))?;
        for name in ["source", "sink", "bare"] {
            program(&mut ebpf, name)?.load().with_context(|| format!("loading the program {name}"))?;
        }
        Ok(Self { ebpf, cpu: Cpu::choose()?, scattered })
    }

    /// The CPU that the source, and everything behind it, runs on.
    pub(super) const fn cpu(&self) -> Cpu {
        self.cpu
    }

    /// Attaches the program `sink` or `bare` to an interface, until the bench ends.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub(super) fn attach(&mut self, name: &str, namespace: &Namespace, interface: &str) -> Result<()> {
        let program = program(&mut self.ebpf, name)?;
        namespace
            .run(|| program.attach(interface, XdpMode::Driver))?
            .with_context(|| format!("attaching the program {name} to {interface} in {}", namespace.name()))?;
        Ok(())
    }

    /// Tells the bare redirect where frames of the interface of this index go.
    ///
    /// # Errors
    /// When the map cannot be written.
    pub(super) fn lead(&mut self, interface: u32, way: Way) -> Result<()> {
        self.map("WAYS", interface & 15, way)
    }

    /// Sends `packets` from the namespace as ordered, which meet this expectation or are counted as wrong, if that is checked.
    ///
    /// # Errors
    /// When the source cannot be run.
    pub(super) fn send(
        &mut self,
        from: &Namespace,
        order: Order,
        expectation: Expectation,
        packets: u32,
    ) -> Result<Passage> {
        self.map("ORDER", 0, order)?;
        self.map("EXPECTATION", 0, expectation)?;
        self.forget()?;
        let time = self.run(from, packets)?;
        let seen = self.seen()?;
        let orders = Array::<_, Order>::try_from(self.ebpf.map("ORDER").context("no map ORDER")?)?;
        let sent = orders.get(&0, 0)?.sent;
        Ok(Passage { sent, delivered: seen.delivered, wrong: seen.wrong, time })
    }

    /// Runs the source, and returns the CPU time that it took, and whatever became of its packets, nanoseconds.
    fn run(&mut self, from: &Namespace, packets: u32) -> Result<u64> {
        let cpu = self.cpu;
        let source = &*program(&mut self.ebpf, "source")?;
        let frame = [0; size_of::<Frame>()];
        from.run(|| {
            cpu.hold()?;
            let options = TestRunOptions {
                data_in: Some(&frame),
                repeat: packets,
                attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
                ..TestRunOptions::new()
            };
            let before = cpu.time()?;
            source.test_run(options).context("sending live frames (Linux 5.18 or later)")?;
            Ok(cpu.time()? - before)
        })?
    }

    fn map<T: aya::Pod>(&mut self, name: &str, index: u32, value: T) -> Result<()> {
        let map = self.ebpf.map_mut(name).with_context(|| format!("no map {name}"))?;
        Ok(Array::<_, T>::try_from(map)?.set(index, value, 0)?)
    }

    fn forget(&mut self) -> Result<()> {
        let map = self.ebpf.map_mut("SEEN").context("no map SEEN")?;
        let cpus = nr_cpus().map_err(|(_, error)| error).context("counting CPUs")?;
        let none = PerCpuValues::try_from(vec![Seen::default(); cpus])?;
        Ok(PerCpuArray::<_, Seen>::try_from(map)?.set(0, none, 0)?)
    }

    fn seen(&self) -> Result<Seen> {
        let map: PerCpuArray<&MapData, Seen> = self.ebpf.map("SEEN").context("no map SEEN")?.try_into()?;
        let values = map.get(&0, 0)?;
        let sum = |of: fn(&Seen) -> u64| values.iter().map(of).sum();
        Ok(Seen { delivered: sum(|seen| seen.delivered), wrong: sum(|seen| seen.wrong) })
    }
}

/// The index of an interface of a namespace.
///
/// # Errors
/// When there is none of that name.
pub(super) fn index(namespace: &Namespace, interface: &str) -> Result<u32> {
    namespace
        .run(|| if_nametoindex(interface))?
        .with_context(|| format!("looking for {interface} in {}", namespace.name()))
}

fn program<'ebpf>(ebpf: &'ebpf mut Ebpf, name: &str) -> Result<&'ebpf mut Xdp> {
    let program = ebpf.program_mut(name).with_context(|| format!("the bench's object has no program {name}"))?;
    Ok(program.try_into()?)
}

fn object() -> Result<PathBuf> {
    if let Some(path) = env::var_os("THULIUM_BENCH_OBJECT") {
        return Ok(path.into());
    }
    let own = env::current_exe()?;
    let built = own.ancestors().map(|folder| folder.join("bpf/bench.o")).find(|path| path.is_file());
    built.context("there is no target/bpf/bench.o: run `cargo xtask bench`, or set THULIUM_BENCH_OBJECT")
}
