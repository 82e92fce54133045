//! The clsact qdisc, which holds the programs where there is no TCX.

use std::collections::BTreeSet;

use anyhow::Context;
use futures_util::TryStreamExt;
use rtnetlink::packet_route::tc::{TcAttribute, TcHandle};

/// Removes the clsact qdiscs of these interfaces (by index) that hold no filters (any more): an empty one does nothing. One that somebody else's filters
/// are in stays.
///
/// # Errors
/// If the kernel refuses.
pub fn remove_empty(interfaces: &BTreeSet<u32>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().context("cannot speak to the kernel by netlink")?;
        tokio::spawn(connection);
        let qdiscs: Vec<_> =
            handle.qdisc().get().execute().try_collect().await.context("the kernel does not list its qdiscs")?;
        for interface in interfaces {
            let index = i32::try_from(*interface)?;
            let is_clsact = |attribute: &TcAttribute| matches!(attribute, TcAttribute::Kind(kind) if kind == "clsact");
            let clsact = qdiscs.iter().find(|qdisc| {
                qdisc.header.index == index
                    && qdisc.header.parent == TcHandle::CLSACT
                    && qdisc.attributes.iter().any(is_clsact)
            });
            let Some(clsact) = clsact else { continue };
            let filters = handle.traffic_filter(index);
            let ingress: Vec<_> = filters.clone().get().ingress().execute().try_collect().await?;
            let egress: Vec<_> = filters.clone().get().egress().execute().try_collect().await?;
            if ingress.is_empty() && egress.is_empty() {
                let mut removal = handle.qdisc().del(index);
                removal.message_mut().header = clsact.header.clone();
                let removed = removal.execute().await;
                removed.with_context(|| format!("cannot remove the empty clsact qdisc of interface {index}"))?;
            }
        }
        Ok(())
    })
}
