//! Which of the child's streams is what: decided once, from what ours are.

use crate::child::spawn::Output;
use crate::runtime::wrap::input::Stream;
use crate::runtime::wrap::relay::To;

/// When the child gets a pseudo-terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PtyMode {
    /// Where it would have written to a terminal.
    #[default]
    Auto,
    /// In any case.
    Always,
    /// Never.
    Never,
}

impl PtyMode {
    /// The words for it on the command line.
    pub const NAMES: &[&str] = &["auto", "always", "never"];

    /// Returns the mode of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "auto" => Some(Self::Auto),
            "always" => Some(Self::Always),
            "never" => Some(Self::Never),
            _ => None,
        }
    }
}

/// What our own streams are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ours {
    /// Standard input is a terminal.
    pub stdin: bool,
    /// What the child's standard output goes to is a terminal.
    pub stdout: bool,
    /// What its standard error goes to is a terminal, and the same one if that of the output is.
    pub stderr: bool,
    /// We were given no standard output, or no standard error.
    pub closed: [bool; 2],
}

/// What the child's streams are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Whether there is a pseudo-terminal.
    pub pty: bool,
    /// Whether the child reads from it.
    pub stdin_from_pty: bool,
    /// Its standard output.
    pub stdout: Output,
    /// Its standard error.
    pub stderr: Output,
    /// Whether it has the keyboard from the start. In a pipeline another program may want it; the child gets it when
    /// it asks.
    pub foreground: bool,
}

impl Plan {
    /// Makes the plan.
    pub fn new(mode: PtyMode, ours: Ours, null_stdin: bool) -> Self {
        let always = mode == PtyMode::Always;
        let pty = match mode {
            PtyMode::Never => false,
            PtyMode::Always => true,
            PtyMode::Auto => ours.stdout || ours.stderr,
        };
        let output = |is_terminal: bool, is_closed: bool| match (pty && (is_terminal || always), is_closed) {
            (true, _) => Output::Pty,
            (false, true) => Output::Inherit,
            (false, false) => Output::Pipe,
        };
        let stdin_from_pty = pty && ours.stdin && !null_stdin;
        Self {
            pty,
            stdin_from_pty,
            stdout: output(ours.stdout, ours.closed[0]),
            stderr: output(ours.stderr, ours.closed[1]),
            foreground: pty && ((stdin_from_pty && ours.stdout) || (always && !ours.stdout && !ours.stderr)),
        }
    }

    /// Whether the next program of a pipeline may write to our terminal while the child has its keys.
    pub fn shares_screen(&self) -> bool {
        self.pty && self.stdout != Output::Pty
    }

    /// Returns the streams that are passed on, the agent's own first, and where each goes. `moved`: the output of the
    /// child goes to standard error.
    pub fn streams(&self, moved: bool) -> Vec<(Stream, To)> {
        let output_to = if moved { To::Stderr } else { To::Stdout };
        let pty = self.pty.then(|| {
            let to = if self.stdout == Output::Pty { output_to } else { To::Stderr };
            (Stream::Terminal, to)
        });
        let stdout = (self.stdout == Output::Pipe).then_some((Stream::Stdout, output_to));
        let stderr = (self.stderr == Output::Pipe).then_some((Stream::Stderr, To::Stderr));
        // Where standard output is redirected, the terminal has what goes to standard error.
        [stdout, pty, stderr].into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(mode: PtyMode, terminals: &str) -> Plan {
        let ours = Ours {
            stdin: terminals.contains('0'),
            stdout: terminals.contains('1'),
            stderr: terminals.contains('2'),
            closed: [false; 2],
        };
        Plan::new(mode, ours, false)
    }

    #[test]
    fn on_a_terminal_the_child_has_one_and_its_keys() {
        let plan = plan(PtyMode::Auto, "012");
        assert!(plan.pty && plan.stdin_from_pty && plan.foreground);
        assert_eq!(plan.streams(false), [(Stream::Terminal, To::Stdout)]);
    }

    #[test]
    fn without_a_terminal_there_are_two_pipes() {
        for terminals in ["", "0"] {
            let plan = plan(PtyMode::Auto, terminals);
            assert!(!plan.pty && !plan.stdin_from_pty && !plan.foreground);
            assert_eq!(plan.streams(false), [(Stream::Stdout, To::Stdout), (Stream::Stderr, To::Stderr)]);
            assert_eq!(plan.streams(true), [(Stream::Stdout, To::Stderr), (Stream::Stderr, To::Stderr)]);
        }
    }

    #[test]
    fn in_a_pipeline_each_stream_is_what_it_would_be() {
        let redirected = plan(PtyMode::Auto, "02");
        assert_eq!((redirected.stdout, redirected.stderr), (Output::Pipe, Output::Pty));
        assert!(redirected.stdin_from_pty && !redirected.foreground, "others may read the terminal");
        assert_eq!(redirected.streams(false), [(Stream::Stdout, To::Stdout), (Stream::Terminal, To::Stderr)]);

        let fed = plan(PtyMode::Auto, "12");
        assert!(fed.pty && !fed.stdin_from_pty && !fed.foreground);
        assert_eq!(fed.streams(false), [(Stream::Terminal, To::Stdout)]);

        let logged = plan(PtyMode::Auto, "01");
        assert_eq!((logged.stdout, logged.stderr), (Output::Pty, Output::Pipe));
        assert_eq!(logged.streams(false), [(Stream::Terminal, To::Stdout), (Stream::Stderr, To::Stderr)]);
    }

    #[test]
    fn a_pseudo_terminal_can_be_had_and_refused_anywhere() {
        let always = plan(PtyMode::Always, "");
        assert!(always.pty && always.foreground && !always.stdin_from_pty);
        assert_eq!(always.streams(false), [(Stream::Terminal, To::Stdout)]);
        assert_eq!(plan(PtyMode::Never, "012").streams(false).len(), 2);
    }

    #[test]
    fn what_we_were_not_given_the_child_is_not_given() {
        let ours = Ours { closed: [true, false], ..Ours::default() };
        let plan = Plan::new(PtyMode::Auto, ours, false);
        assert_eq!(plan.stdout, Output::Inherit);
        assert_eq!(plan.streams(false), [(Stream::Stderr, To::Stderr)]);
    }
}
