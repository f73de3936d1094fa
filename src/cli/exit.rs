//! The statuses the program ends with.

use std::process::ExitCode;

use crate::runtime::wrap::effect::{NOT_EXECUTABLE, NOT_FOUND, TIMED_OUT, WRAPPER_FAILED};

/// Why the program ended, as its parent sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Fine: everything was read, whatever was found; or the reader of the output had enough.
    Ok,
    /// An alert at or above the severity of `--fail-on`.
    Alert,
    /// A test of rules failed.
    Failed,
    /// `check-tokens`: the window is fuller than `--warning` says.
    Warning,
    /// `check-tokens`: the window is fuller than `--critical` says. No other reason has this status.
    Critical,
    /// The command line is wrong. Never 2, which scripts take for a verdict.
    Usage,
    /// An input is damaged: what could be read of it was.
    Data,
    /// An input is missing or cannot be opened.
    NoInput,
    /// Something needed is not there.
    Unavailable,
    /// A mistake in this program.
    Internal,
    /// An output cannot be created.
    CannotCreate,
    /// Reading or writing failed in the middle.
    Io,
    /// The settings are wrong.
    Config,
    /// `wrap`: wrapping failed.
    Wrapper,
    /// `wrap`: what the wrapped command ended with, or what stands for how it ended.
    Command(u8),
}

impl Exit {
    /// Every reason that is our own, in the order of the statuses.
    pub const ALL: &[Self] = &[
        Self::Ok,
        Self::Alert,
        Self::Failed,
        Self::Warning,
        Self::Critical,
        Self::Usage,
        Self::Data,
        Self::NoInput,
        Self::Unavailable,
        Self::Internal,
        Self::CannotCreate,
        Self::Io,
        Self::Config,
        Self::Command(TIMED_OUT),
        Self::Wrapper,
        Self::Command(NOT_EXECUTABLE),
        Self::Command(NOT_FOUND),
    ];

    /// Returns the status, as in sysexits(3) from 64 on.
    pub const fn status(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Alert | Self::Failed | Self::Warning => 1,
            Self::Critical => 2,
            Self::Usage => 64,
            Self::Data => 65,
            Self::NoInput => 66,
            Self::Unavailable => 69,
            Self::Internal => 70,
            Self::CannotCreate => 73,
            Self::Io => 74,
            Self::Config => 78,
            Self::Wrapper => WRAPPER_FAILED,
            Self::Command(status) => status,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.status().into()
    }
}
