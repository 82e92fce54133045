//! The lab: a LAN, a gateway and an internet made of network namespaces, with real peers in them.
//!
//! ```text
//!   lan                    gw                          internet
//!   eth0 192.168.20.x ──── lan0 .1    wan0 ─────────── eth0 198.51.100.254
//!                                     198.51.100.1     203.0.113.10 thulium, .20 stun, .99 unrelated
//!                                     wan1 ─────────── eth1 198.51.101.254      only with `Lab::add_uplink`
//!                                     198.51.101.1
//! ```
//!
//! [`lab`] builds it and runs `thulium-ctl` in the gateway, [`peer`] has the programs that talk through it, and
//! [`packet`] crafts and captures single packets. Everything needs root; everything a lab makes ends with it.

pub mod lab;
pub mod packet;
pub mod peer;
