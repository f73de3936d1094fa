//! Expands the names a user gave into a list of inputs.
//!
//! A name that cannot be used is a [`Problem`] beside the list, never the end of it: one missing file does
//! not keep a thousand others from being read.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use ignore::overrides::{Override, OverrideBuilder};
use ignore::{WalkBuilder, WalkState};

use super::os_words;

/// The file name endings taken from a directory when no pattern says otherwise.
pub const LOG_ENDINGS: &[&str] = &[".jsonl", ".log", ".txt", ".md", ".json", ".traj"];

/// The endings that may follow one of [`LOG_ENDINGS`].
pub const PACKED_ENDINGS: &[&str] = &[".gz", ".zst"];

/// Says which files of a directory are taken.
#[derive(Clone, Debug, Default)]
pub struct Globs {
    patterns: Vec<String>,
    takes: bool,
}

impl Globs {
    /// Returns the default: the files whose names end as in [`LOG_ENDINGS`], packed or not.
    pub fn logs() -> Self {
        Self::default()
    }

    /// Returns globs for these patterns, written as in a `.gitignore`: a pattern without a slash is matched
    /// against the file name, one with a slash against the path below the directory that was named; `!`
    /// excludes; the last one that matches decides. With exclusions only, they are taken off the default.
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, GlobError> {
        let mut builder = OverrideBuilder::new("");
        let mut takes = false;
        for pattern in patterns {
            let pattern = pattern.as_ref();
            takes |= !pattern.starts_with('!');
            builder
                .add(pattern)
                .map_err(|error| GlobError { pattern: pattern.to_owned(), cause: plain(&error) })?;
        }
        Ok(Self { patterns: patterns.iter().map(|p| p.as_ref().to_owned()).collect(), takes })
    }

    /// Returns the patterns as they were given, none for the default.
    pub fn patterns(&self) -> &[String] {
        &self.patterns
    }

    pub(super) fn below(&self, root: &Path) -> Override {
        let mut builder = OverrideBuilder::new(root);
        for pattern in &self.patterns {
            // `new` accepted each of them; the root has no part in whether a pattern is valid.
            let _ = builder.add(pattern);
        }
        builder.build().unwrap_or_else(|_| Override::empty())
    }

    pub(super) fn takes(&self, name: &OsStr) -> bool {
        self.takes || is_log(name)
    }
}

/// A pattern that is not a valid glob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobError {
    /// The pattern as given.
    pub pattern: String,
    /// What is wrong with it.
    pub cause: String,
}

impl fmt::Display for GlobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "understand the glob `{}`: {}", self.pattern, self.cause)
    }
}

impl std::error::Error for GlobError {}

/// How an input has to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file: read with [`super::file::open`], possibly many at a time.
    File,
    /// A named pipe or another file that may be waited for: read with [`super::stdin::Stdin::open`].
    Stream,
    /// Standard input, named as `-` or `/dev/stdin`: read with [`super::stdin::Stdin::new`].
    Stdin,
}

/// One thing to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The name to open, as given or below the directory as given.
    pub path: PathBuf,
    /// The bytes stored (packed, if it is); 0 for anything but a file.
    pub size: u64,
    /// How it has to be read.
    pub kind: Kind,
}

/// A name that could not be used, or a part of a directory that could not be looked into.
#[derive(Debug)]
pub struct Problem {
    /// The name it is about.
    pub path: PathBuf,
    /// What is wrong with it.
    pub kind: ProblemKind,
}

/// What is wrong with a name.
#[derive(Debug)]
pub enum ProblemKind {
    /// There is nothing of that name.
    Missing,
    /// The operating system refused to look at it.
    Unreadable(io::Error),
    /// It is a directory in which no file matched.
    NoLogs {
        /// Whether globs were given.
        globs: bool,
    },
    /// It is a socket, which cannot be opened as a file.
    Socket,
}

