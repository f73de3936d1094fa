//! What `tap --follow` refuses, and how it tells what is in the way.

use super::args::TapArgs;
use super::{CliError, Kind};
use crate::source::follow::{MAX_FILES, Trouble};
use crate::source::os_words;
use crate::source::walk::{Problem, ProblemKind, is_stdin};

/// Refuses what cannot be followed.
///
/// # Errors
/// Standard input is named, no name is given, or the input would have to be passed on.
pub fn check(args: &TapArgs) -> Result<(), CliError> {
    if !args.follow {
        return Ok(());
    }
    if args.pass_through {
        return Err(CliError::new(Kind::Usage, "pass on what is followed")
            .cause("--pass-through is for one stream; --follow reads files side by side")
            .hint("the files stay as they are: leave out --pass-through, or tail -F FILE | session-doctor tap --pass-through"));
    }
    if args.inputs.is_empty() {
        return Err(CliError::new(Kind::Usage, "find something to follow")
            .cause("--follow needs the name of a file or directory")
            .hint("session-doctor tap --follow ~/.claude/projects"));
    }
    if args.inputs.iter().any(|path| is_stdin(path)) {
        return Err(CliError::new(Kind::Usage, "follow standard input")
            .cause("it has no name that could be followed")
            .hint("it is read live as it is: leave out --follow"));
    }
    Ok(())
}

/// Returns how trouble is told, and whether it is no more than a warning.
pub fn told(trouble: &Trouble) -> (CliError, bool) {
    let problem = |path: &std::path::PathBuf, kind| {
        let problem = Problem { path: path.clone(), kind };
        let mut error = CliError::from(&problem);
        error.hints.clear();
        (error, problem.hint())
    };
    match trouble {
        Trouble::Missing(path) => {
            let (mut error, hint) = problem(path, ProblemKind::Missing);
            error.hints.extend(hint);
            (error.hint("it is waited for"), true)
        }
        Trouble::NoLogs(path) => {
            let (error, _) = problem(path, ProblemKind::NoLogs { globs: false });
            (error.hint("new ones are waited for"), true)
        }
        Trouble::NotAFile(path) => (
            CliError::new(Kind::NoInput, format!("follow `{}`", path.display()))
                .cause("it is neither a file nor a directory")
                .hint("a named pipe is read live as it is: leave out --follow"),
            false,
        ),
        Trouble::Unreadable(error) => (CliError::from(error), false),
        Trouble::TooMany(path) => (
            CliError::new(Kind::Unavailable, format!("follow `{}`", path.display()))
                .cause(format!("{MAX_FILES} files are followed already, and this one is not the last"))
                .hint("name fewer directories, or choose files with --glob"),
            false,
        ),
        Trouble::Untold(error) => (
            CliError::new(Kind::Unavailable, "be told of all changes by the system")
                .cause(os_words(error))
                .hint("every file is looked at every 2 seconds instead")
                .hint("on Linux, fs.inotify.max_user_watches and max_user_instances set how much may be watched"),
            true,
        ),
    }
}
