//! What is said when a command cannot do what it was asked to.

use std::fmt;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::exit::Exit;
use crate::settings::{Origin, SettingsError};
use crate::sink::output::is_farewell;
use crate::source::file::{ReadError, ReadErrorKind};
use crate::source::os_words;
use crate::source::walk::{GlobError, Problem};

/// What sort of trouble it is; decides the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The command line is wrong.
    Usage,
    /// An input is damaged.
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
    /// The reader of the output had enough: no failure, and nothing is printed.
    BrokenPipe,
}

impl Kind {
    /// Returns what the program ends with.
    pub const fn exit(self) -> Exit {
        match self {
            Self::Usage => Exit::Usage,
            Self::Data => Exit::Data,
            Self::NoInput => Exit::NoInput,
            Self::Unavailable => Exit::Unavailable,
            Self::Internal => Exit::Internal,
            Self::CannotCreate => Exit::CannotCreate,
            Self::Io => Exit::Io,
            Self::Config => Exit::Config,
            Self::BrokenPipe => Exit::Ok,
        }
    }
}

/// A failure to be told to the user: what failed, why, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CliError {
    /// What sort of trouble it is.
    pub kind: Kind,
    /// A fragment that reads after "failed to", without a full stop.
    pub message: String,
    /// Why, from the nearest cause to the farthest.
    pub causes: Vec<String>,
    /// What the user may do about it.
    pub hints: Vec<String>,
}

impl CliError {
    /// Returns an error with nothing but its message, a fragment that reads after "failed to".
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), causes: Vec::new(), hints: Vec::new() }
    }

    /// Adds a cause of what was said so far.
    #[must_use]
    pub fn cause(mut self, cause: impl fmt::Display) -> Self {
        self.causes.push(cause.to_string());
        self
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Returns the error for a failed write to standard output; a broken pipe is none.
    pub fn output(error: &io::Error) -> Self {
        Self::write_to("write to standard output", error)
    }

    /// Returns the error for a failed write of events to what has this name; a broken pipe is none.
    pub fn events(name: &str, error: &io::Error) -> Self {
        Self::write_to(format!("write events to {name}"), error)
    }

    fn write_to(message: impl Into<String>, error: &io::Error) -> Self {
        if is_farewell(error) {
            return Self::new(Kind::BrokenPipe, message);
        }
        Self::new(Kind::Io, message).cause(os_words(error))
    }

    /// Prints the error to standard error, in colour if [`super::set_color`] and the terminal allow it.
    pub fn print(&self) {
        let _ = self.write("error", AnsiColor::Red, &mut anstream::stderr().lock());
    }

    /// Prints it as a warning: the command goes on without what it is about.
    pub fn print_warning(&self) {
        let _ = self.write("warning", AnsiColor::Yellow, &mut anstream::stderr().lock());
    }

    fn write(&self, label: &str, color: AnsiColor, out: &mut dyn Write) -> io::Result<()> {
        if self.kind == Kind::BrokenPipe {
            return Ok(());
        }
        let style = Style::new().bold().fg_color(Some(color.into()));
        let dim = Style::new().fg_color(Some(AnsiColor::Cyan.into()));
        // In one piece, so that lines of other processes on the same terminal do not come between.
        let mut text = format!("{style}{label}{style:#}: failed to {}\n", self.message);
        for cause in &self.causes {
            text += &format!("  {dim}cause{dim:#}: {}\n", indented(cause));
        }
        for hint in &self.hints {
            text += &format!("  {dim}hint{dim:#}: {}\n", indented(hint));
        }
        out.write_all(text.as_bytes())
    }
}

/// Keeps a text of several lines under its label.
fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n    ")
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CliError {}

impl From<SettingsError> for CliError {
    fn from(error: SettingsError) -> Self {
        let kind = if matches!(error.origin, Origin::Flag(_)) { Kind::Usage } else { Kind::Config };
        Self {
            kind,
            message: error.to_string(),
            causes: vec![error.cause],
            hints: error.hint.into_iter().collect(),
        }
    }
}

impl From<GlobError> for CliError {
    fn from(error: GlobError) -> Self {
        Self::new(Kind::Usage, format!("understand the glob `{}`", error.pattern)).cause(error.cause)
    }
}

impl From<&Problem> for CliError {
    fn from(problem: &Problem) -> Self {
        split(Kind::NoInput, &problem.to_string(), problem.hint())
    }
}

impl From<&ReadError> for CliError {
    fn from(error: &ReadError) -> Self {
        let kind = match error.kind {
            ReadErrorKind::Open(_) | ReadErrorKind::Directory => Kind::NoInput,
            ReadErrorKind::Read(_) => Kind::Io,
            ReadErrorKind::Truncated(_) | ReadErrorKind::Corrupt(..) => Kind::Data,
        };
        split(kind, &error.to_string(), error.hint().map(str::to_owned))
    }
}

/// Makes "open `path`: why" a message and its cause. The path is in backquotes, so a colon in it does not end
/// the message.
fn split(kind: Kind, text: &str, hint: Option<String>) -> CliError {
    let (message, cause) = match text.rfind('`').and_then(|at| Some((at, text[at..].find(": ")?))) {
        Some((at, colon)) => (&text[..at + colon], Some(&text[at + colon + 2..])),
        None => (text, None),
    };
    CliError {
        kind,
        message: message.to_owned(),
        causes: cause.map(str::to_owned).into_iter().collect(),
        hints: hint.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_printed_with_causes_and_hints() {
        let error = CliError::new(Kind::Io, "read `a: b`").cause("one\ntwo").hint("look");
        let mut out = Vec::new();
        error.write("error", AnsiColor::Red, &mut anstream::StripStream::new(&mut out)).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "error: failed to read `a: b`\n  cause: one\n    two\n  hint: look\n"
        );
    }

    #[test]
    fn the_cause_is_told_from_the_path() {
        let error = split(Kind::NoInput, "open `a: b`: no such file", None);
        assert_eq!((error.message.as_str(), error.causes), ("open `a: b`", vec!["no such file".to_owned()]));
        let error = split(Kind::Data, "read `x` to its end: the gzip data is cut off", None);
        assert_eq!(error.message, "read `x` to its end");
    }

    #[test]
    fn a_broken_pipe_is_no_failure() {
        let error = CliError::output(&io::ErrorKind::BrokenPipe.into());
        assert_eq!(error.kind.exit(), Exit::Ok);
        let mut out = Vec::new();
        error.write("error", AnsiColor::Red, &mut out).unwrap();
        assert!(out.is_empty());
    }
}
