//! A run that waits, stored so that it can be taken up when we are gone: `wrap --resume-wait`.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::child::tree;
use crate::recovery::Run;

/// A stored run. Command lines may hold secrets: the file is for its owner alone.
#[derive(Debug, Serialize, Deserialize)]
pub struct Stored {
    /// The process that waits.
    pub pid: u32,
    /// When it was started, as the system counts; tells it from a later one with its number.
    pub started: u64,
    /// The run, as it writes itself.
    run: Box<serde_json::value::RawValue>,
    /// Where what came on standard input is kept.
    pub stdin: Option<PathBuf>,
}

/// Returns the folder of our state: `$SESSION_DOCTOR_HOME`, else `session-doctor` in `$XDG_STATE_HOME` or
/// `~/.local/state`.
pub fn folder(variable: &dyn Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let named = |name: &str| variable(name).filter(|path| !path.as_os_str().is_empty());
    named("SESSION_DOCTOR_HOME")
        .or_else(|| Some(named("XDG_STATE_HOME").filter(|path| path.is_absolute())?.join("session-doctor")))
        .or_else(|| Some(named("HOME")?.join(".local/state/session-doctor")))
}

/// Makes a folder that is for its owner alone.
///
/// # Errors
/// It cannot be made.
pub fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Writes a run to its file, whole or not at all.
///
/// # Errors
/// It cannot be written.
pub fn write(path: &Path, run: &Run, stdin: Option<&PathBuf>) -> io::Result<()> {
    let pid = std::process::id();
    let started = i32::try_from(pid).ok().and_then(tree::read).map_or(0, |process| process.started);
    let run = serde_json::value::RawValue::from_string(run.to_json()).map_err(io::Error::other)?;
    let stored = Stored { pid, started, run, stdin: stdin.cloned() };
    let text = serde_json::to_vec(&stored).map_err(io::Error::other)?;
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

impl Stored {
    /// Reads a stored run.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn read(path: &Path) -> io::Result<Self> {
        serde_json::from_slice(&fs::read(path)?).map_err(io::Error::other)
    }

    /// Returns the run.
    ///
    /// # Errors
    /// It is of a version that is not known.
    pub fn run(&self) -> Result<Run, crate::recovery::StateError> {
        Run::from_json(self.run.get())
    }

    /// Whether the process that stored it still waits.
    pub fn is_waited_for(&self) -> bool {
        let now = i32::try_from(self.pid).ok().and_then(tree::read);
        now.is_some_and(|process| process.started == self.started && !process.zombie)
    }
}

/// Returns the stored runs of a folder that nobody waits for, the latest last.
///
/// # Errors
/// The folder cannot be read.
pub fn left(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .filter(|path| Stored::read(path).is_ok_and(|stored| !stored.is_waited_for()))
        .map(|path| (path.metadata().and_then(|metadata| metadata.modified()).ok(), path))
        .collect();
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}
