//! What the verifier has to look at, so that growth is noticed before an older kernel refuses a program.

use aya::programs::ProgramInfo;

use crate::gateway::Gateway;

/// A fifth of what the verifier looks at before it gives up.
const BUDGET: u32 = 200_000;

#[test]
fn every_program_is_far_from_the_verifiers_limit() {
    let mut gateway = Gateway::new();
    gateway.load_all();
    let mut names = Vec::new();
    for (name, program) in gateway.object().programs() {
        let info: ProgramInfo = program.info().unwrap();
        let looked_at = info.verified_instruction_count().expect("kernels since 5.16 tell");
        println!("{name}: {looked_at} instructions");
        assert!(looked_at < BUDGET, "{name}: {looked_at} instructions");
        names.push(name);
    }
    names.sort_unstable();
    assert_eq!(names, ["lan_ingress", "lan_xdp", "sweep", "uplink_egress", "uplink_ingress", "uplink_xdp"]);
}
