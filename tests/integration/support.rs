//! Runs the program with nothing of the machine it runs on, and the engine with a time that stands still.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use session_doctor::engine::{Doctor, Options};
use session_doctor::model::Timestamp;

/// 2026-11-20T06:00:00Z: the only time that the engine is told of in these tests.
pub const NOW: Timestamp = Timestamp::from_seconds(1_795_154_400);

/// How long something that takes a few seconds at most may take on a machine that is busy; then it hangs. Where there was
/// hardly a core left, stories were seen to take more than a minute.
pub const GUARD: Duration = Duration::from_secs(300);

/// The engine's defaults; a clock without a zone is taken to be in UTC.
pub static OPTIONS: LazyLock<Arc<Options>> = LazyLock::new(|| Arc::new(Options::new()));

/// Lets the engine read a stream that comes in these chunks; returns its events, one JSON object a line.
pub fn read_chunks<'c>(
    options: &Arc<Options>,
    name: &str,
    chunks: impl IntoIterator<Item = &'c [u8]>,
) -> String {
    let mut doctor = Doctor::new(Arc::clone(options), name, "seed");
    let mut events = String::new();
    let mut out = |event: session_doctor::model::Event| {
        events.push_str(&serde_json::to_string(&event).unwrap());
        events.push('\n');
    };
    for chunk in chunks {
        doctor.feed(NOW, chunk, &mut out);
    }
    doctor.finish(NOW, &mut out);
    events
}

/// Every recorded session: its folder and its input, in the order of their paths.
pub fn recordings() -> Vec<(PathBuf, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/transcripts");
    let listed = |folder: &Path| {
        let mut paths: Vec<PathBuf> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    let cases = listed(&root).into_iter().flat_map(|agent| listed(&agent));
    cases
        .map(|case| {
            let input =
                listed(&case).into_iter().find(|path| path.file_stem().is_some_and(|name| name == "input"));
            let input = input.unwrap_or_else(|| panic!("no input.* in {}", case.display()));
            (case, input)
        })
        .collect()
}

/// A directory with a home and a project in it, from which the program is run.
pub struct World(tempfile::TempDir);

/// What a run gave, with the world's directory as `W`.
#[derive(Debug)]
pub struct Run {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl World {
    pub fn new() -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(world.path("home/.config/session-doctor")).unwrap();
        fs::create_dir_all(world.path("home/project/.git")).unwrap();
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file and returns the world, so that a test reads as one sentence.
    pub fn write(self, name: &str, text: &str) -> Self {
        fs::write(self.path(name), text).unwrap();
        self
    }

    /// A command that runs the program in the project.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_session-doctor"));
        command
            .args(args)
            .env_clear()
            .env("HOME", self.path("home"))
            .current_dir(self.path("home/project"))
            .stdin(Stdio::null());
        command
    }

    /// Runs the program in the project.
    pub fn run(&self, args: &[&str]) -> Run {
        self.run_with(args, &[])
    }

    /// Runs the program in the project with these variables.
    pub fn run_with(&self, args: &[&str], variables: &[(&str, &str)]) -> Run {
        let output = self.command(args).envs(variables.iter().copied()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(self.root(), "W");
        Run { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    fn root(&self) -> &str {
        Path::to_str(self.0.path()).unwrap()
    }
}
