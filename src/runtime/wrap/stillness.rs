//! Whether processes work: a second witness beside silence.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::child::tree::{Process, Work};

/// How much processes may do that only wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idle {
    /// How much of the time they may compute, in thousandths.
    pub cpu: u64,
    /// How many bytes a second they may read and write; `None`: any number.
    pub io: Option<u64>,
}

/// An agent. Measured over a minute of waiting for a tool or for an answer: Claude Code 1 to 4 %, 70 KB/s at times; opencode
/// 2 to 3 %; Gemini CLI and Qwen Code 0 to 4 %, 10 KB/s at times; Codex nothing. An answer that streams in is 10 KB/s, so bytes
/// tell nothing.
pub const AGENT: Idle = Idle { cpu: 100, io: None };

/// A tool: one that waits for an answer wakes up now and then, and keeps a connection open with some ten bytes a second.
pub const TOOL: Idle = Idle { cpu: 20, io: Some(256) };

/// How much one look may find of each though nothing works.
const SLACK: Work = Work { cpu_ms: 50, io_bytes: 4096 };

/// What each process has done, by its number and its birth.
type Done = BTreeMap<(i32, u64), Work>;

/// Watches what processes do.
#[derive(Debug)]
pub struct Stillness {
    idle: Idle,
    before: Option<(Instant, Done)>,
    since: Option<Instant>,
}

impl Stillness {
    /// Returns a watch that has seen nothing yet.
    pub fn new(idle: Idle) -> Self {
        Self { idle, before: None, since: None }
    }

    /// Takes note of what each process has done by `now`.
    pub fn look(&mut self, now: Instant, processes: &[(Process, Work)]) {
        let seen: Done =
            processes.iter().map(|(process, work)| ((process.pid, process.birth), *work)).collect();
        let is_still = self.before.as_ref().is_some_and(|(at, before)| {
            let elapsed = now.saturating_duration_since(*at).as_millis();
            let (mut cpu, mut io) = (0u128, 0u128);
            for (process, work) in &seen {
                // One that was not there is a sign of life itself.
                let Some(before) = before.get(process) else { return false };
                cpu += u128::from(work.cpu_ms.saturating_sub(before.cpu_ms));
                io += u128::from(work.io_bytes.saturating_sub(before.io_bytes));
            }
            before.len() == seen.len()
                && cpu <= elapsed * u128::from(self.idle.cpu) / 1000 + u128::from(SLACK.cpu_ms)
                && self
                    .idle
                    .io
                    .is_none_or(|idle| io <= elapsed * u128::from(idle) / 1000 + u128::from(SLACK.io_bytes))
        });
        if !is_still {
            self.since = None;
        } else if self.since.is_none() {
            self.since = self.before.as_ref().map(|(at, _)| *at);
        }
        self.before = Some((now, seen));
    }

    /// Returns for how long nothing has worked, as far as it was looked at.
    pub fn lasted(&self, now: Instant) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use crate::child::tree;

    /// Looks every 15 s at one process that has done this much by then; returns for how many seconds it was still.
    fn still(work: &[(u64, u64)]) -> u64 {
        let me = tree::read(i32::try_from(std::process::id()).unwrap()).unwrap();
        let (mut stillness, mut now) = (Stillness::new(TOOL), Instant::now());
        for (cpu_ms, io_bytes) in work {
            now += Duration::from_secs(15);
            let work = Work { cpu_ms: *cpu_ms, io_bytes: *io_bytes };
            stillness.look(now, &[(me, work)]);
        }
        stillness.lasted(now).as_secs()
    }

    #[test]
    fn what_does_nothing_is_still_since_it_was_first_looked_at() {
        assert_eq!(still(&[(900, 7), (900, 7), (900, 7)]), 30);
        assert_eq!(still(&[(900, 7)]), 0, "one look tells nothing");
    }

    #[test]
    fn what_wakes_up_now_and_then_is_still() {
        assert_eq!(still(&[(0, 0), (100, 500), (200, 1000)]), 30);
    }

    #[test]
    fn what_computes_or_reads_is_not() {
        assert_eq!(still(&[(0, 0), (14_000, 0), (14_000, 0)]), 15, "it has computed, and is still since");
        assert_eq!(still(&[(0, 0), (0, 0), (0, 20_000)]), 0);
    }

    #[test]
    fn an_agent_that_waits_may_do_more() {
        let me = tree::read(i32::try_from(std::process::id()).unwrap()).unwrap();
        let (mut stillness, now) = (Stillness::new(AGENT), Instant::now());
        for (round, cpu_ms) in [(0, 0), (1, 500), (2, 1_000), (3, 4_000)] {
            let work = Work { cpu_ms, io_bytes: round * 1_000_000 };
            stillness.look(now + Duration::from_secs(round * 15), &[(me, work)]);
            let expected = if round == 3 { 0 } else { round * 15 };
            assert_eq!(stillness.lasted(now + Duration::from_secs(round * 15)).as_secs(), expected);
        }
    }

    #[test]
    fn a_process_that_comes_or_goes_is_a_sign_of_life() {
        let me = tree::read(i32::try_from(std::process::id()).unwrap()).unwrap();
        let mut other = me;
        other.pid += 1;
        let (mut stillness, now) = (Stillness::new(TOOL), Instant::now());
        let work = Work::default();
        let at = |seconds| now + Duration::from_secs(seconds);
        stillness.look(at(0), &[(me, work)]);
        stillness.look(at(15), &[(me, work)]);
        stillness.look(at(30), &[(me, work), (other, work)]);
        assert_eq!(stillness.lasted(at(30)), Duration::ZERO);
        stillness.look(at(45), &[(me, work)]);
        assert_eq!(stillness.lasted(at(45)), Duration::ZERO);
    }
}
