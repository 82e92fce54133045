//! What the kernel says of interfaces that decides on XDP.

use std::collections::BTreeMap;

use anyhow::Context;
use rtnetlink::{
    packet_route::{
        RouteNetlinkMessage,
        link::{InfoKind, LinkAttribute, LinkInfo, LinkLayerType, LinkMessage},
        tc::{TcAttribute, TcHandle, TcMessage},
    },
    sys::protocols::NETLINK_ROUTE,
};

use super::netdev::{self, Features};
use crate::datapath::{link, netlink::Netlink};

/// What the kernel puts on interfaces by itself: it holds packets back only when the link is busy.
const USUAL_QUEUEING: [&str; 5] = ["noqueue", "mq", "pfifo_fast", "fq_codel", "fq"];

/// What is known of an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Its name.
    pub(super) name: String,
    /// Its index.
    pub(super) index: u32,
    /// Its driver's name; empty: it has none.
    pub(super) driver: String,
    /// True if it is the loopback interface.
    pub(super) is_loopback: bool,
    /// Its own Ethernet address; `None`: its frames have no Ethernet header.
    pub(super) address: Option<[u8; 6]>,
    /// Bytes of an IP packet.
    pub(super) mtu: u32,
    /// What its driver says that it can do; `None`: this kernel does not ask drivers (before Linux 6.3).
    pub(super) features: Option<Features>,
    /// A kind of queueing there that is not the kernel's own choice, such as `tbf`.
    pub(super) shaper: Option<String>,
    /// The VLAN devices on it.
    pub(super) vlans: Vec<String>,
    /// True if the hardware takes VLAN tags off: programs do not see them.
    pub(super) strips_tags: bool,
}

/// Asks the kernel about interfaces, by name and index. What is gone has no facts but these.
///
/// # Errors
/// If the kernel refuses.
pub(super) fn look<'a>(interfaces: impl Iterator<Item = (&'a str, u32)>) -> anyhow::Result<Vec<Facts>> {
    let mut kernel = Netlink::open(NETLINK_ROUTE).context("cannot ask the kernel for its interfaces")?;
    let links = kernel.list(RouteNetlinkMessage::GetLink(LinkMessage::default()));
    let links = Links::read(&links.context("the kernel does not list its interfaces")?);
    let qdiscs = kernel.list(RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default()));
    let shapers = shapers(&qdiscs.context("the kernel does not list its queueing")?);
    let features = netdev::features().context("the kernel does not tell what its drivers can do")?;
    let facts = |(name, index): (&str, u32)| {
        let link = links.by_index.get(&index).cloned().unwrap_or_default();
        Facts {
            name: name.to_owned(),
            index,
            driver: link::driver(name),
            is_loopback: link.is_loopback,
            address: link.address,
            mtu: link.mtu,
            features: features.as_ref().map(|all| all.get(&index).copied().unwrap_or_default()),
            shaper: shapers.get(&index).cloned(),
            vlans: links.vlans.get(&index).cloned().unwrap_or_default(),
            strips_tags: link::strips_tags(name),
        }
    };
    Ok(interfaces.map(facts).collect())
}

#[derive(Clone, Debug, Default)]
struct Link {
    is_loopback: bool,
    address: Option<[u8; 6]>,
    mtu: u32,
}

#[derive(Default)]
struct Links {
    by_index: BTreeMap<u32, Link>,
    /// Names of VLAN devices by the index of what they sit on.
    vlans: BTreeMap<u32, Vec<String>>,
}

impl Links {
    fn read(messages: &[RouteNetlinkMessage]) -> Self {
        let mut links = Self::default();
        for message in messages {
            let RouteNetlinkMessage::NewLink(message) = message else { continue };
            let kind = message.header.link_layer_type;
            let mut link = Link { is_loopback: kind == LinkLayerType::Loopback, ..Link::default() };
            let (mut name, mut below, mut is_vlan) = ("", None, false);
            for attribute in &message.attributes {
                match attribute {
                    LinkAttribute::IfName(text) => name = text,
                    LinkAttribute::Address(bytes) if kind == LinkLayerType::Ether => {
                        link.address = bytes.as_slice().try_into().ok();
                    }
                    LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                    LinkAttribute::Link(index) => below = Some(*index),
                    LinkAttribute::LinkInfo(infos) => is_vlan = infos.contains(&LinkInfo::Kind(InfoKind::Vlan)),
                    _ => {}
                }
            }
            links.by_index.insert(message.header.index, link);
            if let (true, Some(below)) = (is_vlan, below) {
                links.vlans.entry(below).or_default().push(name.to_owned());
            }
        }
        links
    }
}

