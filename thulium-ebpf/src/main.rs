//! The eBPF programs: one function a hook. Each turns the pipeline's outcome into its hook's action, here and nowhere else.
//! On the host this is an empty main, so that `cargo build` and `cargo test` work everywhere.

#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(target_arch = "bpf", expect(unreachable_pub, reason = "the loader reaches programs by name"))]

#[cfg(not(target_arch = "bpf"))]
const fn main() {}

#[cfg(target_arch = "bpf")]
mod programs {
    use core::ffi::c_void;

    use core::hint::black_box;

    use aya_ebpf::{
        bindings::{
            tcx_action_base::{TCX_DROP, TCX_NEXT},
            xdp_action::{XDP_DROP, XDP_PASS},
        },
        helpers::generated::bpf_loop,
        macros::{classifier, xdp},
        programs::{TcContext, XdpContext},
    };
    use aya_log_ebpf::debug;
    use thulium_ebpf::{
        abi::{Address4, Address6, Direction, OrderOutcome, SWEEP_STEPS, Side, Sweep},
        constants::{MARK_GOVERNED, MARK_MASK, MARK_SETTLED, MARK_TRANSLATED, MARK_UPLINK},
        dns,
        fast::{Fast, forward, forward_skb},
        frame::{ETHERNET, Glance, Hook as _, TcFrame, XdpFrame},
        maps::REFUSAL,
        moment::Moment,
        pipeline::{
            count::{self, Fate},
            floor, guard, lan, reject, uplink,
        },
        ports::{Outside, wake_one},
        session::{order, table},
        verdict::{Outcome, Refusal, Verdict},
    };

    /// LAN ingress, TC.
    #[classifier]
    pub fn lan_ingress(context: TcContext) -> i32 {
        if let Some(action) = forward_skb(&context, Side::Lan) {
            return action;
        }
        let mut frame = TcFrame::new(context);
        let Some(moment) = Moment::read() else { return TCX_DROP };
        let outcome = lan::receive(&mut frame, &moment);
        let told = match outcome {
            Ok(Verdict::PASS) => 0,
            Ok(Verdict::PASS_GOVERNED) => MARK_GOVERNED.load(),
            // What is refused here and spared must not be counted again by the guard.
            Ok(Verdict::PASS_FOREIGN) | Err(_) => MARK_SETTLED.load(),
            Ok(verdict) => match verdict.passed_to() {
                Some(slot) => uplink_mark(slot).unwrap_or(MARK_GOVERNED.load()),
                None => MARK_TRANSLATED.load(),
            },
        };
        frame.set_mark(frame.mark() & !MARK_MASK.load() | told);
        conclude(&mut frame, Direction::Out, outcome, &moment)
    }

    /// Uplink ingress, TC.
    #[classifier]
    pub fn uplink_ingress(context: TcContext) -> i32 {
        if let Some(action) = forward_skb(&context, Side::Uplink) {
            return action;
        }
        let mut frame = TcFrame::new(context);
        let Some(moment) = Moment::read() else { return TCX_DROP };
        let outcome = uplink::receive(&mut frame, &moment);
        if let Ok(verdict) = outcome
            && let Some(mark) = verdict.passed_to().and_then(uplink_mark)
        {
            frame.set_mark(frame.mark() & !MARK_MASK.load() | mark);
        }
        conclude(&mut frame, Direction::In, outcome, &moment)
    }

    /// Uplink egress, TC: the guard.
    #[classifier]
    pub fn uplink_egress(context: TcContext) -> i32 {
        if guard::is_judged(Glance::at(&context)) {
            return TCX_NEXT;
        }
        let mut frame = TcFrame::new(context);
        let Some(moment) = Moment::read() else { return TCX_DROP };
        let outcome = guard::leave(&mut frame, &moment);
        if let Ok(verdict) = outcome
            && (verdict == Verdict::ONWARD || verdict.uplink().is_some())
        {
            // While one hook takes over from another, two guards stand here for a moment.
            frame.set_mark(frame.mark() & !MARK_MASK.load() | MARK_TRANSLATED.load());
        }
        let may_be_translated = matches!(outcome, Ok(Verdict::PASS_FOREIGN) | Err(_));
        let action = conclude(&mut frame, Direction::Out, outcome, &moment);
        if action == TCX_NEXT && may_be_translated {
            guard::expect_reply(&frame, &moment);
        }
        action
    }

