//! Whether processes work: a second witness beside silence.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::child::tree::{Process, Work};

/// How much of the time a process that only waits may use, in thousandths. Programs with an event loop wake up now and then.
const IDLE_CPU: u128 = 20;

/// How many bytes a second a process that only waits may read and write: a kept connection takes some 10, an answer
/// that streams in a thousand at least.
const IDLE_IO: u128 = 256;

/// How much one look may find of each though nothing works.
const SLACK: Work = Work { cpu_ms: 50, io_bytes: 4096 };

/// Watches what processes do.
#[derive(Debug, Default)]
pub struct Stillness {
    before: Option<(Instant, BTreeMap<(i32, u64), Work>)>,
    since: Option<Instant>,
}

impl Stillness {
    /// Takes note of what each process has done by `now`. `None`: not all of it is known.
    pub fn look(&mut self, now: Instant, processes: Option<Vec<(Process, Work)>>) {
        let Some(processes) = processes else {
            *self = Self::default();
            return;
        };
        let seen: BTreeMap<_, _> =
            processes.into_iter().map(|(process, work)| ((process.pid, process.birth), work)).collect();
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
                && cpu <= elapsed * IDLE_CPU / 1000 + u128::from(SLACK.cpu_ms)
                && io <= elapsed * IDLE_IO / 1000 + u128::from(SLACK.io_bytes)
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
        let (mut stillness, mut now) = (Stillness::default(), Instant::now());
        for (cpu_ms, io_bytes) in work {
            now += Duration::from_secs(15);
            let work = Work { cpu_ms: *cpu_ms, io_bytes: *io_bytes };
            stillness.look(now, Some(vec![(me, work)]));
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
    fn a_process_that_comes_or_goes_is_a_sign_of_life() {
        let me = tree::read(i32::try_from(std::process::id()).unwrap()).unwrap();
        let mut other = me;
        other.pid += 1;
        let (mut stillness, now) = (Stillness::default(), Instant::now());
        let work = Work::default();
        let at = |seconds| now + Duration::from_secs(seconds);
        stillness.look(at(0), Some(vec![(me, work)]));
        stillness.look(at(15), Some(vec![(me, work)]));
        stillness.look(at(30), Some(vec![(me, work), (other, work)]));
        assert_eq!(stillness.lasted(at(30)), Duration::ZERO);
        stillness.look(at(45), Some(vec![(me, work)]));
        assert_eq!(stillness.lasted(at(45)), Duration::ZERO);
    }
}
