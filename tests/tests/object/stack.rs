//! The stack of every chain of calls, counted as the verifier of Linux 6.1 does: 512 bytes in all, and each function's part
//! rounded up to 32. Newer kernels round up to 16 and accept more, so that loading a program here does not show it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
};

use aya_obj::{Object, generated::bpf_insn};

use crate::gateway::object;

/// `MAX_BPF_STACK` of the kernel, bytes.
const LIMIT: u32 = 512;
/// The steps in which Linux 6.1 counts a function's stack (`check_max_stack_depth`), bytes.
const STEP: u32 = 32;

/// Frame pointer.
const R10: u8 = 10;
/// `call` of a function of the program; the same instruction calls helpers.
const CALL: (u8, u8) = (0x85, 1);
/// `rX = address of a function`, for `bpf_loop`.
const FUNCTION: (u8, u8) = (0x18, 4);
const MOVE: u8 = 0xbf;
const ADD_NUMBER: u8 = 0x07;

#[test]
fn every_chain_of_calls_fits_the_oldest_kernel() {
    let mut object = Object::parse(&fs::read(object()).unwrap()).unwrap();
    let mut names = HashMap::new();
    for function in object.functions.values() {
        names.extend(function.func_info.func_info.iter().map(|info| (info.type_id, function.name.clone())));
    }
    let sections: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
    object.relocate_calls(&sections).unwrap();
    for (name, program) in &object.programs {
        // The program, and behind it all functions that it calls.
        let linked = &object.functions[&program.function_key()];
        let name_at: HashMap<_, _> =
            linked.func_info.func_info.iter().skip(1).map(|info| (info.insn_off, info.type_id)).collect();
        let functions = functions(&linked.instructions);
        let (bytes, chain) = deepest(&functions, 0);
        let chain = chain.iter().map(|start| {
            let function = name_at.get(start).and_then(|id| names.get(id)).unwrap_or(name);
            format!("  {:4} bytes  {function}", functions[start].stack)
        });
        let chain = chain.collect::<Vec<_>>().join("\n");
        println!("{name}: {bytes} bytes\n{chain}");
        assert!(bytes <= LIMIT, "{name}: Linux 6.1 counts {bytes} bytes of stack, and allows {LIMIT}:\n{chain}");
    }
}

/// A function of a program.
#[derive(Default)]
struct Function {
    /// What it uses of its own stack, bytes.
    stack: u32,
    /// The functions that it calls, by their first instruction.
    calls: Vec<u32>,
}

/// The functions of a linked program by their first instruction.
fn functions(instructions: &[bpf_insn]) -> BTreeMap<u32, Function> {
    let called = |at: usize| {
        let instruction = &instructions[at];
        let is_call = [CALL, FUNCTION].contains(&(instruction.code, instruction.src_reg()));
        is_call.then(|| (at as i32 + 1 + instruction.imm) as u32)
    };
    let mut functions: BTreeMap<u32, Function> =
        (0..instructions.len()).filter_map(called).chain([0]).map(|start| (start, Function::default())).collect();
    // Registers that point to the end of the stack.
    let mut pointers = HashSet::new();
    for (at, instruction) in instructions.iter().enumerate() {
        let Some((_, function)) = functions.range_mut(..=at as u32).next_back() else { continue };
        function.calls.extend(called(at));
        function.stack = function.stack.max(reached(instruction, &mut pointers));
    }
    functions
}

/// How far below the frame pointer an instruction reaches, bytes.
fn reached(instruction: &bpf_insn, pointers: &mut HashSet<u8>) -> u32 {
    let (code, target, source) = (instruction.code, instruction.dst_reg(), instruction.src_reg());
    let below = |offset: i32| u32::try_from(-offset).unwrap_or(0);
    let written = pointers.remove(&target);
    match code & 0x07 {
        // A load, and both kinds of stores.
        0x01 if source == R10 => below(instruction.off.into()),
        0x02 | 0x03 if target == R10 => below(instruction.off.into()),
        _ if code == MOVE && source == R10 => {
            pointers.insert(target);
            0
        }
        _ if code == ADD_NUMBER && written => below(instruction.imm),
        _ => 0,
    }
}

/// What the deepest chain of calls from `start` on uses, and the functions in it.
fn deepest(functions: &BTreeMap<u32, Function>, start: u32) -> (u32, Vec<u32>) {
    let function = &functions[&start];
    let called = function.calls.iter().map(|call| deepest(functions, *call)).max();
    let (bytes, mut chain) = called.unwrap_or_default();
    chain.insert(0, start);
    (function.stack.max(1).next_multiple_of(STEP) + bytes, chain)
}