impl Problem {
    /// Returns what the user may do about it.
    pub fn hint(&self) -> Option<String> {
        match &self.kind {
            ProblemKind::Missing => match self.path.ancestors().skip(1).find(|parent| parent.exists()) {
                Some(parent) if parent != Path::new("") && Some(parent) != self.path.parent() => {
                    Some(format!("`{}` is the part of that path that exists", parent.display()))
                }
                _ => similar(&self.path).map(|name| format!("did you mean `{}`?", name.display())),
            },
            ProblemKind::Unreadable(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Some("the user who runs this needs permission to read it".to_owned())
            }
            ProblemKind::Unreadable(_) => None,
            ProblemKind::NoLogs { globs: true } => Some(
                "--glob decides alone: a pattern without a slash is matched against the names of files, one with \
                 a slash against their paths in the directory"
                    .to_owned(),
            ),
            ProblemKind::NoLogs { globs: false } => Some(format!(
                "files ending in {} are taken (also with {}); --glob takes others",
                LOG_ENDINGS.join(" "),
                PACKED_ENDINGS.join(" ")
            )),
            ProblemKind::Socket => {
                Some("connect to it with another program and pipe its output in".to_owned())
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.kind {
            ProblemKind::Missing => write!(f, "find `{path}`: no such file or directory"),
            ProblemKind::Unreadable(error) => write!(f, "look at `{path}`: {}", os_words(error)),
            ProblemKind::NoLogs { .. } => write!(f, "find a log in `{path}`: no file in it matches"),
            ProblemKind::Socket => write!(f, "read `{path}`: it is a socket"),
        }
    }
}

impl std::error::Error for Problem {}

/// What [`walk`] found.
#[derive(Debug, Default)]
pub struct Walk {
    /// The inputs in the order of the names given, what a directory holds sorted by path; each path once.
    pub inputs: Vec<Input>,
    /// What could not be used, in the same order.
    pub problems: Vec<Problem>,
}

impl Walk {
    /// Returns the bytes stored in all inputs together: the whole of which a progress counter is a part.
    pub fn total_bytes(&self) -> u64 {
        self.inputs.iter().map(|input| input.size).sum()
    }
}

/// Expands names into inputs. A file given by name is taken whatever it is called; a directory is walked
/// with everything in it (hidden and ignored files too) but without following symbolic links below it.
/// `threads` is how many look into directories at a time; 0 lets the number of cores decide.
pub fn walk(roots: &[PathBuf], globs: &Globs, threads: usize) -> Walk {
    let mut found = Walk::default();
    for root in roots {
        if is_stdin(root) {
            found.inputs.push(Input { path: root.clone(), size: 0, kind: Kind::Stdin });
            continue;
        }
        let metadata = match fs::metadata(root) {
            Ok(metadata) => metadata,
            Err(error) => {
                found.problems.push(problem(root.clone(), error));
                continue;
            }
        };
        let kind = metadata.file_type();
        if kind.is_dir() {
            let (inputs, problems) = (found.inputs.len(), found.problems.len());
            walk_directory(root, globs, threads, &mut found);
            found.inputs[inputs..].sort_by(|a, b| a.path.cmp(&b.path));
            found.problems[problems..].sort_by(|a, b| a.path.cmp(&b.path));
        } else if kind.is_file() {
            found.inputs.push(Input { path: root.clone(), size: metadata.len(), kind: Kind::File });
        } else if kind.is_socket() && !is_descriptor(root) {
            found.problems.push(Problem { path: root.clone(), kind: ProblemKind::Socket });
        } else {
            found.inputs.push(Input { path: root.clone(), size: 0, kind: Kind::Stream });
        }
    }
    let mut seen = HashSet::new();
    found.inputs.retain(|input| seen.insert(input.path.clone()));
    found
}

fn walk_directory(root: &Path, globs: &Globs, threads: usize, found: &mut Walk) {
    let overrides = globs.below(root);
    let walker = WalkBuilder::new(root)
        .standard_filters(false)
        .follow_links(false)
        .overrides(overrides)
        .threads(threads)
        .build_parallel();
    let (sender, results) = mpsc::channel();
    walker.run(|| {
        let sender = sender.clone();
        Box::new(move |entry| {
            let result = match entry {
                Ok(entry) => {
                    let is_file = entry.file_type().is_some_and(|kind| kind.is_file());
                    if !is_file || !globs.takes(entry.file_name()) {
                        return WalkState::Continue;
                    }
                    match entry.metadata() {
                        Ok(metadata) => {
                            Ok(Input { path: entry.into_path(), size: metadata.len(), kind: Kind::File })
                        }
                        Err(error) => Err(walk_problem(root, error)),
                    }
                }
                Err(error) => Err(walk_problem(root, error)),
            };
            // The receiver outlives the walk, which ends before the next statement.
            let _ = sender.send(result);
            WalkState::Continue
        })
    });
    drop(sender);
    let (inputs, problems) = (found.inputs.len(), found.problems.len());
    for result in results {
        match result {
            Ok(input) => found.inputs.push(input),
            Err(problem) => found.problems.push(problem),
        }
    }
    if found.inputs.len() == inputs && found.problems.len() == problems {
        found
            .problems
            .push(Problem { path: root.to_owned(), kind: ProblemKind::NoLogs { globs: globs.takes } });
    }
}

fn walk_problem(root: &Path, error: ignore::Error) -> Problem {
    let path = error_path(&error).unwrap_or(root).to_owned();
    let words = plain(&error);
    match error.into_io_error() {
        Some(error) => problem(path, error),
        None => Problem { path, kind: ProblemKind::Unreadable(io::Error::other(words)) },
    }
}

fn problem(path: PathBuf, error: io::Error) -> Problem {
    let kind = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ProblemKind::Missing,
        _ => ProblemKind::Unreadable(error),
    };
    Problem { path, kind }
}

fn error_path(error: &ignore::Error) -> Option<&Path> {
    match error {
        ignore::Error::WithPath { path, .. } => Some(path),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => error_path(err),
        ignore::Error::Partial(errors) => errors.iter().find_map(error_path),
        ignore::Error::Loop { child, .. } => Some(child),
        _ => None,
    }
}

/// The words of an error without the path, which the caller names.
fn plain(error: &ignore::Error) -> String {
    match error {
        ignore::Error::WithPath { err, .. }
        | ignore::Error::WithDepth { err, .. }
        | ignore::Error::WithLineNumber { err, .. } => plain(err),
        ignore::Error::Glob { err, .. } => err.clone(),
        other => other.to_string(),
    }
}

fn is_log(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes().to_ascii_lowercase();
    let unpacked =
        PACKED_ENDINGS.iter().find_map(|ending| name.strip_suffix(ending.as_bytes())).unwrap_or(&name);
    LOG_ENDINGS.iter().any(|ending| unpacked.ends_with(ending.as_bytes()))
}

/// Tells whether a file is packed, by its name.
pub(super) fn is_packed(path: &Path) -> bool {
    let name = path.as_os_str().as_encoded_bytes().to_ascii_lowercase();
    PACKED_ENDINGS.iter().any(|ending| name.ends_with(ending.as_bytes()))
}

/// Tells whether a name is that of standard input.
pub fn is_stdin(path: &Path) -> bool {
    ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"].iter().any(|name| path.as_os_str() == *name)
}

/// Shells hand over `<(command)` as such a path; it may be a socket and open all the same.
fn is_descriptor(path: &Path) -> bool {
    path.starts_with("/dev/fd") || path.starts_with("/proc/self/fd")
}

/// The name in the same directory that is nearest to one that does not exist.
fn similar(path: &Path) -> Option<PathBuf> {
    const LOOK_AT: usize = 10_000;
    let name = path.file_name()?.to_str()?;
    let parent = path.parent().unwrap_or(Path::new(""));
    let directory = if parent == Path::new("") { Path::new(".") } else { parent };
    fs::read_dir(directory)
        .ok()?
        .take(LOOK_AT)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .map(|other| (strsim::osa_distance(name, &other), other))
        .filter(|(distance, _)| *distance <= (name.chars().count() / 4).max(1))
        .min()
        .map(|(_, other)| parent.join(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        dir
    }

    fn names(walk: &Walk, root: &Path) -> Vec<String> {
        walk.inputs
            .iter()
            .map(|input| input.path.strip_prefix(root).unwrap().to_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn takes_logs_of_a_directory_hidden_and_ignored_ones_too() {
        let dir = tree(&[
            ".git/HEAD",
            ".gitignore",
            ".hidden/a.jsonl",
            "b/c.log.gz",
            "b/d.rs",
            "e.TRAJ",
            "f.json.zst",
            "g.zst",
        ]);
        fs::write(dir.path().join(".gitignore"), "*.jsonl\n").unwrap();
        let walk = walk(&[dir.path().to_owned()], &Globs::logs(), 2);
        assert_eq!(names(&walk, dir.path()), [".hidden/a.jsonl", "b/c.log.gz", "e.TRAJ", "f.json.zst"]);
        assert!(walk.problems.is_empty());
        assert_eq!(walk.total_bytes(), 15 + 10 + 6 + 10);
    }

    #[test]
    fn patterns_take_and_exclude() {
        let dir = tree(&["a.log", "keep/a.out", "keep/b.out", "drop/c.out", "keep/sub/d.out"]);
        let roots = [dir.path().to_owned()];
        let check = |patterns: &[&str], expected: &[&str]| {
            let walk = walk(&roots, &Globs::new(patterns).unwrap(), 1);
            assert_eq!(names(&walk, dir.path()), expected, "{patterns:?}");
        };
        check(&["*.out"], &["drop/c.out", "keep/a.out", "keep/b.out", "keep/sub/d.out"]);
        check(&["*.out", "!drop/"], &["keep/a.out", "keep/b.out", "keep/sub/d.out"]);
        check(&["keep/*.out", "!b.out"], &["keep/a.out"]);
        check(&["/keep/**", "!sub"], &["keep/a.out", "keep/b.out"]);
        check(&["!*.out"], &["a.log"]);
    }

    #[test]
    fn a_named_file_is_taken_whatever_its_name_and_once() {
        let dir = tree(&["core", "a.log"]);
        let file = dir.path().join("core");
        let log = dir.path().join("a.log");
        let walk = walk(&[file.clone(), log, dir.path().to_owned(), file], &Globs::logs(), 1);
        assert_eq!(names(&walk, dir.path()), ["core", "a.log"], "in the order of the names");
    }

    #[test]
    fn what_cannot_be_used_is_said_and_the_rest_goes_on() {
        let dir = tree(&["a.log", "none/b.rs"]);
        let walk = walk(
            &[
                dir.path().join("a.lgo"),
                dir.path().join("x/y/z"),
                dir.path().join("none"),
                dir.path().join("a.log"),
            ],
            &Globs::logs(),
            1,
        );
        assert_eq!(names(&walk, dir.path()), ["a.log"]);
        let said: Vec<_> = walk
            .problems
            .iter()
            .map(|problem| {
                format!("{problem} / {}", problem.hint().unwrap()).replace(dir.path().to_str().unwrap(), "D")
            })
            .collect();
        assert_eq!(
            said,
            [
                "find `D/a.lgo`: no such file or directory / did you mean `D/a.log`?",
                "find `D/x/y/z`: no such file or directory / `D` is the part of that path that exists",
                "find a log in `D/none`: no file in it matches / files ending in .jsonl .log .txt .md .json \
                 .traj are taken (also with .gz .zst); --glob takes others",
            ]
        );
    }

    #[test]
    fn where_globs_take_nothing_the_hint_does_not_speak_of_the_default() {
        let dir = tree(&["a.log"]);
        let hint = |pattern| {
            let walk = walk(&[dir.path().to_owned()], &Globs::new(&[pattern]).unwrap(), 1);
            walk.problems[0].hint().unwrap()
        };
        assert!(hint("*.xyz").starts_with("--glob decides alone"));
        assert!(hint("!a.log").starts_with("files ending in"), "exclusions are taken off the default");
    }

    #[test]
    fn links_are_followed_when_named_and_not_below() {
        let dir = tree(&["real/a.log"]);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path().join("real"), &link).unwrap();
        assert_eq!(names(&walk(&[dir.path().to_owned()], &Globs::logs(), 1), dir.path()), ["real/a.log"]);
        assert_eq!(names(&walk(&[link], &Globs::logs(), 1), dir.path()), ["link/a.log"]);
    }

    #[test]
    fn streams_are_told_from_files() {
        let kinds: Vec<_> = walk(&["/dev/null".into(), "-".into()], &Globs::logs(), 1)
            .inputs
            .iter()
            .map(|input| input.kind)
            .collect();
        assert_eq!(kinds, [Kind::Stream, Kind::Stdin]);
    }

    #[test]
    fn a_bad_pattern_is_named() {
        let error = Globs::new(&["a[", "b"]).unwrap_err();
        assert_eq!(error.to_string(), "understand the glob `a[`: unclosed character class; missing ']'");
    }
}