/// By index of the interface, what holds packets back there that the kernel did not choose by itself, at the root or below it.
fn shapers(messages: &[RouteNetlinkMessage]) -> BTreeMap<u32, String> {
    let shaper = |message: &RouteNetlinkMessage| {
        let RouteNetlinkMessage::NewQueueDiscipline(qdisc) = message else { return None };
        let kind = qdisc.attributes.iter().find_map(|attribute| match attribute {
            TcAttribute::Kind(kind) => Some(kind.as_str()),
            _ => None,
        })?;
        // It holds programs and no packets.
        let is_queueing = qdisc.header.parent != TcHandle::CLSACT;
        let index = u32::try_from(qdisc.header.index).ok()?;
        (is_queueing && !USUAL_QUEUEING.contains(&kind)).then(|| (index, kind.to_owned()))
    };
    // Of a tree the root is named, which comes first.
    messages.iter().rev().filter_map(shaper).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn qdisc(index: i32, kind: &str, parent: TcHandle) -> RouteNetlinkMessage {
        let mut message = TcMessage::default();
        message.header.index = index;
        message.header.parent = parent;
        message.attributes = vec![TcAttribute::Kind(kind.to_owned())];
        RouteNetlinkMessage::NewQueueDiscipline(message)
    }

    #[test]
    fn what_the_kernel_chose_by_itself_shapes_nothing() {
        let child = TcHandle { major: 1, minor: 1 };
        let usual = USUAL_QUEUEING.map(|kind| qdisc(2, kind, TcHandle::ROOT));
        assert!(shapers(&usual).is_empty());
        assert!(shapers(&[qdisc(2, "clsact", TcHandle::CLSACT), qdisc(2, "ingress", TcHandle::INGRESS)]).is_empty());
        for kind in ["tbf", "htb", "cake", "hfsc", "netem"] {
            assert_eq!(shapers(&[qdisc(2, kind, TcHandle::ROOT)]), [(2, kind.to_owned())].into());
        }
        let below = [qdisc(3, "mq", TcHandle::ROOT), qdisc(3, "cake", child)];
        assert_eq!(shapers(&below), [(3, "cake".to_owned())].into());
        let tree = [qdisc(4, "htb", TcHandle::ROOT), qdisc(4, "sfq", child)];
        assert_eq!(shapers(&tree), [(4, "htb".to_owned())].into(), "the root is named");
    }

    #[test]
    fn vlan_devices_are_known_by_what_they_sit_on() {
        let link = |index, kind, attributes: Vec<LinkAttribute>| {
            let mut message = LinkMessage::default();
            message.header.index = index;
            message.header.link_layer_type = kind;
            message.attributes = attributes;
            RouteNetlinkMessage::NewLink(message)
        };
        let mac = [2, 0, 0, 0, 0, 7];
        let name = |name: &str| LinkAttribute::IfName(name.to_owned());
        let vlan = vec![
            name("eth0.20"),
            LinkAttribute::Link(2),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Vlan)]),
        ];
        let veth =
            vec![name("veth0"), LinkAttribute::Link(2), LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth)])];
        let links = Links::read(&[
            link(1, LinkLayerType::Loopback, vec![name("lo"), LinkAttribute::Address(vec![0; 6])]),
            link(
                2,
                LinkLayerType::Ether,
                vec![name("eth0"), LinkAttribute::Address(mac.to_vec()), LinkAttribute::Mtu(9000)],
            ),
            link(3, LinkLayerType::Ether, vlan),
            link(4, LinkLayerType::Ether, veth),
        ]);
        assert_eq!(links.vlans, [(2, vec!["eth0.20".to_owned()])].into());
        assert_eq!((links.by_index[&2].address, links.by_index[&2].mtu), (Some(mac), 9000));
        assert!(links.by_index[&1].is_loopback && links.by_index[&1].address.is_none());
    }
}
