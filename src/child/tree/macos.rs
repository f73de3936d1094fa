//! Processes as libproc tells of them. Its functions are system calls and nothing else.

use std::ffi::c_int;
use std::mem::{MaybeUninit, size_of, size_of_val};

use super::Process;

/// How many processes are looked at. macOS lets a machine have fewer.
const MOST: usize = 16 * 1024;

/// How many children of one process are looked at.
const MOST_CHILDREN: usize = 512;

// What libc does not have of `sys/proc_info.h`.
const PROC_ALL_PIDS: u32 = 1;
const PROC_PPID_ONLY: u32 = 6;
const PROC_PIDUNIQIDENTIFIERINFO: c_int = 17;

/// `struct proc_uniqidentifierinfo`: numbers that the kernel gives once between two starts of the machine.
#[repr(C)]
struct Identifiers {
    uuid: [u8; 16],
    own: u64,
    /// That of the process that made it, whatever became of that one.
    maker: u64,
    reserved: [u64; 3],
}

/// What `proc_pidinfo` fills in: plain numbers, of which every bit pattern is valid.
trait Facts {
    const KIND: c_int;
}

impl Facts for Identifiers {
    const KIND: c_int = PROC_PIDUNIQIDENTIFIERINFO;
}

// Unlike the long form, this is told of processes of other users too.
impl Facts for libc::proc_bsdshortinfo {
    const KIND: c_int = libc::PROC_PIDT_SHORTBSDINFO;
}

impl Facts for libc::proc_bsdinfo {
    const KIND: c_int = libc::PROC_PIDTBSDINFO;
}

fn facts<T: Facts>(pid: i32) -> Option<T> {
    // With this argument processes that have ended and were not noticed yet are told of as well.
    const ENDED_TOO: u64 = 1;
    let size = c_int::try_from(size_of::<T>()).ok()?;
    let mut facts = MaybeUninit::<T>::zeroed();
    // SAFETY: the buffer is as long as said, and of a type of plain numbers, for which zeros are valid too.
    unsafe {
        let filled = libc::proc_pidinfo(pid, T::KIND, ENDED_TOO, facts.as_mut_ptr().cast(), size);
        (filled == size).then(|| facts.assume_init())
    }
}

/// Reads about one process; `None` if there is none of this number.
pub fn read(pid: i32) -> Option<Process> {
    let identifiers: Identifiers = facts(pid)?;
    let facts: libc::proc_bsdshortinfo = facts(pid)?;
    let mut name = [0; 16];
    for (to, from) in name.iter_mut().zip(&facts.pbsi_comm[..15]) {
        *to = from.cast_unsigned();
    }
    Some(Process {
        pid,
        parent: facts.pbsi_ppid.cast_signed(),
        group: facts.pbsi_pgid.cast_signed(),
        birth: identifiers.own,
        maker: identifiers.maker,
        zombie: facts.pbsi_status == libc::SZOMB,
        name,
    })
}

pub fn for_each(each: &mut dyn FnMut(&Process)) {
    show(PROC_ALL_PIDS, 0, &mut [0; MOST], each);
}

/// Shows the children of a process.
pub(super) fn for_each_child(parent: i32, each: &mut dyn FnMut(&Process)) {
    show(PROC_PPID_ONLY, parent.cast_unsigned(), &mut [0; MOST_CHILDREN], each);
}

fn show(which: u32, of: u32, pids: &mut [i32], each: &mut dyn FnMut(&Process)) {
    let Ok(size) = c_int::try_from(size_of_val(pids)) else { return };
    // SAFETY: the buffer is as long as said.
    let filled = unsafe { libc::proc_listpids(which, of, pids.as_mut_ptr().cast(), size) };
    let count = usize::try_from(filled).unwrap_or(0) / size_of::<i32>();
    for process in pids.iter().take(count).filter(|pid| **pid > 0).filter_map(|pid| read(*pid)) {
        each(&process);
    }
}

/// Returns the device of this process's controlling terminal.
pub(in crate::child) fn controlling_terminal() -> Option<libc::dev_t> {
    // SAFETY: has no conditions.
    let me = unsafe { libc::getpid() };
    let device = facts::<libc::proc_bsdinfo>(me)?.e_tdev.cast_signed();
    // NODEV.
    (device != -1).then_some(device)
}
