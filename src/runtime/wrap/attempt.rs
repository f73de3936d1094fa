//! One life of the child: from its start until nothing of it is left, or what is left is left alone.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::effect::{Launch, NOT_EXECUTABLE, NOT_FOUND, WRAPPER_FAILED};
use super::input::{Input, Post, Stream};
use super::plan::Plan;
use super::relay::{self, Keyboard, Relay, To};
use super::watcher::Feed;
use crate::child::caught::without_signals;
use crate::child::group::{Target, signal_group, signal_others, signal_process};
use crate::child::pty::{self, Pty};
use crate::child::spawn::{self, Child, Command, News, SpawnError, SpawnErrorKind};
use crate::child::tree::{self, Process, Work};
use crate::child::tty::{self, Terminal};
use crate::source::os_words;

/// Where a child reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stdin {
    /// What we were given: a terminal through the pseudo-terminal, anything else the very descriptor.
    #[default]
    Inherit,
    /// Nothing.
    Null,
}

/// What an attempt is made in.
pub struct Surroundings<'s> {
    /// What its streams are.
    pub plan: Plan,
    /// Where it reads.
    pub stdin: Stdin,
    /// Which streams are passed on, and to what.
    pub streams: &'s [(Stream, To)],
    /// Our terminal.
    pub terminal: Option<&'s Terminal>,
    /// Where copies of what it says go.
    pub feed: &'s Feed,
    /// Where news of it go.
    pub post: Post,
}

/// A child and what belongs to it.
#[derive(Debug)]
pub struct Attempt {
    child: Child,
    relays: Vec<Relay>,
    keyboard: Option<Keyboard>,
}

/// Why an attempt could not be made, and the status that says so.
#[derive(Debug)]
pub struct NotMade {
    /// The status to end with.
    pub status: u8,
    /// A fragment that reads after "failed to".
    pub message: String,
}

impl Attempt {
    /// Starts a child.
    ///
    /// # Errors
    /// It cannot be executed, or the system has no room for it.
    pub fn start(launch: &Launch, surroundings: &Surroundings<'_>) -> Result<Self, NotMade> {
        let command = command(launch, surroundings).map_err(|error| no_room(&error))?;
        let mut child =
            spawn::spawn(command, surroundings.terminal).map_err(|error| not_made(launch, &error))?;
        // If this fails, the link is closed with the child, and the guard ends it.
        let (relays, keyboard) =
            Self::around(&mut child, launch, surroundings).map_err(|error| no_room(&error))?;
        Ok(Self { child, relays, keyboard })
    }

    /// Begins to pass on, and to listen to the guard.
    fn around(
        child: &mut Child,
        launch: &Launch,
        around: &Surroundings<'_>,
    ) -> io::Result<(Vec<Relay>, Option<Keyboard>)> {
        // Before anything else can be told of it: it may have ended already.
        around.post.send(Input::Started { pid: child.process.pid });
        around.feed.started(child.process.pid, launch);
        let keyboard = match (&child.pty, around.terminal) {
            (Some(pty), Some(terminal)) => {
                let (keys, pty) = (terminal.fd().try_clone_to_owned()?, pty.try_clone()?);
                Some(Keyboard::start(keys, pty, around.post.clone())?)
            }
            _ => None,
        };
        let mut relays = Vec::new();
        for (stream, to) in around.streams {
            let source = match stream {
                Stream::Stdout => child.stdout.take(),
                Stream::Stderr => child.stderr.take(),
                Stream::Terminal => child.pty.as_ref().map(OwnedFd::try_clone).transpose()?,
            };
            let Some(source) = source else { continue };
            relays.push(Relay::start(source, *to, *stream, around.feed.clone(), around.post.clone())?);
        }
        let terminal = around.terminal.map(|terminal| terminal.fd().try_clone_to_owned()).transpose()?;
        let (mut link, post) = (child.link.try_clone()?, around.post.clone());
        without_signals(|| {
            thread::Builder::new().name("news".to_owned()).spawn(move || {
                while let Some(news) = link.wait() {
                    post.send(match news {
                        News::Ended(exit) => Input::ChildEnded(exit),
                        News::Stopped(signal) => {
                            let foreground = terminal.as_ref().is_some_and(tty::is_foreground);
                            Input::ChildStopped { signal, foreground }
                        }
                        News::Continued => Input::ChildContinued,
                        News::Gone => Input::TreeGone,
                    });
                }
                post.send(Input::GuardLost);
            })
        })?;
        Ok((relays, keyboard))
    }

    /// Returns the child's number, which is that of its process group too.
    pub fn pid(&self) -> i32 {
        self.child.process.pid
    }

    /// Returns the number of the guard.
    pub fn guard(&self) -> i32 {
        self.child.guard.as_raw_nonzero().get()
    }

    /// Sends a signal.
    pub fn signal(&self, number: i32, to: Target) {
        let Some(signal) = Signal::from_named_raw(number) else { return };
        match to {
            Target::Child => {
                signal_process(&self.child.process, signal);
            }
            Target::Group => {
                signal_group(self.pid(), signal);
            }
            Target::Tree => {
                signal_group(self.pid(), signal);
                signal_others(self.guard(), self.pid(), signal);
            }
        }
    }

    /// Types keys, if there is a terminal to type into.
    pub fn type_keys(&self, keys: &str) {
        if let Some(pty) = &self.child.pty {
            let _ = relay::write_keys(pty, keys.as_bytes());
        }
    }

