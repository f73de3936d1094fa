//! Who descends from whom: looks at the processes of this machine.
//!
//! Works from `/proc` on Linux and through libproc on macOS, without allocating, so that the guard may use it between
//! `fork` and `exec`. Elsewhere nothing is found: there a child and its group is all that is known.
//!
//! A process whose parent is gone is still found. On Linux it comes to the guard, as a child of its own. On macOS it
//! goes to launchd, so what the tree makes is remembered, and by whom it was made (`strays`).

#[cfg(any(target_os = "macos", test))]
mod kin;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
mod strays;

#[cfg(target_os = "linux")]
pub use linux::{age, read, work};
#[cfg(target_os = "macos")]
pub use macos::read;

#[cfg(target_os = "linux")]
use linux::for_each;
#[cfg(target_os = "macos")]
pub(super) use macos::controlling_terminal;
#[cfg(target_os = "macos")]
use macos::for_each;
pub(super) use strays::{Forks, begin, has_strays};

/// What is known of a process. A number alone may be somebody else's a moment later; with the birth it may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// What no other process of this number has: when it began, in clock ticks since the machine did, on Linux; a
    /// number that is never given twice on macOS.
    pub birth: u64,
    /// The birth of the process that made it, whoever its parent is now; 0 where the system does not tell.
    maker: u64,
    /// Whether it has ended and only waits to be noticed.
    pub zombie: bool,
    name: [u8; 16],
}

impl Process {
    /// Returns a process of which nothing is known but its number.
    pub(super) fn unseen(pid: i32) -> Self {
        Self { pid, parent: 0, group: pid, birth: 0, maker: 0, zombie: true, name: [0; 16] }
    }

    /// Returns the name of its program, at most 15 bytes of it.
    pub fn name(&self) -> String {
        let length = self.name.iter().position(|byte| *byte == 0).unwrap_or(self.name.len());
        String::from_utf8_lossy(&self.name[..length]).into_owned()
    }
}

/// What a process has done since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Processor time, in milliseconds.
    pub cpu_ms: u64,
    /// How often a thread of its went to wait for something: it had run before that.
    pub waits: u64,
}

/// Returns what a process has done so far; this system is not asked.
#[cfg(not(target_os = "linux"))]
pub fn work(_: i32) -> Option<Work> {
    None
}

/// Returns how long ago a process began; this system is not asked.
#[cfg(not(target_os = "linux"))]
pub fn age(_: &Process) -> Option<std::time::Duration> {
    None
}

/// Whether this system is asked what processes do.
pub const TELLS_WORK: bool = cfg!(target_os = "linux");

/// Whether the processes of this system can be looked at.
pub(super) const IS_SEEN: bool = cfg!(any(target_os = "linux", target_os = "macos"));

/// How many generations a descent is followed.
const GENERATIONS: usize = 128;

/// Returns the living descendants of a process, itself not among them.
pub fn descendants(ancestor: i32) -> Vec<Process> {
    let mut found = Vec::new();
    for_each_descendant(ancestor, &mut |process| {
        if !process.zombie {
            found.push(*process);
        }
    });
    found
}

/// Shows the descendants of a process. Those that have ended are among them: the threads of one may still run.
pub(super) fn for_each_descendant(ancestor: i32, each: &mut dyn FnMut(&Process)) {
    for_each(&mut |process| {
        if descends(process, ancestor, &strays::is_known, &read) {
            each(process);
        }
    });
}

/// Returns those process groups of which all are young.
pub fn begun_lately(processes: &[Process], is_young: &dyn Fn(&Process) -> bool) -> Vec<Process> {
    let is_young_group = |group| processes.iter().filter(|process| process.group == group).all(is_young);
    processes.iter().filter(|process| is_young_group(process.group)).copied().collect()
}

