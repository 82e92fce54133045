//! The eBPF object inside this program.

/// The eBPF object, aligned as its parser needs it; `None` if this program was built without one, by a plain
/// `cargo build` before any `cargo xtask build`.
pub fn bytes() -> Option<&'static [u8]> {
    let object: &'static [u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/thulium.o"));
    (!object.is_empty()).then_some(object)
}
