use std::{
    collections::BTreeSet,
    fs,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use tokio::net::UdpSocket;

use super::*;
use crate::names::Servers;

/// How the responder answers a question for a name.
#[derive(Clone, Debug)]
enum Behaviour {
    Addresses(Vec<[u8; 4]>, u32),
    Addresses6(Vec<[u8; 16]>, u32),
    Code(u8),
    Silence,
}

/// A DNS server on loopback whose answers can be changed.
struct Responder {
    address: SocketAddr,
    behaviour: Arc<Mutex<HashMap<(String, Family), Behaviour>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Responder {
    async fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let responder =
            Self { address: socket.local_addr().unwrap(), behaviour: Arc::default(), asked: Arc::default() };
        let (behaviour, asked) = (Arc::clone(&responder.behaviour), Arc::clone(&responder.asked));
        tokio::spawn(async move {
            let mut packet = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut packet).await {
                let question = &packet[..length];
                let name = name_of(question);
                asked.lock().unwrap().push(name.clone());
                let behaviour = behaviour.lock().unwrap().get(&(name, family_of(question))).cloned();
                if let Some(reply) = reply(question, &behaviour.unwrap_or(Behaviour::Code(NXDOMAIN))) {
                    socket.send_to(&reply, client).await.unwrap();
                }
            }
        });
        responder
    }

    /// To both questions; a name with IPv4 addresses has no others.
    fn set(&self, name: &str, behaviour: Behaviour) {
        let other = match &behaviour {
            Behaviour::Addresses(..) => Behaviour::Addresses6(Vec::new(), 1),
            same => same.clone(),
        };
        self.set_one(name, Family::Ipv4, behaviour);
        self.set_one(name, Family::Ipv6, other);
    }

    fn set_one(&self, name: &str, family: Family, behaviour: Behaviour) {
        self.behaviour.lock().unwrap().insert((name.to_owned(), family), behaviour);
    }

    fn times_asked(&self, name: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == name).count()
    }

    fn resolver(&self, hosts: &[Host], state: Option<PathBuf>) -> (Resolver, watch::Receiver<Snapshot>) {
        let lookup = Lookup::new(Servers::These(vec![self.address]));
        Resolver::new(hosts, lookup, QUICK, state)
    }
}

const NXDOMAIN: u8 = 3;
const SERVFAIL: u8 = 2;
const QUICK: Pace = Pace {
    shortest: Duration::from_millis(20),
    longest: Duration::from_millis(20),
    first_retry: Duration::from_millis(20),
    last_retry: Duration::from_millis(40),
};
/// Long enough for a busy machine; nothing waits so long when all is well.
const PATIENCE: Duration = Duration::from_secs(20);

/// The name that a message asks for, in lower case: labels from the end of the header (RFC 1035 §4.1.2).
fn name_of(question: &[u8]) -> String {
    let mut labels = Vec::new();
    let mut place = 12;
    while question[place] != 0 {
        let end = place + 1 + usize::from(question[place]);
        labels.push(String::from_utf8_lossy(&question[place + 1..end]).to_lowercase());
        place = end;
    }
    labels.join(".")
}

/// What a message asks for: the type stands behind the name.
fn family_of(question: &[u8]) -> Family {
    let end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap();
    if question[end + 2] == 28 { Family::Ipv6 } else { Family::Ipv4 }
}