/// Whether a process descends from another, or from one that is known to be of its tree. `is_known` is asked with
/// births, `read` with numbers.
fn descends(
    process: &Process,
    ancestor: i32,
    is_known: &dyn Fn(u64) -> bool,
    read: &dyn Fn(i32) -> Option<Process>,
) -> bool {
    let mut one = *process;
    for _ in 0..GENERATIONS {
        if one.parent == ancestor || is_known(one.birth) || is_known(one.maker) {
            return true;
        }
        if one.parent <= 1 {
            return false;
        }
        // A parent that is gone by now has left its child to another one: ask the child again.
        one = match read(one.parent) {
            Some(parent) => parent,
            None => match read(one.pid) {
                Some(again) if again.parent != one.parent => again,
                _ => return false,
            },
        };
    }
    false
}

/// Reads about one process; nothing is known of any here.
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub fn read(_: i32) -> Option<Process> {
    None
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn for_each(_: &mut dyn FnMut(&Process)) {}

/// Nothing strays where orphans come to the guard, or where nothing can be seen.
#[cfg(not(target_os = "macos"))]
mod strays {
    use std::ffi::c_int;
    use std::io;

    pub fn begin() -> io::Result<()> {
        Ok(())
    }

    pub fn is_known(_: u64) -> bool {
        false
    }

    pub fn has_strays(_: i32) -> bool {
        false
    }

    pub struct Forks;

    impl Forks {
        pub fn watch(_: i32) -> Self {
            Self
        }

        pub fn fd(&self) -> Option<c_int> {
            None
        }

        pub fn take(&self) {}

        pub fn look(&self) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    fn this_process_is_found_below_its_parent() {
        let me = read(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(descendants(me.parent).iter().any(|process| process.pid == me.pid));
        assert!(!descendants(me.pid).iter().any(|process| process.pid == me.pid));
    }

    /// A process with the birth `pid * 10`, made by the one with the number `maker`.
    fn process(pid: i32, parent: i32, maker: i32) -> Process {
        let birth = |pid: i32| u64::try_from(pid).unwrap() * 10;
        Process { birth: birth(pid), maker: birth(maker), parent, zombie: false, ..Process::unseen(pid) }
    }

    /// Who of these descends from 5, if the births are known.
    fn tree_of_5(processes: &[Process], known: &[u64]) -> Vec<i32> {
        let read = |pid| processes.iter().find(|process| process.pid == pid).copied();
        let is_known = |birth| known.contains(&birth);
        let found = processes.iter().filter(|process| descends(process, 5, &is_known, &read));
        found.map(|process| process.pid).collect()
    }

    #[test]
    fn a_tool_is_the_group_that_was_begun_lately_and_a_server_from_before_is_none() {
        let in_group = |pid, group| Process { group, ..process(pid, 5, 5) };
        let is_young = |process: &Process| process.pid >= 10;
        let lately = |processes: &[Process]| {
            let found = begun_lately(processes, &is_young);
            found.iter().map(|process| process.pid).collect::<Vec<_>>()
        };
        assert_eq!(lately(&[in_group(6, 6), in_group(10, 10), in_group(11, 10)]), [10, 11]);
        assert_eq!(lately(&[in_group(6, 6), in_group(12, 6)]), [0i32; 0], "what a server has started");
    }

    #[test]
    fn those_below_a_parent_are_found_and_others_are_not() {
        let all = [process(5, 1, 1), process(6, 5, 5), process(7, 6, 6), process(8, 1, 1), process(9, 8, 8)];
        assert_eq!(tree_of_5(&all, &[]), [6, 7]);
    }

    #[test]
    fn an_orphan_is_found_by_who_made_it_and_so_are_those_below_it() {
        // 6 has ended; it made 7, which launchd has now, and that made 8.
        let all = [process(5, 1, 1), process(7, 1, 6), process(8, 7, 7), process(9, 1, 1)];
        assert!(tree_of_5(&all, &[]).is_empty());
        assert_eq!(tree_of_5(&all, &[60]), [7, 8]);
    }

    #[test]
    fn an_orphan_that_was_seen_is_found_though_its_maker_is_forgotten() {
        assert_eq!(tree_of_5(&[process(7, 1, 6), process(9, 1, 6)], &[70]), [7]);
    }
}
