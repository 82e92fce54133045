//! What a check found.

use serde::Serialize;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Nothing is wrong.
    Pass,
    /// The probe could not run.
    NotTested,
    /// It does no harm now, or not for sure.
    Warn,
    /// It blocks or modifies Thulium's traffic.
    Fail,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Name of the check; a check can find several things.
    pub check: &'static str,
    /// How it ended.
    pub status: Status,
    /// What was seen.
    pub seen: String,
    /// What that means for Thulium; empty if nothing is wrong.
    pub meaning: String,
    /// A command that changes it, to be pasted into root's shell.
    pub fix: Option<String>,
}

impl Finding {
    /// Nothing is wrong.
    pub(super) fn pass(check: &'static str, seen: impl Into<String>) -> Self {
        Self { check, status: Status::Pass, seen: seen.into(), meaning: String::new(), fix: None }
    }

    /// The probe could not run.
    pub(super) fn not_tested(check: &'static str, why: impl Into<String>) -> Self {
        Self { check, status: Status::NotTested, seen: why.into(), meaning: String::new(), fix: None }
    }

    /// It does no harm now, or not for sure.
    pub(super) fn warn(check: &'static str, seen: impl Into<String>, meaning: impl Into<String>) -> Self {
        Self { check, status: Status::Warn, seen: seen.into(), meaning: meaning.into(), fix: None }
    }

    /// It blocks or modifies Thulium's traffic.
    pub(super) fn fail(check: &'static str, seen: impl Into<String>, meaning: impl Into<String>) -> Self {
        Self { status: Status::Fail, ..Self::warn(check, seen, meaning) }
    }

    /// With the command that changes it.
    pub(super) fn fixed_by(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }
}
