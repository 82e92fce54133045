//! What the verifier has to look at, so that growth is noticed before an older kernel refuses a program.

use std::{collections::BTreeMap, env, fmt::Write as _, fs};

use aya::programs::ProgramInfo;

use crate::gateway::Gateway;

/// A fifth of what the verifier looks at before it gives up.
const BOUND: u32 = 200_000;
/// What each program took when it was last recorded.
const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/object/budget.txt");
/// How much more a program may take before it is recorded anew: a tenth.
const GROWTH: u32 = 10;

/// Instructions that the verifier looked at, by program.
fn looked_at() -> BTreeMap<String, u32> {
    let mut gateway = Gateway::new();
    gateway.load_all();
    let count = |info: ProgramInfo| info.verified_instruction_count().expect("kernels since 5.16 tell");
    gateway.object().programs().map(|(name, program)| (name.to_owned(), count(program.info().unwrap()))).collect()
}

/// The running kernel's major and minor version: kernels count differently.
fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    release.split(['.', '-', '\n']).take(2).collect::<Vec<_>>().join(".")
}

fn record(kernel: &str, counts: &BTreeMap<String, u32>) -> String {
    let mut text = format!(
        "# Instructions that the verifier looks at. UPDATE_BUDGET=1 records them anew; see budget.rs.\nkernel {kernel}\n"
    );
    for (name, count) in counts {
        writeln!(text, "{name} {count}").unwrap();
    }
    text
}

/// The kernel of a record, and the counts.
fn read(text: &str) -> (&str, BTreeMap<&str, u32>) {
    let mut rows = text.lines().filter(|row| !row.starts_with('#')).filter_map(|row| row.split_once(' '));
    let (_, kernel) = rows.next().filter(|(key, _)| *key == "kernel").expect("budget.txt begins with its kernel");
    (kernel, rows.map(|(name, count)| (name, count.parse().expect("a count of budget.txt"))).collect())
}

#[test]
fn every_program_is_far_from_the_verifiers_limit() {
    let counts = looked_at();
    for (name, count) in &counts {
        println!("{name}: {count} instructions");
        assert!(*count < BOUND, "{name}: {count} instructions");
    }
    let names: Vec<_> = counts.keys().map(String::as_str).collect();
    let expected = [
        "end_session",
        "forget",
        "lan_ingress",
        "lan_queries",
        "lan_replies",
        "lan_xdp",
        "sweep",
        "unpin",
        "uplink_egress",
        "uplink_ingress",
        "uplink_xdp",
    ];
    assert_eq!(names, expected);
}

#[test]
fn no_program_grows_unnoticed() {
    let (kernel, counts) = (kernel(), looked_at());
    if env::var_os("UPDATE_BUDGET").is_some() {
        fs::write(RECORD, record(&kernel, &counts)).unwrap();
    }
    let text = fs::read_to_string(RECORD).unwrap();
    let (recorded_on, recorded) = read(&text);
    assert_eq!(counts.keys().collect::<Vec<_>>(), recorded.keys().collect::<Vec<_>>(), "programs in {RECORD}");
    if recorded_on != kernel {
        eprintln!("Not compared: recorded on Linux {recorded_on}, this is {kernel}, and kernels count differently");
        return;
    }
    for (name, count) in &counts {
        let was = recorded[name.as_str()];
        assert!(
            *count <= was + was / GROWTH,
            "{name}: {count} instructions, recorded {was}. If the growth is wanted: UPDATE_BUDGET=1 cargo xtask test -- budget"
        );
    }
}

#[test]
fn a_record_is_read_as_it_was_written() {
    let counts = BTreeMap::from([("lan_xdp".to_owned(), 7), ("sweep".to_owned(), 11)]);
    let text = record("6.18", &counts);
    let (kernel, read) = read(&text);
    assert_eq!((kernel, read), ("6.18", BTreeMap::from([("lan_xdp", 7), ("sweep", 11)])));
}