/// Header and question as they came, then the answers; no other records.
fn reply(question: &[u8], behaviour: &Behaviour) -> Option<Vec<u8>> {
    let (code, addresses, ttl) = match behaviour {
        Behaviour::Addresses(addresses, ttl) => (0, addresses.iter().map(|octets| octets.to_vec()).collect(), *ttl),
        Behaviour::Addresses6(addresses, ttl) => (0, addresses.iter().map(|octets| octets.to_vec()).collect(), *ttl),
        Behaviour::Code(code) => (*code, Vec::new(), 0),
        Behaviour::Silence => return None,
    };
    let name_end = 12 + question[12..].iter().position(|byte| *byte == 0)? + 1;
    let mut reply = question[..name_end + 4].to_vec();
    reply[2] = 0x81; // a response; recursion was desired
    reply[3] = 0x80 | code; // recursion is available
    reply[6..12].copy_from_slice(&[0, addresses.len() as u8, 0, 0, 0, 0]);
    for address in addresses {
        reply.extend([0xc0, 12]); // the question's name, type and class
        reply.extend(&question[name_end..name_end + 4]);
        reply.extend(ttl.to_be_bytes());
        reply.extend([0, address.len() as u8]);
        reply.extend(address);
    }
    Some(reply)
}

fn host(name: &str, dns: &str, keep_old: Duration) -> Host {
    Host { name: name.to_owned(), names: vec![dns.to_owned()], addresses: Vec::new(), keep_old, private_answers: false }
}

const DAY: Duration = Duration::from_secs(86_400);

/// Addresses that admit new sessions, and whether DNS still names them.
fn addresses(snapshot: &Snapshot) -> BTreeSet<(String, bool)> {
    snapshot.entries.iter().map(|(prefix, entry)| (prefix.addr().to_string(), entry.until.is_none())).collect()
}

fn set(rows: &[(&str, bool)]) -> BTreeSet<(String, bool)> {
    rows.iter().map(|(address, live)| ((*address).to_owned(), *live)).collect()
}

async fn wait(receiver: &mut watch::Receiver<Snapshot>, condition: impl FnMut(&Snapshot) -> bool) -> Snapshot {
    timeout(PATIENCE, receiver.wait_for(condition)).await.expect("it never came to that").unwrap().clone()
}

#[tokio::test]
async fn answers_that_change_accumulate() {
    let dns = Responder::start().await;
    dns.set("stun.test", Behaviour::Addresses(vec![[192, 0, 2, 1], [192, 0, 2, 2]], 1));
    let (mut resolver, mut receiver) = dns.resolver(&[host("stun", "stun.test", DAY)], None);
    resolver.first_round(PATIENCE).await;
    assert_eq!(addresses(&receiver.borrow()), set(&[("192.0.2.1", true), ("192.0.2.2", true)]));

    let task = tokio::spawn(resolver.run());
    dns.set("stun.test", Behaviour::Addresses(vec![[192, 0, 2, 2], [192, 0, 2, 3]], 1));
    let all = set(&[("192.0.2.1", false), ("192.0.2.2", true), ("192.0.2.3", true)]);
    let snapshot = wait(&mut receiver, |snapshot| addresses(snapshot) == all).await;
    let left = snapshot.entries.values().find_map(|entry| snapshot.remaining(entry)).unwrap();
    assert!(left <= DAY && left > DAY - PATIENCE, "{left:?}");
    task.abort();
}

#[tokio::test]
async fn an_address_that_is_no_longer_kept_goes_without_a_further_answer() {
    let dns = Responder::start().await;
    dns.set("stun.test", Behaviour::Addresses(vec![[192, 0, 2, 1]], 1));
    let (mut resolver, mut receiver) = dns.resolver(&[host("stun", "stun.test", Duration::from_millis(300))], None);
    resolver.first_round(PATIENCE).await;
    let task = tokio::spawn(resolver.run());
    dns.set("stun.test", Behaviour::Addresses(vec![[192, 0, 2, 2]], 1));
    wait(&mut receiver, |snapshot| addresses(snapshot).len() == 2).await;
    dns.set("stun.test", Behaviour::Silence);
    wait(&mut receiver, |snapshot| addresses(snapshot) == set(&[("192.0.2.2", true)])).await;
    task.abort();
}

