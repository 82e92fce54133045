//! The object, loaded with a small policy; packets go in at a hook, and what became of them comes out.

use std::{
    env,
    path::PathBuf,
    sync::{RwLock, RwLockReadGuard},
    thread,
    time::Duration,
};

use aya::{
    Ebpf, EbpfLoader, Pod,
    programs::{Program, ProgramError, SchedClassifier, TestRun, TestRunOptions, Xdp},
};

use thulium_ebpf::{
    abi::{OrderOutcome, Reason, Side, Sweep, order_frame},
    capacity::entries,
    directory::Shape,
};

use crate::{
    flows::size_flows4,
    network::{self, Interfaces},
    refused::Refused,
    traffic::frame,
};

/// The mark with which an admitted packet leaves the LAN's hook.
pub(crate) const TRANSLATED: u32 = 0x1000_0000;
/// The mark of a client's packet that is left to the kernel, and to the guard.
pub(crate) const GOVERNED: u32 = 0x2000_0000;
/// The mark of a packet that the guard need not judge: its sender is no client, or it was counted and spared.
pub(crate) const SETTLED: u32 = 0x3000_0000;

/// Sessions that the gateway of most tests has room for.
const CAPACITY: u32 = 64;

/// Where a packet meets the datapath.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    /// TC, from a client.
    Lan,
    /// XDP, from a client.
    LanXdp,
    /// TC, from the world.
    Uplink,
    /// XDP, from the world.
    UplinkXdp,
    /// TC, leaving by the uplink: the kernel forwarded it from the LAN.
    Guard,
    /// TC, leaving by the uplink: the gateway itself sent it.
    GuardOwn,
    /// TC, leaving by the uplink by which it came.
    GuardBack,
    /// TC, from the world by the second uplink.
    SecondUplink,
    /// TC, leaving by the second uplink: the kernel forwarded it from the LAN.
    SecondGuard,
    /// TC, leaving by the second uplink: the gateway itself sent it.
    SecondGuardOwn,
    /// TC, from a client, before `Lan`: what it asks resolvers for.
    Queries,
    /// TC, to a client: what resolvers reply.
    Replies,
    /// TC, to a client, by the interface of the LAN by which it came.
    RepliesBack,
}

impl Hook {
    /// Direction and interface that its refusals are counted under.
    pub(crate) const fn place(self) -> (&'static str, &'static str) {
        match self {
            Self::Lan | Self::LanXdp | Self::Queries => ("out", "lan0"),
            Self::Replies | Self::RepliesBack => ("in", "lan0"),
            Self::Uplink | Self::UplinkXdp => ("in", "wan0"),
            Self::Guard | Self::GuardOwn | Self::GuardBack => ("out", "wan0"),
            Self::SecondUplink => ("in", "wan1"),
            Self::SecondGuard | Self::SecondGuardOwn => ("out", "wan1"),
        }
    }
}

/// What a hook tells the kernel to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// On, the kernel's way.
    Pass,
    /// Away with it.
    Drop,
    /// Out of another interface.
    Redirect,
}

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) action: Action,
    /// The packet behind its link header, as the program left it.
    pub(crate) packet: Vec<u8>,
    /// The packet's mark; XDP knows none.
    pub(crate) mark: u32,
}

impl Ran {
    /// True if it goes back to the client that sent `packet`.
    pub(crate) fn is_answer_to(&self, packet: &[u8]) -> bool {
        let (source, destination) = if packet[0] >> 4 == 6 { (8..24, 24..40) } else { (12..16, 16..20) };
        self.action == Action::Redirect && self.packet[destination] == packet[source]
    }
}

/// The object in the kernel, in a namespace of its own, with the policy of [`crate::maps`].
pub(crate) struct Gateway {
    /// Programs are loaded when they are first used: the verifier takes its time for each.
    ebpf: RwLock<Ebpf>,
    pub(crate) lan: u32,
    pub(crate) wan: u32,
    pub(crate) wan1: u32,
}

impl Gateway {
    /// A gateway that has seen nothing yet. This thread lives in its namespace from now on.
    pub(crate) fn new() -> Self {
        Self::with_flow_entries(2 * CAPACITY)
    }

