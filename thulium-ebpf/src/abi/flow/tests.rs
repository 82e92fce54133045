use super::*;

#[test]
fn the_pair_of_the_pair_is_the_key_itself() {
    let client = Endpoint::new(Address4::new([192, 168, 20, 10]), Port::new(5060));
    let external = Endpoint::new(Address4::new([198, 51, 100, 1]), Port::new(40000));
    let outbound = FlowKey {
        source: client.address,
        destination: Address4::new([203, 0, 113, 7]),
        source_port: client.port,
        destination_port: Port::new(15060),
        protocol: 17,
        side: Side::Lan as u8,
        pad: 0,
    };
    let inbound = outbound.pair(&external);
    assert_eq!(inbound.destination, external.address);
    assert_eq!(inbound.source_port, Port::new(15060));
    assert_eq!(inbound.pair(&client), outbound);
}

#[test]
fn an_item_of_the_sweeper_tells_its_session_and_how_long_it_has_waited() {
    let key = FlowKey {
        source: Address4::new([192, 168, 20, 10]),
        destination: Address4::new([203, 0, 113, 7]),
        source_port: Port::new(5060),
        destination_port: Port::new(15060),
        protocol: 17,
        side: Side::Lan as u8,
        pad: 0,
    };
    const SECOND: u64 = 1_000_000_000;
    // The second one is put into the queue just before its counter begins anew.
    for queued in [5 * SECOND, (1 << 40) - 1] {
        let item = SweepItem::new(&key, 3 * SECOND, queued);
        assert_eq!(item.key(), key);
        assert!(item.has_waited(0, queued));
        assert!(!item.has_waited(50 * SECOND, queued + 49 * SECOND));
        assert!(item.has_waited(50 * SECOND, queued + 51 * SECOND));
    }
}
