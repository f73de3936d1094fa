//! Where agents write what they do: the second source beside their output.
//!
//! Nothing is read here. [`Search`] says what to look at; the caller lists folders, reads first lines, and asks.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// What the place of a transcript depends on.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The home directory.
    pub home: Option<&'a Path>,
    /// The working directory of the agent, symbolic links resolved.
    pub cwd: &'a Path,
    /// The environment that the agent gets.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}

impl Surroundings<'_> {
    /// Returns the directory that a variable names, or one below the home directory. Empty variables count as unset.
    pub(super) fn directory(&self, variable: &str, below_home: &str) -> Option<PathBuf> {
        let named = (self.variable)(variable).filter(|value| !value.is_empty());
        match named {
            Some(value) => Some(self.cwd.join(value)),
            None => Some(self.home?.join(below_home)),
        }
    }

    /// Returns the agent's working directory, if it was told to use another one.
    pub(super) fn cwd_of(&self, directory: Option<&str>) -> PathBuf {
        directory.map_or_else(|| self.cwd.to_owned(), |directory| self.cwd.join(directory))
    }
}

/// Where a transcript is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transcript {
    /// It is, or will be, this file.
    File(PathBuf),
    /// It is the newest file that this search finds, changed since the agent was started.
    Search(Search),
    /// It is the newest file that fits this pattern (`*` and `?` within a name, `**` across folders), changed since
    /// the agent was started.
    Pattern(String),
}

/// How to find a transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// Where to look.
    pub directory: PathBuf,
    /// How many levels of folders below it.
    pub depth: usize,
    /// The name of the folder that holds the file, if it must have one.
    pub folder: Option<&'static str>,
    /// How the file's name begins.
    pub prefix: String,
    /// How it may end.
    pub suffixes: Vec<String>,
    /// How to tell that a file is of our working directory.
    pub owner: Owner,
}

/// How to tell whose a transcript is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Whatever the search finds is ours: the folder or the name says so.
    Found,
    /// The first line is a JSON object that names the working directory at this JSON pointer.
    FirstLine {
        /// The pointer.
        pointer: &'static str,
        /// What must stand there.
        cwd: PathBuf,
    },
    /// A file beside the transcript's folder holds the working directory.
    Marker {
        /// Its name.
        name: &'static str,
        /// What must stand in it.
        cwd: PathBuf,
    },
}

impl Search {
    /// Tells whether a file, by its path below [`Self::directory`], may be the one.
    pub fn wants(&self, relative: &Path) -> bool {
        let Some(name) = relative.file_name().and_then(OsStr::to_str) else { return false };
        let folders = relative.components().count().saturating_sub(1);
        let folder = relative.parent().and_then(Path::file_name).and_then(OsStr::to_str);
        folders <= self.depth
            && self.folder.is_none_or(|wanted| folder == Some(wanted))
            && name.starts_with(&self.prefix)
            && self.suffixes.iter().any(|suffix| name.ends_with(suffix))
    }

    /// Tells, from the first line of a file, whether it is of our working directory; `true` where that is no matter
    /// of the first line.
    pub fn first_line_is_ours(&self, line: &str) -> bool {
        let Owner::FirstLine { pointer, cwd } = &self.owner else { return true };
        let value: Option<serde_json::Value> = serde_json::from_str(line).ok();
        let named = value.as_ref().and_then(|value| value.pointer(pointer)).and_then(|value| value.as_str());
        named.is_some_and(|named| Path::new(named) == cwd)
    }

    /// Returns the file beside a transcript's folder that says whose it is, and what it must hold.
    pub fn marker(&self, transcript: &Path) -> Option<(PathBuf, &Path)> {
        let Owner::Marker { name, cwd } = &self.owner else { return None };
        Some((transcript.parent()?.parent()?.join(name), cwd))
    }
}

/// A path with everything but ASCII letters and digits as `-`, the way several agents name the folders of projects.
/// JavaScript counts in UTF-16, so a character beyond the basic plane becomes two.
pub(super) fn dashed(path: &Path) -> String {
    let text = path.to_string_lossy();
    text.encode_utf16()
        .map(|unit| u8::try_from(unit).ok().filter(u8::is_ascii_alphanumeric).map_or('-', char::from))
        .collect()
}

impl Transcript {
    /// The newest file with this ending in a folder that is ours alone.
    pub(super) fn newest_in(directory: PathBuf, suffix: &str) -> Self {
        Self::Search(Search {
            directory,
            depth: 0,
            folder: None,
            prefix: String::new(),
            suffixes: vec![suffix.to_owned()],
            owner: Owner::Found,
        })
    }
}
