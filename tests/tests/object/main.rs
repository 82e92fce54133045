//! The eBPF object itself, run packet by packet with `BPF_PROG_TEST_RUN`: verdict, counted reason and rewritten bytes.
//! A test that goes through a table prints the name of each row: the last one printed is the one that failed.
//!
//! Needs root. No packet leaves the test: each has a network namespace of its own, for the kernel's routes and sockets.

mod answers;
mod audit;
mod budget;
mod dns;
mod echo;
mod errors;
mod fast;
mod flows;
mod fragments;
mod gateway;
mod generations;
mod guard;
mod ipv6;
mod judging;
mod lan;
mod lifetime;
mod limits;
mod maps;
mod memory;
mod mss;
mod network;
mod orders;
mod parity;
mod ports;
mod races;
mod random;
mod refused;
mod resting;
mod shares;
mod stack;
mod sweeping;
mod tcp;
mod tls;
mod traffic;
mod translation;
mod uplink;
mod uplinks;
