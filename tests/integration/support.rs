//! Runs the program with nothing of the machine it runs on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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