    /// One with marks for several uplinks; the second one is not there yet (see [`Gateway::add_uplink`]).
    pub(crate) fn of_several_uplinks() -> Self {
        Self::load(2 * CAPACITY, &[("MARK_MASK", 0xf000_0000), ("MARK_UPLINK", 0x4000_0000)])
    }

    /// One whose session table has room for so many directions.
    pub(crate) fn with_flow_entries(flow_entries: u32) -> Self {
        Self::load(flow_entries, &[])
    }

    /// One whose tables are as large as the policy's `capacity` makes them.
    pub(crate) fn with_capacity(capacity: u32) -> Self {
        let interfaces = network::enter();
        let shape = Shape::of(capacity);
        let mut loader = EbpfLoader::new();
        loader.btf(None).override_global("AYA_LOG_LEVEL", &0_u8, false);
        size_flows4(&mut loader, &shape);
        for map in ["flows6", "sweep4", "sweep6", "mappings4", "ports4", "hellos4", "hellos6"] {
            loader.map_max_entries(map, entries(map, capacity).expect("a map that has as many entries as it needs"));
        }
        Self::fill_in(loader.load_file(object()).unwrap(), interfaces)
    }

    fn load(flow_entries: u32, marks: &[(&str, u32)]) -> Self {
        let interfaces = network::enter();
        let shape = Shape::of(flow_entries.div_ceil(2));
        let mut loader = EbpfLoader::new();
        loader.btf(None).override_global("AYA_LOG_LEVEL", &0_u8, false);
        size_flows4(&mut loader, &shape);
        loader.map_max_entries("flows6", flow_entries);
        for map in "sweep4 sweep6 mappings4 ports4 resting4 clients4 clients6 hellos4 hellos6 drops".split(' ') {
            loader.map_max_entries(map, 4 * CAPACITY);
        }
        for (constant, mark) in marks {
            loader.override_global(constant, mark, true);
        }
        let path = object();
        let ebpf = loader.load_file(&path).unwrap_or_else(|error| {
            panic!("{}: {error}; `cargo xtask build` makes the object", path.display());
        });
        let mut gateway = Self::fill_in(ebpf, interfaces);
        // An odd entry is one from the LAN that gets no pair.
        gateway.leave_records(Side::Uplink, flow_entries / 2);
        gateway
    }

    fn fill_in(ebpf: Ebpf, interfaces: Interfaces) -> Self {
        let Interfaces { lan, wan, wan1 } = interfaces;
        let mut gateway = Self { ebpf: RwLock::new(ebpf), lan, wan, wan1 };
        gateway.fill();
        gateway
    }

    /// The object, to look at its maps and programs.
    pub(crate) fn object(&mut self) -> &mut Ebpf {
        self.ebpf.get_mut().unwrap()
    }

    /// Loads every program.
    pub(crate) fn load_all(&mut self) {
        for (name, program) in self.object().programs_mut() {
            load(name, program);
        }
    }

