//! The eBPF programs. On the host this is an empty main, so that `cargo build` and `cargo test` work everywhere.

#[cfg(not(target_arch = "bpf"))]
fn main() {}
