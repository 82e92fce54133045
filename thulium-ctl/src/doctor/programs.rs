//! Programs of others on the interfaces, which may take packets before or behind ours.

use aya::programs::{ProgramInfo, SchedClassifier, TcAttachType, loaded_links, loaded_programs};
use serde_json::Value;

use super::{
    command::{ask_json, quoted},
    finding::Finding,
    interfaces::Interfaces,
    subject::Subject,
};
use crate::datapath::{attach::is_optional, kernel};

const XDP: &str = "xdp-program";
const TC: &str = "tc-program";

/// Names of our programs.
const OURS: [&str; 5] = ["lan_ingress", "uplink_ingress", "uplink_egress", "lan_xdp", "uplink_xdp"];
/// Handle of our clsact filters, and of those that only look at DNS.
const OUR_HANDLE: &str = "0x7468";
const HANDLE_OF_LEARNERS: &str = "0x7469";

/// A direction at an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Ingress,
    Egress,
}

/// A program or filter at a TC hook.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Classifier {
    /// In words: `TCX program x (id 7)`.
    what: String,
    is_ours: bool,
    /// True if it is another instance's.
    is_anothers: bool,
    /// How it is taken off, if that can be told.
    removal: Option<String>,
}

/// A TC hook with its programs in the order in which they run.
#[derive(Clone, Debug)]
struct Hook {
    interface: String,
    side: Side,
    classifiers: Result<Vec<Classifier>, String>,
}

/// An XDP program.
#[derive(Clone, Debug, PartialEq, Eq)]
struct XdpProgram {
    interface: String,
    what: String,
    is_ours: bool,
    removal: Option<String>,
}

/// The programs of all interfaces.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    hooks: Vec<Hook>,
    xdp: Vec<Result<XdpProgram, String>>,
}

/// Asks the kernel what is attached.
pub(super) fn look(subject: &Subject, interfaces: &Interfaces) -> Facts {
    let mut facts = Facts::default();
    for name in subject.interfaces() {
        let Some(interface) = interfaces.get(name) else { continue };
        for (side, kind) in [(Side::Ingress, TcAttachType::Ingress), (Side::Egress, TcAttachType::Egress)] {
            let filters = ask_json("tc", &format!("-json filter show dev {name} {}", side.word()));
            let filters = filters.map(|json| filters_of(&json, name, side, subject.is_attached));
            let classifiers = filters
                .and_then(|filters| Ok(tcx(name, kind, subject.is_attached)?.into_iter().chain(filters).collect()));
            facts.hooks.push(Hook { interface: name.to_owned(), side, classifiers });
        }
        facts.xdp.extend(interface.xdp.map(|(mode, id)| xdp(name, mode, id, subject.is_attached)));
    }
    facts
}

/// A kernel without TCX has none.
fn tcx(interface: &str, kind: TcAttachType, is_attached: bool) -> Result<Vec<Classifier>, String> {
    if !kernel::has_tcx().unwrap_or(true) {
        return Ok(Vec::new());
    }
    let (_, programs) = SchedClassifier::query_tcx(interface, kind)
        .map_err(|error| format!("the kernel does not list TCX programs: {error}"))?;
    let classifier = |program: ProgramInfo| {
        let (id, name) = (program.id(), program.name_as_str().unwrap_or_default().to_owned());
        let is_thuliums = OURS.contains(&name.as_str());
        Classifier {
            is_ours: is_attached && is_thuliums,
            is_anothers: !is_attached && is_thuliums,
            what: format!("the TCX program {name} (id {id})"),
            removal: detach(id),
        }
    };
    // Those that only look at DNS are in nobody's way.
    let judging = programs.into_iter().filter(|program| !program.name_as_str().is_some_and(is_optional));
    Ok(judging.map(classifier).collect())
}

/// The filters in the clsact qdisc, by priority.
fn filters_of(json: &Value, interface: &str, side: Side, is_attached: bool) -> Vec<Classifier> {
    let listed = json.as_array().into_iter().flatten();
    // A head without options, and the hash tables of u32, are no filters.
    let filters =
        listed.filter(|filter| filter["options"].is_object() && filter["options"].get("ht_divisor").is_none());
    let filters = filters.filter(|filter| filter["options"]["handle"] != HANDLE_OF_LEARNERS);
    let classifier = |filter: &Value| {
        let (kind, priority) =
            (filter["kind"].as_str().unwrap_or_default(), filter["pref"].as_u64().unwrap_or_default());
        let options = &filter["options"];
        let name = options["bpf_name"].as_str().map(|name| format!(" {name}")).unwrap_or_default();
        let is_thuliums = kind == "bpf" && options["handle"] == OUR_HANDLE;
        Classifier {
            is_ours: is_attached && is_thuliums,
            is_anothers: !is_attached && is_thuliums,
            what: format!("the filter {kind}{name} of priority {priority}"),
            removal: Some(format!("tc filter del dev {} {} pref {priority}", quoted(interface), side.word())),
        }
    };
    let mut filters: Vec<Classifier> = filters.map(classifier).collect();
    // A filter of u32 is listed with each of its tables.
    filters.dedup();
    filters
}