#[tokio::test]
async fn failures_of_every_kind_lose_nothing_and_are_told() {
    let dns = Responder::start().await;
    dns.set("web.test", Behaviour::Addresses(vec![[192, 0, 2, 1]], 1));
    let (mut resolver, mut receiver) = dns.resolver(&[host("web", "web.test", Duration::ZERO)], None);
    resolver.first_round(PATIENCE).await;
    let task = tokio::spawn(resolver.run());
    let kinds = [
        (Behaviour::Code(SERVFAIL), "SERVFAIL"),
        (Behaviour::Code(NXDOMAIN), "NXDOMAIN"),
        (Behaviour::Addresses(vec![], 1), "no A and no AAAA record"),
        (Behaviour::Addresses(vec![[0, 0, 0, 0]], 1), "seems to block"),
        (Behaviour::Silence, "no resolver answered in time"),
    ];
    for (kind, told) in kinds {
        dns.set("web.test", kind);
        let why = |snapshot: &Snapshot| snapshot.hosts[0].names[0].why.clone().unwrap_or_default();
        let snapshot = wait(&mut receiver, |snapshot| why(snapshot).contains(told)).await;
        assert_eq!(addresses(&snapshot), set(&[("192.0.2.1", true)]), "{told}");
        assert!(!snapshot.hosts[0].names[0].resolves);
    }
    dns.set("web.test", Behaviour::Addresses(vec![[192, 0, 2, 1]], 1));
    wait(&mut receiver, |snapshot| snapshot.hosts[0].names[0].resolves).await;
    task.abort();
}

#[tokio::test]
async fn a_family_whose_question_fails_does_not_take_the_other_with_it() {
    let dns = Responder::start().await;
    dns.set_one("web.test", Family::Ipv4, Behaviour::Addresses(vec![[192, 0, 2, 1]], 1));
    dns.set_one("web.test", Family::Ipv6, Behaviour::Silence);
    let v6 = "2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets();
    let (mut resolver, mut receiver) = dns.resolver(&[host("web", "web.test", DAY)], None);
    resolver.first_round(Duration::from_millis(500)).await;
    assert_eq!(addresses(&receiver.borrow()), set(&[("192.0.2.1", true)]), "IPv4 does not wait for IPv6");
    assert!(receiver.borrow().hosts[0].names[0].resolves, "and a resolver without IPv6 is no trouble");

    let task = tokio::spawn(resolver.run());
    dns.set_one("web.test", Family::Ipv6, Behaviour::Addresses6(vec![v6], 1));
    let both = set(&[("192.0.2.1", true), ("2001:db8::7", true)]);
    wait(&mut receiver, |snapshot| addresses(snapshot) == both).await;
    dns.set_one("web.test", Family::Ipv4, Behaviour::Code(SERVFAIL));
    let snapshot = wait(&mut receiver, |snapshot| !snapshot.hosts[0].names[0].resolves).await;
    assert_eq!(addresses(&snapshot), both);
    assert!(snapshot.hosts[0].names[0].why.as_ref().unwrap().contains("IPv4"));
    dns.set_one("web.test", Family::Ipv4, Behaviour::Addresses(vec![], 1));
    wait(&mut receiver, |snapshot| addresses(snapshot) == set(&[("192.0.2.1", false), ("2001:db8::7", true)])).await;
    task.abort();
}

#[tokio::test]
async fn the_first_round_ends_in_time_though_a_name_has_no_answer_and_others_do_not_wait_for_it() {
    let dns = Responder::start().await;
    dns.set("dead.test", Behaviour::Silence);
    dns.set("web.test", Behaviour::Addresses(vec![[192, 0, 2, 1]], 60));
    let hosts = [host("dead", "dead.test", DAY), host("web", "web.test", DAY)];
    let (mut resolver, receiver) = dns.resolver(&hosts, None);
    let start = Instant::now();
    resolver.first_round(Duration::from_millis(500)).await;
    assert!(start.elapsed() < Duration::from_secs(2), "an attempt alone takes 2 s");
    assert_eq!(addresses(&receiver.borrow()), set(&[("192.0.2.1", true)]));
    let late = &receiver.borrow().hosts[0].names[0];
    assert_eq!((late.resolves, late.why.as_deref()), (false, Some("no resolver has answered yet")));
}

