//! Who descends from whom: looks at the processes of this machine.
//!
//! Works from `/proc`, without allocating, so that the guard may use it between `fork` and `exec`. Elsewhere than on
//! Linux nothing is found: there a child and its group is all that is known.

/// What is known of a process. A number alone may be somebody else's a moment later; with the start time it may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// When it began, in clock ticks since the machine did.
    pub started: u64,
    /// Whether it has ended and only waits to be noticed.
    pub zombie: bool,
    name: [u8; 16],
}

impl Process {
    /// Returns a process of which nothing is known but its number.
    pub(super) fn unseen(pid: i32) -> Self {
        Self { pid, parent: 0, group: pid, started: 0, zombie: true, name: [0; 16] }
    }

    /// Returns the name of its program, at most 15 bytes of it.
    pub fn name(&self) -> String {
        let length = self.name.iter().position(|byte| *byte == 0).unwrap_or(self.name.len());
        String::from_utf8_lossy(&self.name[..length]).into_owned()
    }
}

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
        if descends(process, ancestor) {
            each(process);
        }
    });
}

fn descends(process: &Process, ancestor: i32) -> bool {
    let mut one = *process;
    for _ in 0..GENERATIONS {
        if one.parent == ancestor {
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

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::CStr;
    use std::io::Write;
    use std::mem::MaybeUninit;

    use rustix::fs::{CWD, Mode, OFlags, RawDir, openat};

    use super::Process;

    /// Reads about one process; `None` if there is none of this number.
    pub fn read(pid: i32) -> Option<Process> {
        let mut path = [0; 32];
        write!(&mut path[..31], "/proc/{pid}/stat").ok()?;
        let path = CStr::from_bytes_until_nul(&path).ok()?;
        let file = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let mut text = [0; 1024];
        let length = rustix::io::read(&file, &mut text).ok()?;
        parse(pid, &text[..length])
    }

    /// `pid (name) state ppid pgrp session … starttime …`; the name may hold anything, so it ends at the last `)`.
    pub(super) fn parse(pid: i32, text: &[u8]) -> Option<Process> {
        let open = text.iter().position(|byte| *byte == b'(')?;
        let close = text.iter().rposition(|byte| *byte == b')')?;
        let mut name = [0; 16];
        let shown = text.get(open + 1..close)?;
        let length = shown.len().min(15);
        name[..length].copy_from_slice(&shown[..length]);
        let mut fields = text.get(close + 2..)?.split(|byte| *byte == b' ');
        let state = *fields.next()?.first()?;
        let mut number = |skip: usize| std::str::from_utf8(fields.nth(skip)?).ok()?.parse::<u64>().ok();
        let parent = i32::try_from(number(0)?).ok()?;
        let group = i32::try_from(number(0)?).ok()?;
        // The start is field 22, the group was field 5.
        let started = number(16)?;
        Some(Process { pid, parent, group, started, zombie: matches!(state, b'Z' | b'X'), name })
    }

    pub fn for_each(each: &mut dyn FnMut(&Process)) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(folder) = openat(CWD, c"/proc", flags, Mode::empty()) else { return };
        let mut buffer = [MaybeUninit::uninit(); 8192];
        let mut entries = RawDir::new(&folder, &mut buffer);
        while let Some(Ok(entry)) = entries.next() {
            let name = std::str::from_utf8(entry.file_name().to_bytes()).unwrap_or_default();
            if let Some(process) = name.parse().ok().and_then(read) {
                each(&process);
            }
        }
    }
}

#[cfg(target_os = "linux")]
pub use linux::read;

#[cfg(target_os = "linux")]
use linux::for_each;

/// Reads about one process; nothing is known of any here.
#[cfg(not(target_os = "linux"))]
pub fn read(_: i32) -> Option<Process> {
    None
}

#[cfg(not(target_os = "linux"))]
fn for_each(_: &mut dyn FnMut(&Process)) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_looks_like_the_rest_of_the_line_is_a_name() {
        let text = b"7 (a) R 1 (b) S 5 6 7 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 12345 99 1\n";
        let process = linux::parse(7, text).unwrap();
        assert_eq!((process.parent, process.group, process.started), (5, 6, 12345));
        assert_eq!(process.name(), "a) R 1 (b");
        assert!(!process.zombie);
    }

    #[test]
    fn a_line_that_is_cut_is_no_process() {
        let text = b"7 (sh) S 5 6 7 0 -1 4194304 1 2";
        assert_eq!(linux::parse(7, text), None);
    }

    #[test]
    fn this_process_is_found_below_its_parent() {
        let me = read(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(descendants(me.parent).iter().any(|process| process.pid == me.pid));
        assert!(!descendants(me.pid).iter().any(|process| process.pid == me.pid));
    }
}