fn xdp(interface: &str, mode: u64, id: u64, is_attached: bool) -> Result<XdpProgram, String> {
    let name = xdp_name(id).map_err(|why| format!("{interface}: the XDP program with id {id} is not told: {why}"))?;
    // Modes of `linux/if_link.h`.
    let (words, option) = match mode {
        1 => ("in the driver", "xdpdrv"),
        2 => ("generic", "xdpgeneric"),
        3 => ("in the hardware", "xdpoffload"),
        _ => ("in several modes", "xdp"),
    };
    let by_netlink = format!("ip link set dev {} {option} off", quoted(interface));
    Ok(XdpProgram {
        interface: interface.to_owned(),
        what: format!("the XDP program {name} (id {id}, {words})"),
        is_ours: is_attached && OURS.contains(&name.as_str()),
        removal: u32::try_from(id).ok().and_then(detach).or(Some(by_netlink)),
    })
}

/// The name of the program with this id; empty if it is gone.
fn xdp_name(id: u64) -> Result<String, String> {
    for program in loaded_programs() {
        let program = program.map_err(|error| error.to_string())?;
        if u64::from(program.id()) == id {
            return Ok(program.name_as_str().unwrap_or_default().to_owned());
        }
    }
    Ok(String::new())
}

/// What takes a program off that is held by one link.
fn detach(program: u32) -> Option<String> {
    let mut links = loaded_links().flatten().filter(|link| link.program_id() == program).map(|link| link.id());
    match (links.next(), links.next()) {
        (Some(link), None) => Some(format!("bpftool link detach id {link}")),
        _ => None,
    }
}

impl Side {
    const fn word(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

/// Which programs of others can take or change packets.
pub(super) fn judge(facts: &Facts, subject: &Subject) -> Vec<Finding> {
    let mut findings: Vec<Finding> = facts.hooks.iter().flat_map(|hook| of_hook(hook, subject)).collect();
    if findings.is_empty() {
        findings.push(Finding::pass(TC, "no TC program of others"));
    }
    let foreign = facts.xdp.iter().filter_map(|program| match program {
        Ok(program) => (!program.is_ours).then(|| of_xdp(program)),
        Err(why) => Some(Finding::not_tested(XDP, why.as_str())),
    });
    let foreign: Vec<Finding> = foreign.collect();
    if foreign.is_empty() {
        findings.push(Finding::pass(XDP, "no XDP program of others"));
    }
    findings.extend(foreign);
    findings
}

fn of_hook(hook: &Hook, subject: &Subject) -> Vec<Finding> {
    let (name, side) = (&hook.interface, hook.side.word());
    let classifiers = match &hook.classifiers {
        Ok(classifiers) => classifiers,
        Err(why) => return vec![Finding::not_tested(TC, format!("{name} {side}: {why}"))],
    };
    let ours = classifiers.iter().position(|one| one.is_ours);
    let foreign = classifiers.iter().enumerate().filter(|(_, one)| !one.is_ours);
    let finding = |(position, one): (usize, &Classifier)| {
        let seen = format!("{name} {side}: {}", one.what);
        if one.is_anothers {
            return of_another_instance(seen, subject);
        }
        let finding = match (hook.side, ours) {
            (Side::Ingress, Some(ours)) if position > ours => {
                return Finding::pass(TC, format!("{seen}, behind ours: it sees only what is left to the kernel"));
            }
            (Side::Ingress, None) => {
                return Finding::pass(TC, format!("{seen}: `run` puts ours in front of it"));
            }
            (_, Some(ours)) if position < ours => Finding::fail(
                TC,
                format!("{seen}, in front of ours"),
                "It gets every packet first, and what it passes, drops or sends elsewhere never comes to the datapath.",
            ),
            _ => Finding::warn(
                TC,
                seen,
                "It gets every packet that leaves here, also those that the datapath sends: it may be a shaper, which does no \
                 harm, or change or drop them, which does.",
            ),
        };
        match &one.removal {
            Some(removal) => finding.fixed_by(removal.clone()),
            None => finding,
        }
    };
    let mut findings: Vec<Finding> = foreign.map(finding).collect();
    let is_expected = hook.side == Side::Ingress || subject.uplinks.contains(name);
    if ours.is_none() && subject.is_attached && is_expected {
        findings.push(Finding::fail(
            TC,
            format!("{name} {side}: our program is not there"),
            "Somebody took it off: packets pass unjudged and untranslated. Start the daemon again: `systemctl restart \
             thulium-ctl` attaches it.",
        ));
    }
    findings
}

fn of_another_instance(seen: String, subject: &Subject) -> Finding {
    let finding = Finding::fail(
        TC,
        format!("{seen}, of another instance of thulium-ctl"),
        "`run` refuses an interface that another instance enforces: stop that one, or give this policy other interfaces.",
    );
    match subject.others.as_slice() {
        [other] => finding.fixed_by(format!("thulium-ctl --instance {other} down")),
        _ => finding,
    }
}

fn of_xdp(program: &XdpProgram) -> Finding {
    let finding = Finding::fail(
        XDP,
        format!("{}: {}", program.interface, program.what),
        "It gets every packet before the datapath, and can drop it or send it elsewhere.",
    );
    match &program.removal {
        Some(removal) => finding.fixed_by(removal.clone()),
        None => finding,
    }
}
