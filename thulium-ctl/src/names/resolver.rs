//! Asks for every name again and again.

use std::{
    collections::{BTreeMap, HashMap, hash_map::RandomState},
    future,
    hash::BuildHasher,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use ipnet::IpNet;
use thulium_ebpf::abi::Family;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use super::{AddressBook, Answer, Clock, Entry, HostReport, Lesson, Lookup, Pace, SavedNames};
use crate::policy::Host;

/// How long the start waits for names.
pub const FIRST_ROUND: Duration = Duration::from_secs(3);
/// The file is written at least this often while answers come, so that "last seen" there is never much older.
const SAVE_AGAIN: Duration = Duration::from_secs(600);

/// How long an address that a reply has just taught waits to be published with others: the datapath has learned it already.
const SOON: Duration = Duration::from_millis(100);
/// The same for a reply that only confirms addresses.
const LATER: Duration = Duration::from_secs(5);
/// Lessons that wait to be taken in; more wait where they come from.
const LESSONS: usize = 256;

/// What is known at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The moment, in the time of [`Entry::until`].
    pub taken: SystemTime,
    /// What admits new sessions: for the datapath.
    pub entries: BTreeMap<IpNet, Entry>,
    /// What admitted new sessions once: for the datapath, to tell it from strangers.
    pub expired: BTreeMap<IpNet, Entry>,
    /// The same by host, with names: for `hosts` and `status`.
    pub hosts: Vec<HostReport>,
    /// What is wrong with the file the names are kept in, if anything is.
    pub state_trouble: Option<String>,
}

impl Snapshot {
    /// How long from `taken` on the entry admits new sessions; `None`: for as long as DNS or the policy names it.
    pub fn remaining(&self, entry: &Entry) -> Option<Duration> {
        entry.until.map(|until| until.duration_since(self.taken).unwrap_or_default())
    }
}

/// A name, and the family whose addresses are asked for.
type Question = (String, Family);

/// When a question is due, and how often in a row it has failed.
#[derive(Clone, Copy, Debug)]
struct Due {
    /// `None`: being asked for.
    at: Option<Instant>,
    failures: u32,
}

/// Keeps the book of a policy's hosts up to date.
pub struct Resolver {
    book: AddressBook,
    lookup: Lookup,
    pace: Pace,
    clock: Clock,
    due: HashMap<Question, Due>,
    asking: JoinSet<(Question, Result<Answer, String>)>,
    state: Option<PathBuf>,
    state_trouble: Option<String>,
    saved: Option<(Instant, SavedNames)>,
    publish: watch::Sender<Snapshot>,
    /// When lessons that were taken in are published.
    publish_at: Option<Instant>,
    lessons: mpsc::Receiver<Lesson>,
    teacher: mpsc::Sender<Lesson>,
}

impl Resolver {
    /// A resolver for the names of `hosts`, and where it publishes. The first snapshot has the fixed addresses and what an
    /// earlier run left in the file `state`; a broken file is reported in the snapshot and is not fatal.
    pub fn new(
        hosts: &[Host],
        lookup: Lookup,
        pace: Pace,
        state: Option<PathBuf>,
    ) -> (Self, watch::Receiver<Snapshot>) {
        let clock = Clock::start();
        let mut book = AddressBook::new(hosts);
        let mut state_trouble = None;
        match state.as_deref().map(SavedNames::load) {
            Some(Ok(saved)) => book.restore(&saved, clock.now()),
            Some(Err(error)) => state_trouble = Some(format!("the names of earlier runs cannot be read: {error}")),
            None => {}
        }
        let questions =
            book.names().flat_map(|name| [Family::Ipv4, Family::Ipv6].map(|family| (name.to_owned(), family)));
        let due = questions.map(|question| (question, Due { at: Some(Instant::now()), failures: 0 })).collect();
        let (publish, receiver) = watch::channel(take(&book, clock.now(), state_trouble.clone()));
        let asking = JoinSet::new();
        let (teacher, lessons) = mpsc::channel(LESSONS);
        let (saved, publish_at) = (None, None);
        let resolver = Self {
            book,
            lookup,
            pace,
            clock,
            due,
            asking,
            state,
            state_trouble,
            saved,
            publish,
            publish_at,
            lessons,
            teacher,
        };
        (resolver, receiver)
    }

    /// Where to send what replies to clients say; [`Resolver::run`] takes it in.
    pub fn teacher(&self) -> mpsc::Sender<Lesson> {
        self.teacher.clone()
    }

