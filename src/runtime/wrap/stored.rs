//! A run that waits, stored so that it can be taken up when we are gone: `wrap --resume-wait`.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::prompt::Kept;
use crate::child::tree;
use crate::recovery::Run;

/// How long a stored run that nobody waits for is kept.
const KEPT: Duration = Duration::from_secs(60 * 24 * 60 * 60);

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
    /// Whether something came there that could not be kept.
    pub stdin_is_lost: bool,
    /// The decision that the wait belongs to, if how it went is not told yet.
    #[serde(default)]
    pub decision: Option<String>,
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

/// Stores a run that this process waits for, and what came on standard input beside it. `decision`: the one that it waits
/// for, if how that went is not told yet.
///
/// # Errors
/// It cannot be written.
pub fn store(path: &Path, run: &Run, kept: &Kept, decision: Option<&str>) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        make(folder)?;
        prune(folder);
    }
    let input = input_of(path);
    let is_kept = kept.copy_to(&input)?;
    let (pid, started) = me();
    let run = serde_json::value::RawValue::from_string(run.to_json()).map_err(io::Error::other)?;
    let stdin_is_lost = !is_kept && kept.has_something();
    let stdin = is_kept.then_some(input);
    let decision = decision.map(str::to_owned);
    write(path, &Stored { pid, started, run, stdin, stdin_is_lost, decision })
}

/// Removes what nobody has taken up in [`KEPT`]: it holds command lines and prompts, which are of no use then.
fn prune(folder: &Path) {
    for path in left(folder).unwrap_or_default() {
        let changed = path.metadata().and_then(|metadata| metadata.modified());
        if changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age > KEPT)) {
            remove(&path);
        }
    }
}

/// Removes a stored run.
pub fn remove(path: &Path) {
    let _ = fs::remove_file(path);
    let _ = fs::remove_file(input_of(path));
}

/// Makes a stored run that of this process. Of two processes that ask for it, one gets it.
///
/// # Errors
/// It cannot be read or written, or somebody waits for it.
pub fn claim(path: &Path) -> io::Result<Stored> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let lock = File::open(folder.unwrap_or(Path::new(".")))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    let mut stored = Stored::unclaimed(path)?;
    (stored.pid, stored.started) = me();
    write(path, &stored)?;
    Ok(stored)
}

/// Where what came on standard input is kept beside a stored run.
fn input_of(path: &Path) -> PathBuf {
    path.with_extension("stdin")
}

/// This process, and when it was started.
fn me() -> (u32, u64) {
    let pid = std::process::id();
    (pid, i32::try_from(pid).ok().and_then(tree::read).map_or(0, |process| process.birth))
}

/// Writes a stored run to its file, whole or not at all.
fn write(path: &Path, stored: &Stored) -> io::Result<()> {
    let text = serde_json::to_vec(stored).map_err(io::Error::other)?;
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

    /// Reads a stored run that nobody waits for.
    ///
    /// # Errors
    /// It cannot be read, or somebody waits for it.
    pub fn unclaimed(path: &Path) -> io::Result<Self> {
        let stored = Self::read(path)?;
        if stored.is_waited_for() {
            return Err(io::Error::other(format!("process {} waits for it", stored.pid)));
        }
        Ok(stored)
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
        now.is_some_and(|process| process.birth == self.started && !process.zombie)
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::profile::{Agent, Terminals};
    use crate::recovery::Chance;

    fn run() -> Run {
        let argv = ["claude", "-p", "task"].map(str::to_owned);
        let terminals = Terminals { stdin: false, stdout: false };
        let chance = Chance { draw: 0, uuid: "u".to_owned() };
        Run::begin(&Agent::recognise(&argv, &[], terminals), "/w", terminals, &chance).0
    }

    #[test]
    fn a_stored_run_is_its_owners_alone_and_goes_without_a_trace() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/wrap/a.json");
        store(&path, &run(), &Kept::Once, None).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let stored = Stored::read(&path).unwrap();
        assert_eq!(stored.run().unwrap(), run());
        assert!(stored.stdin_is_lost, "what came once cannot come again");
        remove(&path);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
    }

    #[test]
    fn a_run_that_somebody_waits_for_is_not_taken_and_one_that_nobody_does_is_taken_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        store(&path, &run(), &Kept::Nothing, None).unwrap();
        assert!(left(folder.path()).unwrap().is_empty(), "this process waits for it");
        assert!(claim(&path).unwrap_err().to_string().ends_with("waits for it"));
        // The process that waited is gone: its number belongs to one that began at another time.
        let mut stored = Stored::read(&path).unwrap();
        stored.started += 1;
        write(&path, &stored).unwrap();
        assert_eq!(left(folder.path()).unwrap(), std::slice::from_ref(&path));
        claim(&path).unwrap();
        assert!(claim(&path).is_err());
    }

    #[test]
    fn what_nobody_takes_up_for_two_months_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let [old, waited_for, new] =
            ["old", "waits", "new"].map(|name| folder.path().join(name).with_extension("json"));
        let age = |path: &Path, days: u64| {
            let time = std::time::SystemTime::now() - Duration::from_secs(days * 24 * 60 * 60);
            File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
        };
        for path in [&old, &waited_for, &new] {
            store(path, &run(), &Kept::Nothing, None).unwrap();
            let mut stored = Stored::read(path).unwrap();
            stored.started += u64::from(path != &waited_for);
            write(path, &stored).unwrap();
            fs::write(input_of(path), "prompt").unwrap();
            age(path, if path == &new { 59 } else { 61 });
            age(&input_of(path), 90);
        }
        prune(folder.path());
        let is_there = |path: &PathBuf| (path.exists(), input_of(path).exists());
        assert_eq!(is_there(&old), (false, false));
        assert_eq!(is_there(&waited_for), (true, true), "somebody waits for it");
        assert_eq!(is_there(&new), (true, true), "what came on standard input is kept as long as its run");
    }

    #[test]
    fn state_lies_where_the_variables_say() {
        let at = |variables: &[(&str, &str)]| {
            folder(&|name| {
                variables.iter().find(|(other, _)| *other == name).map(|(_, value)| PathBuf::from(value))
            })
        };
        assert_eq!(at(&[]), None);
        assert_eq!(at(&[("HOME", "/h")]), Some("/h/.local/state/session-doctor".into()));
        assert_eq!(at(&[("HOME", "/h"), ("XDG_STATE_HOME", "/s")]), Some("/s/session-doctor".into()));
        assert_eq!(
            at(&[("HOME", "/h"), ("XDG_STATE_HOME", "s")]),
            Some("/h/.local/state/session-doctor".into())
        );
        assert_eq!(at(&[("HOME", "/h"), ("SESSION_DOCTOR_HOME", "/d")]), Some("/d".into()));
    }
}