    /// The object with this program loaded. Threads that run programs do so beside each other.
    fn with_loaded(&self, name: &str) -> RwLockReadGuard<'_, Ebpf> {
        let object = self.ebpf.read().unwrap();
        if object.program(name).unwrap().fd().is_ok() {
            return object;
        }
        drop(object);
        let mut object = self.ebpf.write().unwrap();
        let program = object.program_mut(name).unwrap();
        if program.fd().is_err() {
            load(name, program);
        }
        drop(object);
        self.ebpf.read().unwrap()
    }

    /// Hands an IP packet to a hook.
    pub(crate) fn send(&self, hook: Hook, packet: &[u8]) -> Ran {
        self.send_marked(hook, packet, 0)
    }

    /// Hands an IP packet that has this mark to a TC hook.
    pub(crate) fn send_marked(&self, hook: Hook, packet: &[u8], mark: u32) -> Ran {
        let ether_type = if packet[0] >> 4 == 6 { 0x86dd } else { 0x0800 };
        self.run(hook, &frame(ether_type, packet), mark, 0)
    }

    /// Hands an IPv4 packet to a TC hook that stands for so many segments, as offloading interfaces make them.
    pub(crate) fn send_segments(&self, hook: Hook, packet: &[u8], segments: u32) -> Ran {
        self.run(hook, &frame(0x0800, packet), 0, segments)
    }

    /// Hands a whole frame to a hook.
    pub(crate) fn send_frame(&self, hook: Hook, frame: &[u8]) -> Ran {
        self.run(hook, frame, 0, 0)
    }

    /// Hands a whole frame to a hook, with this mark, as one that stands for so many segments.
    pub(crate) fn run(&self, hook: Hook, frame: &[u8], mark: u32, segments: u32) -> Ran {
        let (program, interface, from) = match hook {
            Hook::Lan => ("lan_ingress", self.lan, self.lan),
            Hook::Uplink => ("uplink_ingress", self.wan, self.wan),
            Hook::Guard => ("uplink_egress", self.wan, self.lan),
            Hook::GuardOwn => ("uplink_egress", self.wan, 0),
            Hook::GuardBack => ("uplink_egress", self.wan, self.wan),
            Hook::SecondUplink => ("uplink_ingress", self.wan1, self.wan1),
            Hook::SecondGuard => ("uplink_egress", self.wan1, self.lan),
            Hook::SecondGuardOwn => ("uplink_egress", self.wan1, 0),
            Hook::Queries => ("lan_queries", self.lan, self.lan),
            Hook::Replies => ("lan_replies", self.lan, 0),
            Hook::RepliesBack => ("lan_replies", self.lan, self.lan),
            Hook::LanXdp => return self.send_xdp("lan_xdp", self.lan, frame),
            Hook::UplinkXdp => return self.send_xdp("uplink_xdp", self.wan, frame),
        };
        let object = self.with_loaded(program);
        let program: &SchedClassifier = object.program(program).unwrap().try_into().unwrap();
        // Words of `struct __sk_buff` that the kernel takes over: mark, ingress_ifindex, ifindex, gso_segs.
        let mut context = [0_u32; 48];
        (context[2], context[9], context[10], context[41]) = (mark, from, interface, segments);
        let context: Vec<u8> = context.iter().flat_map(|word| word.to_ne_bytes()).collect();
        // An answer may be longer than what it answers.
        let (mut after, mut packet) = (vec![0; context.len()], vec![0; frame.len() + 64]);
        let ran = program.test_run(TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut packet),
            ctx_in: Some(&context),
            ctx_out: Some(&mut after),
            ..TestRunOptions::default()
        });
        // As the kernel numbers them: TCX_NEXT, TCX_DROP, TCX_REDIRECT.
        let ran = ran.unwrap();
        packet.truncate(ran.data_size_out as usize);
        let action = match ran.return_value.cast_signed() {
            -1 => Action::Pass,
            2 => Action::Drop,
            7 => Action::Redirect,
            other => panic!("TC action {other}"),
        };
        Ran { action, packet: behind_link(frame, &packet), mark: u32::from_ne_bytes(after[8..12].try_into().unwrap()) }
    }

    fn send_xdp(&self, program: &str, interface: u32, frame: &[u8]) -> Ran {
        let (action, frame_after) = self.run_xdp(program, interface, frame);
        Ran { action, packet: behind_link(frame, &frame_after), mark: 0 }
    }

    /// Hands a frame that came in by `interface` to an XDP program, and returns it as it was left, with its link header.
    pub(crate) fn run_xdp(&self, program: &str, interface: u32, frame: &[u8]) -> (Action, Vec<u8>) {
        let object = self.with_loaded(program);
        let program: &Xdp = object.program(program).unwrap().try_into().unwrap();
        // Words of `struct xdp_md` that the kernel takes over: data_end, ingress_ifindex.
        let context = [0, frame.len() as u32, 0, interface, 0, 0];
        let context: Vec<u8> = context.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut packet = vec![0; frame.len()];
        let ran = program.test_run(TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut packet),
            ctx_in: Some(&context),
            ..TestRunOptions::default()
        });
        // XDP_DROP, XDP_PASS, XDP_REDIRECT.
        let action = match ran.unwrap().return_value {
            1 => Action::Drop,
            2 => Action::Pass,
            4 => Action::Redirect,
            other => panic!("XDP action {other}"),
        };
        (action, packet)
    }

    /// Sends a packet that a hook has to refuse, and checks that exactly this was counted, once. A client for whom there is no
    /// room is told so (see [`crate::answers`]).
    pub(crate) fn refuses(&mut self, hook: Hook, packet: &[u8], expected: Refused) {
        let ran = self.send(hook, packet);
        let is_told = Reason::OUT_OF_RESOURCES >> expected.reason as u8 & 1 == 1;
        if is_told && matches!(hook, Hook::Lan | Hook::Guard) {
            assert!(ran.is_answer_to(packet), "{hook:?} has to refuse it: {expected:?}, and it became {ran:?}");
        } else {
            let untouched = (Action::Drop, packet);
            assert_eq!((ran.action, ran.packet.as_slice()), untouched, "{hook:?} has to refuse it: {expected:?}");
        }
        assert_eq!(self.take_refused(), [expected.counted(hook, packet)], "{hook:?}");
    }

    /// Sends a packet that a hook has to pass as it is, with this mark, and checks that nothing was counted.
    pub(crate) fn passes(&mut self, hook: Hook, packet: &[u8], mark: u32) {
        let ran = self.send(hook, packet);
        assert_eq!(ran, Ran { action: Action::Pass, packet: packet.to_vec(), mark }, "{hook:?} has to pass it");
        assert_eq!(self.take_refused(), [], "{hook:?}");
    }

    /// Sends a packet that a hook has to translate and redirect, and checks the bytes and that nothing was counted.
    pub(crate) fn translates(&mut self, hook: Hook, packet: &[u8], expected: &[u8]) {
        let ran = self.send(hook, packet);
        assert_eq!(self.take_refused(), [], "{hook:?}");
        assert_eq!((ran.action, ran.packet.as_slice()), (Action::Redirect, expected), "{hook:?} has to translate it");
    }

    /// Sends a packet that a hook has to admit, and returns it as it leaves.
    pub(crate) fn admits(&mut self, hook: Hook, packet: &[u8]) -> Vec<u8> {
        let ran = self.send(hook, packet);
        assert_eq!((ran.action, self.take_refused()), (Action::Redirect, vec![]), "{hook:?} has to admit it");
        ran.packet
    }

    /// Runs the sweeper once and returns how many sessions and ports it looked at.
    pub(crate) fn sweep(&self) -> u32 {
        self.run_order("sweep", &Sweep { age: 0 })
    }

    /// Hands an order to its program.
    pub(crate) fn order<T: Pod>(&self, program: &str, order: &T) -> OrderOutcome {
        OrderOutcome::from_number(self.run_order(program, order))
    }

    /// Runs a program with an order, and returns what it returns.
    pub(crate) fn run_order<T: Pod>(&self, program: &str, order: &T) -> u32 {
        let object = self.with_loaded(program);
        let program: &SchedClassifier = object.program(program).unwrap().try_into().unwrap();
        let frame = order_frame(order);
        let options = TestRunOptions { data_in: Some(&frame), ..TestRunOptions::default() };
        program.test_run(options).unwrap().return_value
    }
}

