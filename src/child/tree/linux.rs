//! Processes as `/proc` tells of them.

use std::ffi::CStr;
use std::io::Write;
use std::mem::MaybeUninit;
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, RawDir, openat};

use super::{Process, Work};

/// Reads about one process; `None` if there is none of this number.
pub fn read(pid: i32) -> Option<Process> {
    let mut text = [0; 1024];
    parse(pid, look(pid, "stat", &mut text)?)
}

fn look<'t>(pid: i32, file: &str, text: &'t mut [u8; 1024]) -> Option<&'t [u8]> {
    let mut path = [0; 32];
    write!(&mut path[..31], "/proc/{pid}/{file}").ok()?;
    let path = CStr::from_bytes_until_nul(&path).ok()?;
    let file = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let length = rustix::io::read(&file, &mut text[..]).ok()?;
    Some(&text[..length])
}

/// Returns what a process has done so far; `None` if there is none of this number, or it is not told.
pub fn work(pid: i32) -> Option<Work> {
    let mut text = [0; 1024];
    let ticks = parse_ticks(look(pid, "stat", &mut text)?)?;
    let cpu_ms = ticks.saturating_mul(1000) / rustix::param::clock_ticks_per_second().max(1);
    let mut waits = 0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        // One that has ended meanwhile was a sign of life.
        let Ok(status) = std::fs::read_to_string(thread.ok()?.path().join("status")) else { continue };
        waits += parse_waits(&status)?;
    }
    Some(Work { cpu_ms, waits })
}

/// Returns how long ago a process began.
pub fn age(process: &Process) -> Option<Duration> {
    let began = Duration::from_millis(
        process.birth.saturating_mul(1000) / rustix::param::clock_ticks_per_second().max(1),
    );
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Some(Duration::try_from(now).ok()?.saturating_sub(began))
}

/// The time in user and in system mode, fields 14 and 15: 13 in front of them, of which the name's end hides two.
fn parse_ticks(text: &[u8]) -> Option<u64> {
    let close = text.iter().rposition(|byte| *byte == b')')?;
    let mut fields = text.get(close + 2..)?.split(|byte| *byte == b' ').skip(11);
    let mut number = || std::str::from_utf8(fields.next()?).ok()?.parse::<u64>().ok();
    Some(number()? + number()?)
}

/// `voluntary_ctxt_switches: 1`: how often a thread went to wait for something.
fn parse_waits(status: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse().ok())
}

/// `pid (name) state ppid pgrp session … starttime …`; the name may hold anything, so it ends at the last `)`.
fn parse(pid: i32, text: &[u8]) -> Option<Process> {
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
    let birth = number(16)?;
    let zombie = matches!(state, b'Z' | b'X');
    Some(Process { pid, parent, group, birth, maker: 0, zombie, name })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_looks_like_the_rest_of_the_line_is_a_name() {
        let text = b"7 (a) R 1 (b) S 5 6 7 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 12345 99 1\n";
        let process = parse(7, text).unwrap();
        assert_eq!((process.parent, process.group, process.birth), (5, 6, 12345));
        assert_eq!(process.name(), "a) R 1 (b");
        assert!(!process.zombie);
    }

    #[test]
    fn work_is_the_time_in_both_modes_and_how_often_a_thread_waited_anew() {
        let text = b"7 (a) R 1 (b) S 5 6 7 0 -1 4194304 1 2 3 4 50 6 7 8 20 0 1 0 12345 99 1\n";
        assert_eq!(parse_ticks(text), Some(56));
        assert_eq!(
            parse_waits("Threads:\t1\nvoluntary_ctxt_switches:\t15\nnonvoluntary_ctxt_switches:\t3\n"),
            Some(15)
        );
    }

    #[test]
    fn a_process_is_as_old_as_it_is() {
        let me = read(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(age(&me).unwrap() < Duration::from_secs(3600));
        let first = age(&read(1).unwrap()).unwrap();
        assert!(first > Duration::ZERO && first >= age(&me).unwrap());
    }

    #[test]
    fn a_line_that_is_cut_is_no_process() {
        let text = b"7 (sh) S 5 6 7 0 -1 4194304 1 2";
        assert_eq!(parse(7, text), None);
    }
}
