//! What is known of one address of a name.

use std::time::{Duration, SystemTime};

/// Up to when something holds. That it holds for ever is later than every time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    At(SystemTime),
    Never,
}

impl End {
    /// The end of what holds for `time` longer. A time beyond the clock's range is as good as "for ever".
    pub(super) fn after(self, time: Duration) -> Self {
        match self {
            Self::At(end) => end.checked_add(time).map_or(Self::Never, Self::At),
            Self::Never => Self::Never,
        }
    }

    /// True if it holds now.
    pub(super) fn is_ahead(self, now: SystemTime) -> bool {
        self > Self::At(now)
    }

    /// The time; `None`: never.
    pub(super) const fn time(self) -> Option<SystemTime> {
        match self {
            Self::At(end) => Some(end),
            Self::Never => None,
        }
    }
}

/// What the answers to the daemon's own questions say of an address. The last good answer holds until another good one comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    /// When an answer last named it.
    pub(super) last: SystemTime,
    /// Until when that answer is valid.
    pub(super) valid_until: SystemTime,
    /// When it was found missing from a good answer; `None`: the last good answer named it.
    pub(super) left: Option<SystemTime>,
}

/// An address that a name led to. It has been named by an answer to the daemon's own question, by a reply to a client, or by both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sighting {
    pub(super) first_seen: SystemTime,
    pub(super) last_seen: SystemTime,
    pub(super) resolved: Option<Resolved>,
    /// Until when the replies to clients that named it are valid. That another reply does not name it says nothing: clients are
    /// given what lies near them, some of many, or what their own resolver still remembers.
    pub(super) learned: Option<SystemTime>,
}

impl Sighting {
    /// An address that nothing has named yet.
    pub(super) const fn new(now: SystemTime) -> Self {
        Self { first_seen: now, last_seen: now, resolved: None, learned: None }
    }

    /// An answer to the daemon's question named it.
    pub(super) fn answered(&mut self, valid_until: SystemTime, now: SystemTime) {
        self.resolved = Some(Resolved { last: now, valid_until, left: None });
        self.last_seen = now;
    }

    /// A good answer to the daemon's question did not name it.
    pub(super) fn missed(&mut self, now: SystemTime) {
        if let Some(resolved) = &mut self.resolved {
            resolved.left.get_or_insert(now);
        }
    }

    /// A reply to a client named it.
    pub(super) fn taught(&mut self, valid_until: SystemTime, now: SystemTime) {
        self.learned = self.learned.max(Some(valid_until));
        self.last_seen = now;
    }

    /// Up to when DNS names it for a host that `learns` it from replies, or does not; `None`: it was never the host's.
    pub(super) fn live(&self, learns: bool) -> Option<End> {
        let resolved = self.resolved.map(|resolved| resolved.left.map_or(End::Never, End::At));
        resolved.max(self.learned.filter(|_| learns).map(End::At))
    }

    /// Up to when it admits new sessions to such a host.
    pub(super) fn admits(&self, learns: bool, keep_old: Duration) -> Option<End> {
        self.live(learns).map(|live| live.after(keep_old))
    }

    /// True if it is an answer to the daemon's own question that names it longest.
    pub(super) fn is_resolved(&self) -> bool {
        self.live(false).is_some() && self.live(false) >= self.live(true)
    }
}
