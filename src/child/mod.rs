//! The wrapped process: how it is started, watched, signalled and ended with all it started.
//!
//! Between this program and the child stands a small guard process (`guard.rs`). It is the child's parent, gets
//! everything that the child leaves behind, and ends all of it if this program vanishes.
//!
//! Nothing here knows what a child says or what is to be done about it. The only place of the program where `unsafe`
//! may stand: making processes and catching signals has no safe form.

#![allow(unsafe_code)]

pub mod inherited;

pub mod tree;

pub mod group;

pub mod pty;
pub mod tty;

mod guard;
pub mod spawn;

pub mod caught;

/// What became of a process, as `wait` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It ended with this status, 0 to 255.
    Status(u8),
    /// A signal of this number ended it.
    Signal(i32),
}

impl Exit {
    /// Reads the status word of `wait`, of a process that ended.
    fn from_wait(status: i32) -> Self {
        if libc::WIFEXITED(status) {
            Self::Status(u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(u8::MAX))
        } else {
            Self::Signal(libc::WTERMSIG(status))
        }
    }
}
