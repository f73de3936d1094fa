//! Which processes were seen in a tree, in memory that the guard shares with this program: the guard writes, both read.

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use super::Process;

/// How many processes are remembered; if all of them live, further ones are found only as long as their parents live.
const ROOM: usize = 1024;

/// How much of the room is left when those that have ended should be forgotten: for what has to be noted before.
const SPARE: usize = ROOM / 8;

/// The processes, by their births. All zero is a valid value: nothing was seen.
#[derive(Debug)]
#[repr(C)]
pub struct Kin {
    seen: [Seen; ROOM],
}

#[derive(Debug)]
#[repr(C)]
struct Seen {
    /// 0: there is none.
    birth: AtomicU64,
    pid: AtomicI32,
}

impl Kin {
    /// Whether a process of this birth was seen.
    pub fn holds(&self, birth: u64) -> bool {
        birth != 0 && self.seen.iter().any(|seen| seen.birth.load(Ordering::Acquire) == birth)
    }

    /// Remembers a process; returns whether it is a new one, and there was room.
    pub fn note(&self, process: &Process) -> bool {
        if process.birth == 0 || self.holds(process.birth) {
            return false;
        }
        let Some(free) = self.seen.iter().find(|seen| seen.birth.load(Ordering::Relaxed) == 0) else {
            return false;
        };
        free.pid.store(process.pid, Ordering::Relaxed);
        free.birth.store(process.birth, Ordering::Release);
        true
    }

    /// Whether those that have ended should be forgotten.
    pub fn is_crowded(&self) -> bool {
        self.seen.iter().filter(|seen| seen.birth.load(Ordering::Relaxed) == 0).count() <= SPARE
    }

    /// Forgets those that `lives` says no of. What they have made must have been noted before.
    pub fn keep(&self, lives: &dyn Fn(i32, u64) -> bool) {
        for seen in &self.seen {
            let birth = seen.birth.load(Ordering::Relaxed);
            if birth != 0 && !lives(seen.pid.load(Ordering::Relaxed), birth) {
                seen.birth.store(0, Ordering::Release);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kin() -> Kin {
        Kin { seen: std::array::from_fn(|_| Seen { birth: AtomicU64::new(0), pid: AtomicI32::new(0) }) }
    }

    fn process(pid: i32) -> Process {
        Process { birth: u64::try_from(pid).unwrap() * 10, ..Process::unseen(pid) }
    }

    #[test]
    fn what_was_noted_is_known_and_noted_once() {
        let kin = kin();
        assert!(!kin.holds(70));
        assert!(kin.note(&process(7)));
        assert!(!kin.note(&process(7)));
        assert!(kin.holds(70));
    }

    #[test]
    fn a_process_of_which_nothing_is_known_is_nobodys() {
        let kin = kin();
        assert!(!kin.note(&Process::unseen(7)));
        assert!(!kin.holds(0));
    }

    #[test]
    fn when_all_room_is_taken_the_dead_make_room() {
        let kin = kin();
        let room = i32::try_from(ROOM).unwrap();
        assert!(!kin.is_crowded());
        assert!((1..=room).all(|pid| kin.note(&process(pid))));
        assert!(kin.is_crowded());
        assert!(!kin.note(&process(room + 1)));
        kin.keep(&|pid, birth| pid != 3 || birth != 30);
        assert!(!kin.holds(30) && kin.holds(20));
        assert!(kin.note(&process(room + 1)));
    }
}