#[tokio::test]
async fn names_are_asked_for_as_they_stand_and_again_and_again() {
    let dns = Responder::start().await;
    let (mut resolver, receiver) = dns.resolver(&[host("web", "web", DAY)], None);
    resolver.first_round(PATIENCE).await;
    assert!(receiver.borrow().hosts[0].names[0].why.as_ref().unwrap().contains("NXDOMAIN"));
    let task = tokio::spawn(resolver.run());
    timeout(PATIENCE, async {
        while dns.times_asked("web") < 5 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("it gave up");
    let asked: BTreeSet<String> = dns.asked.lock().unwrap().iter().cloned().collect();
    assert_eq!(asked, BTreeSet::from(["web".to_owned()]), "no search domain");
    task.abort();
}

#[tokio::test]
async fn a_restart_with_dead_dns_goes_on_with_what_was_known() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("default/names.json");
    let hosts = [host("web", "web.test", DAY)];
    let dns = Responder::start().await;
    dns.set("web.test", Behaviour::Addresses(vec![[192, 0, 2, 1]], 60));
    let (mut first, _) = dns.resolver(&hosts, Some(state.clone()));
    first.first_round(PATIENCE).await;
    drop(first);

    dns.set("web.test", Behaviour::Code(SERVFAIL));
    let (mut second, receiver) = dns.resolver(&hosts, Some(state.clone()));
    assert_eq!(addresses(&receiver.borrow()), set(&[("192.0.2.1", true)]), "before the first question");
    second.first_round(PATIENCE).await;
    assert_eq!(addresses(&receiver.borrow()), set(&[("192.0.2.1", true)]));
    assert_eq!(receiver.borrow().state_trouble, None);

    fs::write(&state, "not ours").unwrap();
    let (_, receiver) = dns.resolver(&hosts, Some(state));
    assert!(receiver.borrow().state_trouble.as_ref().unwrap().contains("cannot be read"), "told, and not fatal");
}

#[tokio::test]
async fn a_dead_resolver_beside_a_living_one_does_no_harm() {
    let dns = Responder::start().await;
    dns.set("web.test", Behaviour::Addresses(vec![[192, 0, 2, 1]], 60));
    let dead = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let servers = Servers::These(vec![dead.local_addr().unwrap(), dns.address]);
    let lookup = Lookup::new(servers);
    let answer = lookup.ask("web.test", Family::Ipv4).await.unwrap();
    assert_eq!(answer.addresses, BTreeSet::from([[192, 0, 2, 1].into()]));
    assert_eq!(answer.ttl, Duration::from_secs(60));
}

#[tokio::test]
async fn what_replies_teach_is_published_in_bursts_and_kept_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("names.json");
    let dns = Responder::start().await;
    let hosts = [host("all", "*.web.test", DAY)];
    let (resolver, mut receiver) = dns.resolver(&hosts, Some(state.clone()));
    let teacher = resolver.teacher();
    let task = tokio::spawn(resolver.run());
    for last in 1..=200 {
        let lesson = Lesson {
            name: "acme.web.test".to_owned(),
            addresses: [[192, 0, 2, last].into()].into(),
            ttl: Duration::from_secs(60),
        };
        teacher.send(lesson).await.unwrap();
    }
    receiver.mark_unchanged();
    let mut published = 0;
    timeout(PATIENCE, async {
        while addresses(&receiver.borrow_and_update()).len() < 200 {
            receiver.changed().await.unwrap();
            published += 1;
        }
    })
    .await
    .expect("not all were published");
    assert!(published <= 20, "published {published} times");
    assert!(receiver.borrow().entries.values().all(|entry| entry.until.is_some()));
    assert!(dns.asked.lock().unwrap().is_empty(), "nobody is asked for a wildcard, or for what it stands for");
    task.abort();

    let (_, receiver) = dns.resolver(&hosts, Some(state));
    assert_eq!(addresses(&receiver.borrow()).len(), 200);
}