    /// LAN ingress, XDP.
    #[xdp(frags)]
    pub fn lan_xdp(context: XdpContext) -> u32 {
        match forward(&context, Side::Lan) {
            Fast::Sent(action) => action,
            Fast::Up => XDP_PASS,
            Fast::Unknown => screen(context, Direction::Out, |frame, moment| lan::refuse(frame, moment)),
        }
    }

    /// Uplink ingress, XDP.
    #[xdp(frags)]
    pub fn uplink_xdp(context: XdpContext) -> u32 {
        match forward(&context, Side::Uplink) {
            Fast::Sent(action) => action,
            Fast::Up => XDP_PASS,
            Fast::Unknown => screen(context, Direction::In, uplink::refuse),
        }
    }

    /// Never attached: the daemon runs it with an order, [`thulium_ebpf::abi::Sweep`], to end stale sessions and free ports that have
    /// rested.
    #[classifier]
    pub fn sweep(context: TcContext) -> i32 {
        let Ok(Sweep { age }) = context.load(ETHERNET) else { return 0 };
        (repeat(wake, age) + repeat(sweep_step::<Address4>, age) + repeat(sweep_step::<Address6>, age)) as i32
    }

    /// Never attached: user space runs it with an order, [`thulium_ebpf::abi::Unpin`].
    #[classifier]
    pub fn unpin(context: TcContext) -> i32 {
        context.load(ETHERNET).map_or(OrderOutcome::Absent, |order| order::unpin(&order)) as i32
    }

    /// Never attached: user space runs it with an order, [`thulium_ebpf::abi::Forget`].
    #[classifier]
    pub fn forget(context: TcContext) -> i32 {
        context.load(ETHERNET).map_or(OrderOutcome::Absent, |order| order::forget(&order)) as i32
    }

    /// Never attached: user space runs it with an order, [`thulium_ebpf::abi::EndSession`].
    #[classifier]
    pub fn end_session(context: TcContext) -> i32 {
        let (Ok(order), Some(moment)) = (context.load(ETHERNET), Moment::of_order()) else {
            return OrderOutcome::Absent as i32;
        };
        order::end_session(&order, &moment) as i32
    }

    /// What steps of the sweeper share.
    struct Sweeping {
        /// How long ago something must have been put into its queue, nanoseconds.
        age: u64,
        /// Steps that did something.
        done: u32,
    }

    /// A step of the sweeper: 0 to go on, 1 if there is nothing more to do.
    type Step = extern "C" fn(index: u32, sweeping: *mut Sweeping) -> u64;

    /// Takes steps; how many of them did something. The verifier looks at a step once, not as often as it is taken (`bpf_loop`,
    /// Linux 5.17).
    #[inline(always)]
    fn repeat(step: Step, age: u64) -> u32 {
        let mut sweeping = Sweeping { age, done: 0 };
        // SAFETY: `step` is a function of this program that takes what `bpf_loop` hands it; `sweeping` lives through the call.
        unsafe { bpf_loop(SWEEP_STEPS, step as *mut c_void, (&raw mut sweeping).cast(), 0) };
        sweeping.done
    }

    extern "C" fn sweep_step<A: Outside>(_index: u32, sweeping: *mut Sweeping) -> u64 {
        // SAFETY: the words of `repeat`, which nobody else uses meanwhile.
        let sweeping = unsafe { &mut *sweeping };
        count_step(Moment::of_order().is_some_and(|moment| table::sweep::<A>(sweeping.age, &moment)), sweeping)
    }

