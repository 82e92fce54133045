use serde_json::json;

use super::*;

fn key(reason: Reason, direction: Direction, interface: u32, flow: u8, verdict: Verdict) -> DropKey {
    DropKey {
        interface,
        reason: reason as u8,
        direction: direction as u8,
        family: Family::Ipv4 as u8,
        verdict: verdict as u8,
        flow,
        pad: [0; 3],
    }
}

fn counter(packets: u64, bytes: u64) -> Counter {
    Counter { packets, bytes }
}

fn shown(counters: &[(DropKey, Counter)]) -> Report {
    let interfaces = [(2, "eth0"), (3, "eth1"), (9, "eth1")].map(|(index, name)| (index, name.to_owned()));
    let flows = [(0, "web".to_owned()), (1, "media".to_owned())];
    report(counters, &interfaces.into(), &flows.into())
}

#[test]
fn the_json_is_what_machines_rely_on() {
    let report = shown(&[
        (key(Reason::NoFlow, Direction::Out, 3, NO_SLOT, Verdict::Drop), counter(7, 700)),
        (key(Reason::NoSession, Direction::In, 2, 1, Verdict::Drop), counter(9, 90)),
        (key(Reason::NoFlow, Direction::Out, 3, NO_SLOT, Verdict::WouldDrop), counter(5, 50)),
        (key(Reason::NoFlow, Direction::Out, 3, NO_SLOT, Verdict::Pass), counter(3, 30)),
        (key(Reason::Malformed, Direction::In, 2, NO_SLOT, Verdict::Drop), counter(0, 0)),
    ]);
    let row = |reason: &str, direction: &str, interface: &str, flow: Option<&str>, verdict: &str, packets, bytes| {
        json!({
            "reason": reason, "direction": direction, "interface": interface, "family": "ipv4", "flow": flow,
            "verdict": verdict, "packets": packets, "bytes": bytes
        })
    };
    let expected = json!({
        "version": 1,
        "total": {"packets": 16, "bytes": 790},
        "would_drop": {"packets": 5, "bytes": 50},
        "drops": [
            row("no-session", "in", "eth0", Some("media"), "drop", 9, 90),
            row("no-flow", "out", "eth1", None, "drop", 7, 700),
            row("no-flow", "out", "eth1", None, "would-drop", 5, 50),
        ],
        "passed": [row("no-flow", "out", "eth1", None, "pass", 3, 30)],
    });
    assert_eq!(serde_json::to_value(report).unwrap(), expected);
}

#[test]
fn the_text_is_a_table_with_meaning_hint_and_totals() {
    let mut ipv6 = key(Reason::Ipv6Unsupported, Direction::Out, 3, NO_SLOT, Verdict::Drop);
    ipv6.family = Family::Ipv6 as u8;
    let text = shown(&[
        (key(Reason::NoSession, Direction::In, 2, 1, Verdict::Drop), counter(1200, 1024 * 1024)),
        (ipv6, counter(1, 40)),
        (key(Reason::NoFlow, Direction::Out, 3, NO_SLOT, Verdict::WouldDrop), counter(1, 60)),
    ])
    .to_string();
    let table = "\
PACKETS    BYTES  REASON            DIRECTION  INTERFACE  FAMILY  FLOW   VERDICT
   1200  1048576  no-session        in         eth0       ipv4    media  drop
      1       40  ipv6-unsupported  out        eth1       ipv6    -      drop
      1       60  no-flow           out        eth1       ipv4    -      would-drop
";
    assert!(text.starts_with(table), "{text}");
    for reason in [Reason::NoSession, Reason::Ipv6Unsupported, Reason::NoFlow] {
        let once =
            |sentence: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").matches(sentence).count() == 1;
        assert!(once(reason.meaning()) && once(reason.hint()), "{text}");
    }
    assert!(!text.contains(Reason::Malformed.name()), "only what occurs is explained");
    assert!(text.contains("Refused: 1201 packets, 1.0 MiB.\n"), "{text}");
    assert!(text.contains("Would have been refused (audit mode): 1 packet, 60 B.\n"), "{text}");
    assert!(text.lines().all(|line| line.len() <= 100), "{text}");
}

#[test]
fn nothing_refused_is_said() {
    assert_eq!(shown(&[]).to_string(), "Nothing was refused.\n");
    let passed = shown(&[(key(Reason::NoFlow, Direction::Out, 3, NO_SLOT, Verdict::Pass), counter(3, 30))]).to_string();
    assert!(passed.contains("Refused: 0 packets, 0 B.\n"), "{passed}");
    assert!(passed.contains("Left to the kernel (`unmatched: pass`): 3 packets, 30 B.\n"), "{passed}");
}

#[test]
fn an_interface_that_was_made_anew_keeps_one_row_and_unknown_numbers_are_shown() {
    let mut unknown = key(Reason::NoFlow, Direction::Out, 77, 40, Verdict::Drop);
    unknown.reason = 200;
    let report = shown(&[
        (key(Reason::NoFlow, Direction::Out, 3, 0, Verdict::Drop), counter(2, 20)),
        (key(Reason::NoFlow, Direction::Out, 9, 0, Verdict::Drop), counter(3, 30)),
        (unknown, counter(1, 10)),
    ]);
    assert_eq!(report.drops.len(), 2);
    assert_eq!(report.drops[0].sum, Sum { packets: 5, bytes: 50 });
    let cause = &report.drops[1].cause;
    assert_eq!((cause.reason.as_str(), cause.interface.as_str(), cause.flow.as_deref()), ("#200", "#77", Some("#40")));
    assert_eq!(report.total, Sum { packets: 6, bytes: 60 });
}