    /// Kills the tool that was begun within this time: what descends from the child, is in a process group of its own, for
    /// agents give one to every tool, and is no older. Servers that were started earlier stay.
    pub fn kill_tool(&self, within: Duration) {
        self.tool(within).iter().for_each(|process| {
            signal_process(process, Signal::KILL);
        });
    }

    /// Returns the processes of the tool that was begun within this time: groups that are no older, or if there are none,
    /// what is no older in a group that is.
    pub fn tool(&self, within: Duration) -> Vec<Process> {
        let mut apart = tree::descendants(self.guard());
        apart.retain(|process| process.group != self.pid());
        // Where the age is not known it may be the tool's.
        let is_young = |process: &Process| tree::age(process).is_none_or(|age| age <= within);
        tree::begun_lately(&apart, &is_young)
    }

    /// Returns what each process of the tree has done so far; `None` if the system does not tell.
    pub fn work(&self) -> Option<Vec<(Process, Work)>> {
        // One that has gone meanwhile is missing, which is a sign of life.
        let work = |process: Process| tree::work(process.pid).map(|work| (process, work));
        tree::TELLS_WORK.then(|| tree::descendants(self.guard()).into_iter().filter_map(work).collect())
    }

    /// Tells whether anything that descends from the child has a process group of its own, as tools have.
    pub fn has_tools(&self) -> bool {
        let is_tool = |process: &tree::Process| !process.zombie && process.group != self.pid();
        tree::descendants(self.guard()).iter().any(is_tool)
    }

    /// Kills what is there of the tree at this moment.
    pub fn kill(&self) {
        self.signal(Signal::KILL.as_raw(), Target::Tree);
    }

    /// Lets the child have the keys, from the foreground of its pseudo-terminal. `share`: our terminal goes on turning
    /// line ends into those of a terminal, so that the pseudo-terminal must not.
    pub fn give_keys(&self, share: bool) {
        if let Some(pty) = self.child.pty.as_ref().filter(|_| !share) {
            pty::set_output_processing(pty, true);
        }
        self.child.link.give_foreground();
        if let Some(keyboard) = &self.keyboard {
            keyboard.set(true);
        }
    }

    /// Keeps the keys from the child.
    pub fn take_keys(&self) {
        if let Some(keyboard) = &self.keyboard {
            keyboard.set(false);
        }
    }

    /// Whether the child has a pseudo-terminal.
    pub fn has_pty(&self) -> bool {
        self.child.pty.is_some()
    }

    /// Makes the pseudo-terminal as large as the terminal; the child is told by the kernel if that is a change.
    pub fn resize(&self, terminal: &Terminal) {
        match (&self.child.pty, terminal.size()) {
            (Some(pty), Some(size)) => {
                let _ = pty::resize(pty, size);
            }
            // It has the terminal itself, and may not be in the group that the kernel tells.
            (None, _) => self.signal(libc::SIGWINCH, Target::Group),
            _ => {}
        }
    }

    /// The child has ended: what it said is passed on to the end.
    pub fn settle(&mut self) {
        self.relays.iter_mut().for_each(Relay::settle);
    }

    /// Returns what there is still of the tree.
    pub fn left_behind(&self) -> Vec<Process> {
        tree::descendants(self.guard())
    }

    /// Lets go of the child. What is left of it is left alone.
    pub fn leave(self) {
        let Self { child, relays, keyboard } = self;
        child.link.leave();
        // On macOS the leader of a session ends only when what is written to its terminal was read, or our end is closed.
        drop((relays, keyboard, child.pty));
        spawn::reap(child.guard);
    }
}

fn command(launch: &Launch, around: &Surroundings<'_>) -> io::Result<Command> {
    let plan = around.plan;
    let pty = if plan.pty {
        let terminal = around.terminal;
        let pty = Pty::open(terminal.map(Terminal::found_modes), terminal.and_then(Terminal::size))?;
        if terminal.is_some() && !plan.foreground {
            // Our terminal stays as it is for now, and turns line ends itself.
            pty::set_output_processing(&pty.slave, false);
        }
        Some(pty)
    } else {
        None
    };
    Ok(Command {
        argv: launch.argv.clone(),
        stdin: match around.stdin {
            Stdin::Null => spawn::Input::Null,
            Stdin::Inherit if plan.stdin_from_pty => spawn::Input::Pty,
            Stdin::Inherit => spawn::Input::Inherit,
        },
        stdout: plan.stdout,
        stderr: plan.stderr,
        pty,
        foreground: plan.foreground,
    })
}

fn not_made(launch: &Launch, error: &SpawnError) -> NotMade {
    let program =
        launch.argv.first().map(|program| program.to_string_lossy().into_owned()).unwrap_or_default();
    let status = match error.kind {
        SpawnErrorKind::NotFound => NOT_FOUND,
        SpawnErrorKind::NotExecutable => NOT_EXECUTABLE,
        SpawnErrorKind::System => WRAPPER_FAILED,
    };
    NotMade { status, message: format!("run `{program}`: {}", os_words(&error.cause)) }
}

fn no_room(error: &io::Error) -> NotMade {
    NotMade { status: WRAPPER_FAILED, message: format!("wrap the command: {}", os_words(error)) }
}

/// Whether two of our descriptors are one terminal.
pub fn same_terminal(one: To, other: To) -> bool {
    tty::is_same(one.fd().as_fd(), other.fd().as_fd())
}