    extern "C" fn wake(_index: u32, sweeping: *mut Sweeping) -> u64 {
        // SAFETY: as above.
        count_step(Moment::read().is_some_and(|moment| wake_one(moment.now)), unsafe { &mut *sweeping })
    }

    #[inline(always)]
    fn count_step(is_done: bool, sweeping: &mut Sweeping) -> u64 {
        if !is_done {
            return 1;
        }
        sweeping.done += 1;
        0
    }

    /// The mark by which the kernel's routes know a packet of the uplink of this slot; none where there is one uplink.
    #[inline(always)]
    fn uplink_mark(slot: u8) -> Option<u32> {
        let first = MARK_UPLINK.load();
        let step = first / 4;
        if first == 0 { None } else { Some(first + step * u32::from(slot)) }
    }

    #[inline(always)]
    fn conclude(frame: &mut TcFrame, direction: Direction, outcome: Outcome, moment: &Moment) -> i32 {
        match outcome {
            Ok(verdict) => match (verdict.uplink(), verdict.interface()) {
                (Some(slot), _) => frame.leave_by(slot),
                (None, Some(interface)) => frame.redirect(interface),
                (None, None) => TCX_NEXT,
            },
            Err(refusal) => refuse(frame, direction, refusal, moment),
        }
    }

    /// Counts a refusal; the client may be told of it. A function of its own for the sake of the stack.
    #[inline(never)]
    fn refuse(frame: &mut TcFrame, direction: Direction, refusal: Refusal, moment: &Moment) -> i32 {
        // Opaque: else LLVM hands its fields over one by one, which the program has to keep on its stack beside it.
        let moment = black_box(moment);
        let Some(place) = REFUSAL.get_ptr_mut(0) else { return TCX_DROP };
        // SAFETY: this CPU's alone until the program ends, a word.
        let refusal = unsafe {
            place.write_volatile(refusal);
            place.read_volatile()
        };
        log_refusal(frame, &refusal);
        if count::refuse(frame, direction, &refusal, moment) == Fate::Spared {
            return TCX_NEXT;
        }
        let told =
            floor::tell(frame, direction, refusal, moment).or_else(|| reject::tell(frame, direction, refusal, moment));
        told.map_or(TCX_DROP, |client| frame.redirect(client))
    }

    #[inline(always)]
    fn screen(context: XdpContext, direction: Direction, refuse: fn(&mut XdpFrame, &Moment) -> Outcome) -> u32 {
        let mut frame = XdpFrame::new(context);
        if frame.is_scattered() {
            return XDP_PASS;
        }
        let Some(moment) = Moment::read() else { return XDP_DROP };
        if moment.settings.audit == 1 || moment.settings.pass_unmatched == 1 {
            // What is spared here would be counted again by TC: it does the counting alone.
            return XDP_PASS;
        }
        match refuse(&mut frame, &moment) {
            Ok(_) => XDP_PASS,
            Err(refusal) => match count::refuse(&frame, direction, &refusal, &moment) {
                Fate::Dropped => XDP_DROP,
                Fate::Spared => XDP_PASS,
            },
        }
    }

    /// A debug record, compiled out by the verifier unless the daemon asks for it (`AYA_LOG_LEVEL`).
    #[inline(never)]
    fn log_refusal(frame: &TcFrame, refusal: &Refusal) {
        debug!(
            frame.inner(),
            "refused at interface {}: reason {}, flow slot {}",
            frame.interface(),
            refusal.reason(),
            refusal.flow()
        );
    }

    /// LAN ingress, TC, before `lan_ingress`: which names do clients ask for? Optional, and never in anybody's way.
    #[classifier]
    pub fn lan_queries(context: TcContext) -> i32 {
        dns::note(context);
        TCX_NEXT
    }

    /// LAN egress, TC: which addresses do they have? As `lan_queries`.
    #[classifier]
    pub fn lan_replies(context: TcContext) -> i32 {
        dns::learn(context);
        TCX_NEXT
    }

    #[panic_handler]
    fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
        // The verifier accepts no program that can get here.
        loop {}
    }

    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
}
