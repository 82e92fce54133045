//! The lab: network namespaces, links and real peers.