    /// Asks for all names at once and waits until each has an answer or a failure, but no longer than `within`. What is late
    /// is taken in by [`Resolver::run`].
    pub async fn first_round(&mut self, within: Duration) {
        self.ask_what_is_due();
        // A wait that is cut short loses nothing: `join_next` is cancel safe, and what it yields is taken in at once.
        let _ = timeout(within, async {
            while let Some(done) = self.asking.join_next().await {
                if let Ok((question, answer)) = done {
                    self.take_in(question, answer);
                }
            }
        })
        .await;
        let late = self.due.iter().filter(|(_, due)| due.at.is_none());
        for ((name, family), _) in late {
            self.book.fail(name, *family, "no resolver has answered yet", self.clock.now());
        }
        self.changed();
    }

    /// Asks for each name when it is due, for ever.
    pub async fn run(mut self) {
        loop {
            self.ask_what_is_due();
            let due = self.due.values().filter_map(|due| due.at).min();
            let expiry = self.next_expiry();
            tokio::select! {
                Some(done) = self.asking.join_next() => {
                    // A lookup that panicked would leave its name unasked for ever: ask for such names again.
                    match done {
                        Ok((question, answer)) => self.take_in(question, answer),
                        Err(_) => self.ask_again_what_was_lost(),
                    }
                    self.changed();
                }
                Some(lesson) = self.lessons.recv() => self.learn(&lesson),
                () = until(due) => {}
                () = until(expiry) => self.changed(),
                () = until(self.publish_at) => self.changed(),
            }
        }
    }

    fn ask_what_is_due(&mut self) {
        let now = Instant::now();
        for (question, due) in &mut self.due {
            if due.at.is_some_and(|at| at <= now) {
                due.at = None;
                let (question, lookup) = (question.clone(), self.lookup.clone());
                self.asking.spawn(async move {
                    let answer = lookup.ask(&question.0, question.1).await;
                    (question, answer)
                });
            }
        }
    }

    /// Writes an answer or a failure into the book and sets when to ask again.
    fn take_in(&mut self, question: Question, answer: Result<Answer, String>) {
        let now = self.clock.now();
        let (name, family) = &question;
        let failures = self.due.get(&question).map_or(0, |due| due.failures);
        let (wait, failures) = match &answer {
            Ok(answer) if !answer.addresses.is_empty() => (self.pace.after_answer(answer.ttl, jitter(name)), 0),
            _ => {
                let failures = failures.saturating_add(1);
                (self.pace.after_failure(failures, jitter(name)), failures)
            }
        };
        match answer {
            Ok(answer) => self.book.observe(name, &answer, now),
            Err(why) => self.book.fail(name, *family, &why, now),
        }
        self.due.insert(question, Due { at: Some(Instant::now() + wait), failures });
    }

    /// Writes a lesson into the book, to be published with others.
    fn learn(&mut self, lesson: &Lesson) {
        let wait = if self.book.learn(lesson, self.clock.now()) { SOON } else { LATER };
        let at = Instant::now() + wait;
        self.publish_at = Some(self.publish_at.map_or(at, |before| before.min(at)));
    }

    fn ask_again_what_was_lost(&mut self) {
        if self.asking.is_empty() {
            let at = Some(Instant::now() + self.pace.first_retry);
            self.due.values_mut().filter(|due| due.at.is_none()).for_each(|due| due.at = at);
        }
    }

    /// When the book has to be looked at again because an address expires.
    fn next_expiry(&self) -> Option<Instant> {
        let now = self.clock.now();
        let wait = self.book.next_expiry(now)?.duration_since(now).unwrap_or_default();
        Instant::now().checked_add(wait)
    }

    /// Publishes and saves the book.
    fn changed(&mut self) {
        self.publish_at = None;
        self.book.expire(self.clock.now());
        self.save();
        self.publish.send_replace(take(&self.book, self.clock.now(), self.state_trouble.clone()));
    }

    /// Writes the file if what names which address has changed, or if the file is old.
    fn save(&mut self) {
        let Some(path) = &self.state else { return };
        let book = self.book.save();
        let fresh =
            self.saved.as_ref().is_some_and(|(at, saved)| at.elapsed() < SAVE_AGAIN && saved.same_addresses(&book));
        if fresh {
            return;
        }
        let failed = |error| format!("the names cannot be kept for the next start in {}: {error}", path.display());
        self.state_trouble = book.store(path).map_err(failed).err();
        self.saved = Some((Instant::now(), book));
    }
}

fn take(book: &AddressBook, now: SystemTime, state_trouble: Option<String>) -> Snapshot {
    let (entries, expired) = (book.entries(now), book.expired(now));
    Snapshot { taken: now, entries, expired, hosts: book.report(now), state_trouble }
}

/// Waits until then; for ever if there is no such time.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => future::pending().await,
    }
}

/// 0.0 to 1.0, another one each time. It spreads load and needs no better randomness than the hasher's keys.
fn jitter(name: &str) -> f64 {
    (RandomState::new().hash_one(name) >> 32) as f64 / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests;
