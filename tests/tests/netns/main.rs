//! What a user of the gateway would notice, tried with real peers in network namespaces. Needs root.
//!
//! One binary for all, so that the tests run beside each other and the one that waits 51 s costs no time.

mod audit;
mod calls;
mod changes;
mod clsact;
mod coexistence;
mod doctor;
mod failover;
mod flows;
mod fragments;
mod hops;
mod icmp;
mod ipv6;
mod json;
mod lab;
mod learners;
mod learning;
mod lifetime;
mod links;
mod names;
mod office;
mod offloads;
mod pins;
mod refusals;
mod routed;
mod routing;
mod shares;
mod startup;
mod stations;
mod survival;
mod switching;
mod tls;
mod uplinks;
mod xdp;
