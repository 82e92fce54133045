//! The datapath: load, attach, pin, publish.

pub mod object;
