//! Signals to a child, to its group, to everything that descends from it.

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::tree::{self, Process};

/// Whom a signal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The child alone.
    Child,
    /// The child's process group.
    Group,
    /// The child's process group, and whatever descends from the child and is not in it.
    Tree,
}

impl Target {
    /// The words for it on the command line.
    pub const NAMES: &[&str] = &["child", "group", "tree"];

    /// Returns the target of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "child" => Some(Self::Child),
            "group" => Some(Self::Group),
            "tree" => Some(Self::Tree),
            _ => None,
        }
    }
}

/// Sends a signal to one process, if it is still the one that is meant. Returns whether it was sent.
pub fn signal_process(process: &Process, signal: Signal) -> bool {
    let Some(pid) = Pid::from_raw(process.pid) else { return false };
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
        // What the descriptor is open on cannot change; so the birth is looked at once it is open.
        if let Ok(open) = pidfd_open(pid, PidfdFlags::empty()) {
            return is_same(process) && pidfd_send_signal(open, signal).is_ok();
        }
    }
    is_same(process) && kill_process(pid, signal).is_ok()
}

/// Whether the process of this number is still the one that is meant, as far as the system tells.
fn is_same(process: &Process) -> bool {
    !tree::IS_SEEN || tree::read(process.pid).is_some_and(|now| now.birth == process.birth)
}

/// Sends a signal to every process of a group. Returns whether there was one.
pub fn signal_group(group: i32, signal: Signal) -> bool {
    Pid::from_raw(group).is_some_and(|group| kill_process_group(group, signal).is_ok())
}

/// Sends a signal to everything that descends from `guard` and is not in `group`; returns to how many.
pub fn signal_others(guard: i32, group: i32, signal: Signal) -> usize {
    let others = tree::descendants(guard);
    others.iter().filter(|process| process.group != group && signal_process(process, signal)).count()
}
