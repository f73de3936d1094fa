//! Whether processes work: a second witness beside silence.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::child::tree::{Process, Work};

/// How much processes may do that only wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idle {
    /// How much of the time they may compute, in thousandths.
    pub cpu: u64,
    /// Whether they may wake up and wait again.
    pub wakes: bool,
}

/// An agent. Measured over a minute of waiting for a tool or for an answer: Claude Code 1 to 4 % and 70 KB/s at times, opencode
/// 2 to 3 %, Gemini CLI and Qwen Code 0 to 4 % and 10 KB/s at times, Codex nothing. An answer that streams in is 10 KB/s, so
/// bytes tell nothing.
pub const AGENT: Idle = Idle { cpu: 100, wakes: true };

/// A tool. What prints, sends, receives or looks at something now and then runs for a moment each time; one that waits for
/// an answer that does not come does not run at all.
pub const TOOL: Idle = Idle { cpu: 0, wakes: false };

/// How much processor time one look may find of an agent though nothing works, in milliseconds.
const SLACK_MS: u64 = 50;

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
            let (mut cpu, mut waits) = (0u128, 0);
            for (process, work) in &seen {
                // One that was not there is a sign of life itself.
                let Some(before) = before.get(process) else { return false };
                cpu += u128::from(work.cpu_ms.saturating_sub(before.cpu_ms));
                waits += work.waits.saturating_sub(before.waits);
            }
            let slack = if self.idle.cpu == 0 { 0 } else { SLACK_MS };
            before.len() == seen.len()
                && cpu <= elapsed * u128::from(self.idle.cpu) / 1000 + u128::from(slack)
                && (self.idle.wakes || waits == 0)
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
    fn still(idle: Idle, work: &[(u64, u64)]) -> u64 {
        let me = tree::read(i32::try_from(std::process::id()).unwrap()).unwrap();
        let (mut stillness, mut now) = (Stillness::new(idle), Instant::now());
        for (cpu_ms, waits) in work {
            now += Duration::from_secs(15);
            stillness.look(now, &[(me, Work { cpu_ms: *cpu_ms, waits: *waits })]);
        }
        stillness.lasted(now).as_secs()
    }

    #[test]
    fn what_does_nothing_is_still_since_it_was_first_looked_at() {
        assert_eq!(still(TOOL, &[(900, 7), (900, 7), (900, 7)]), 30);
        assert_eq!(still(TOOL, &[(900, 7)]), 0, "one look tells nothing");
    }

    #[test]
    fn a_tool_that_runs_for_a_moment_is_not() {
        assert_eq!(still(TOOL, &[(0, 0), (0, 0), (0, 1)]), 0);
        assert_eq!(
            still(TOOL, &[(0, 0), (14_000, 0), (14_000, 0)]),
            15,
            "it has computed, and is still since"
        );
    }

    #[test]
    fn an_agent_that_waits_may_do_more() {
        assert_eq!(still(AGENT, &[(0, 0), (500, 900), (1_000, 1_800)]), 30);
        assert_eq!(still(AGENT, &[(0, 0), (500, 900), (3_500, 1_800)]), 0);
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
