//! How far a run is: on a terminal a bar, what is being measured, and how long it will still take; elsewhere a line a stage.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

/// Characters of the bar.
const WIDTH: usize = 24;
/// How much of the whole has to be done before its speed is believed.
const TELLING: f64 = 0.03;

/// The progress of a run.
pub(crate) struct Progress {
    begun: Instant,
    /// How long all of it takes, as was estimated, seconds.
    whole: f64,
    /// How much of that is done.
    done: f64,
    stage: String,
    is_terminal: bool,
}

impl Progress {
    /// Of a run that is thought to take `whole` seconds.
    pub(crate) fn new(whole: f64) -> Self {
        let is_terminal = io::stderr().is_terminal();
        Self { begun: Instant::now(), whole: whole.max(1.0), done: 0.0, stage: String::new(), is_terminal }
    }

    /// Something else is being measured from now on.
    pub(crate) fn stage(&mut self, what: impl Into<String>) {
        self.stage = what.into();
        if self.is_terminal {
            self.draw("");
        } else {
            say(&format!("{} … {}\n", self.percent(), self.stage));
        }
    }

    /// A step of the stage begins.
    pub(crate) fn step(&self, what: &str) {
        if self.is_terminal {
            self.draw(what);
        }
    }

    /// A round of the stage begins, counted from 0.
    pub(crate) fn round(&self, round: u32, rounds: u32) {
        self.step(&format!("round {} of {rounds}", round + 1));
    }

    /// A step that was thought to take so many seconds is over.
    pub(crate) fn advance(&mut self, seconds: f64) {
        self.done = (self.done + seconds).min(self.whole);
    }

    /// Removes the bar.
    pub(crate) fn end(&self) {
        if self.is_terminal {
            say("\r\x1b[2K");
        }
    }

    fn draw(&self, step: &str) {
        let separator = if step.is_empty() { "" } else { ", " };
        let (bar, left) = (bar(self.done / self.whole), left(self.begun.elapsed(), self.done, self.whole));
        say(&format!("\r\x1b[2K{bar} {} {left}  {}{separator}{step}", self.percent(), self.stage));
    }

    fn percent(&self) -> String {
        format!("{:>3.0} %", 100.0 * self.done / self.whole)
    }
}

/// A full bar at 1, an empty one at 0.
fn bar(part: f64) -> String {
    let full = ((part * WIDTH as f64).round() as usize).min(WIDTH);
    format!("{}{}", "█".repeat(full), "░".repeat(WIDTH - full))
}

/// How long it will still take: as was estimated, and by the speed so far as soon as that tells something.
fn left(elapsed: Duration, done: f64, whole: f64) -> String {
    let pace = if done / whole < TELLING { 1.0 } else { elapsed.as_secs_f64() / done };
    let seconds = ((whole - done) * pace).round() as u64;
    format!("{}:{:02} left", seconds / 60, seconds % 60)
}

fn say(text: &str) {
    let mut err = io::stderr().lock();
    // Who closed it does not want to know.
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_from_left_to_right() {
        assert!(bar(0.0).chars().all(|c| c == '░'));
        assert!(bar(1.0).chars().all(|c| c == '█'));
        assert_eq!(bar(0.5).chars().filter(|c| *c == '█').count(), WIDTH / 2);
        assert_eq!(bar(2.0).chars().count(), WIDTH);
    }

    #[test]
    fn the_remaining_time_follows_the_speed_so_far() {
        assert_eq!(left(Duration::from_secs(1), 0.0, 600.0), "10:00 left");
        // Half of it took twice as long as was thought.
        assert_eq!(left(Duration::from_secs(600), 300.0, 600.0), "10:00 left");
        assert_eq!(left(Duration::from_secs(60), 600.0, 600.0), "0:00 left");
    }

    #[test]
    fn it_never_gets_beyond_the_end() {
        let mut progress = Progress::new(10.0);
        progress.advance(25.0);
        assert_eq!(progress.percent(), "100 %");
    }
}
