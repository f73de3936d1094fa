//! Finds orphans where they go to launchd: every process that one of the tree makes is noted as it is made, by the
//! guard, which hears of it (kqueue). The kernel remembers of every process which one made it, so that one whose parents
//! are gone is known by them. A process that is made and ends before the guard has looked takes that with it: what it
//! made in turn is not found, unless it is in the child's process group.

use std::ffi::c_int;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::{io, ptr};

use super::kin::Kin;
use super::macos::{for_each_child, read};
use super::{GENERATIONS, Process, for_each_descendant};

/// What was seen of the tree that is watched now; shared with its guard.
static KIN: AtomicPtr<Kin> = AtomicPtr::new(ptr::null_mut());

fn kin() -> Option<&'static Kin> {
    // SAFETY: null, or memory that is mapped for as long as the process lives.
    unsafe { KIN.load(Ordering::Acquire).as_ref() }
}

/// Begins with a new tree. To be called before its guard is made, and when the last one is gone.
pub fn begin() -> io::Result<()> {
    if let Some(kin) = kin() {
        kin.keep(&|_, _| false);
        return Ok(());
    }
    // SAFETY: new memory of this size, all zero, which is a valid value, and aligned to a page. Both processes use it
    // through atomics alone.
    let memory = unsafe {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANON;
        libc::mmap(ptr::null_mut(), size_of::<Kin>(), access, flags, -1, 0)
    };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    KIN.store(memory.cast(), Ordering::Release);
    Ok(())
}

/// Whether a process of this birth was seen in the tree.
pub fn is_known(birth: u64) -> bool {
    kin().is_some_and(|kin| kin.holds(birth))
}

/// Whether something of the tree still runs that is no child of the guard.
pub fn has_strays(guard: i32) -> bool {
    let mut found = false;
    for_each_descendant(guard, &mut |process| found |= !process.zombie);
    found
}

/// How much is taken of the queue at a time.
const EVENTS: usize = 64;

/// Tells when a process of the tree makes another one.
pub struct Forks {
    queue: c_int,
    guard: i32,
}

impl Forks {
    /// Begins to watch, from the guard, what this child makes.
    pub fn watch(child: i32) -> Self {
        // SAFETY: makes a descriptor, which children do not inherit.
        let forks = unsafe { Self { queue: libc::kqueue(), guard: libc::getpid() } };
        if let Some(child) = read(child) {
            forks.adopt(&child, 0);
        }
        forks
    }

    /// Returns what becomes readable when something was made.
    pub fn fd(&self) -> Option<c_int> {
        (self.queue >= 0).then_some(self.queue)
    }

    /// Takes in what was made.
    pub fn take(&self) {
        let Some(queue) = self.fd() else { return };
        loop {
            let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            // SAFETY: the buffer is as long as said; zeros are valid values of these structs.
            let (events, count) = unsafe {
                let mut events: [libc::kevent; EVENTS] = std::mem::zeroed();
                let (room, into) = (EVENTS as c_int, events.as_mut_ptr());
                let count = libc::kevent(queue, ptr::null(), 0, into, room, &raw const at_once);
                (events, usize::try_from(count).unwrap_or(0))
            };
            for event in &events[..count] {
                let (maker, what) = (event.ident, event.fflags);
                if what & libc::NOTE_FORK != 0 {
                    self.adopt_children(maker as i32, 0);
                }
            }
            if count < EVENTS {
                return;
            }
        }
    }

    /// Takes in all that can be seen of the tree.
    pub fn look(&self) {
        for_each_descendant(self.guard, &mut |process| self.adopt(process, 0));
    }

    fn adopt(&self, process: &Process, generation: usize) {
        let Some(kin) = kin() else { return };
        if kin.is_crowded() {
            // Who was made by one that has ended is to be known by itself before that one is forgotten.
            for_each_descendant(self.guard, &mut |process| {
                kin.note(process);
            });
            kin.keep(&|pid, birth| read(pid).is_some_and(|now| now.birth == birth));
        }
        if kin.note(process) {
            self.hear_of(process.pid);
            // It may have begun before it was listened to.
            self.adopt_children(process.pid, generation + 1);
        }
    }

    fn adopt_children(&self, maker: i32, generation: usize) {
        if generation < GENERATIONS {
            for_each_child(maker, &mut |process| self.adopt(process, generation));
        }
    }

    fn hear_of(&self, pid: i32) {
        let Some(queue) = self.fd() else { return };
        let wanted = libc::kevent {
            ident: pid as usize,
            filter: libc::EVFILT_PROC,
            flags: libc::EV_ADD | libc::EV_CLEAR,
            fflags: libc::NOTE_FORK,
            data: 0,
            udata: ptr::null_mut(),
        };
        // SAFETY: one change, and no room for events. One that has ended by now cannot be listened to, which is well.
        unsafe { libc::kevent(queue, &raw const wanted, 1, ptr::null_mut(), 0, ptr::null()) };
    }
}