/// How often more a program is handed over whose verification was interrupted.
const ATTEMPTS: u32 = 50;

/// Puts a program into the kernel.
fn load(name: &str, program: &mut Program) {
    let mut load = || match program {
        Program::SchedClassifier(program) => program.load(),
        Program::Xdp(program) => program.load(),
        _ => panic!("{name} is neither a TC nor an XDP program"),
    };
    // The verifier gives up while a signal waits for the thread (EAGAIN), on busy machines several times in a row.
    let is_interrupted = |loaded: &Result<(), ProgramError>| {
        loaded.as_ref().is_err_and(|error| error.to_string().contains("os error 11"))
    };
    let mut loaded = load();
    for _ in 0..ATTEMPTS {
        if !is_interrupted(&loaded) {
            break;
        }
        thread::sleep(Duration::from_millis(10));
        loaded = load();
    }
    loaded.unwrap_or_else(|error| panic!("the kernel refuses {name}: {error}"));
}

/// A frame's payload. No hook has anything to change in the link header: the kernel writes a new one.
fn behind_link(before: &[u8], after: &[u8]) -> Vec<u8> {
    assert_eq!(before[..14], after[..14], "the link header was changed");
    after[14..].to_vec()
}

/// The object that `cargo xtask build` made, or the one that `THULIUM_OBJECT` names.
pub(crate) fn object() -> PathBuf {
    let built = || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("bpf").join("thulium.o");
    env::var_os("THULIUM_OBJECT").map_or_else(built, PathBuf::from)
}
