//! Processes as `/proc` tells of them.

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
    fn a_line_that_is_cut_is_no_process() {
        let text = b"7 (sh) S 5 6 7 0 -1 4194304 1 2";
        assert_eq!(parse(7, text), None);
    }
}
