//! The manual pages and completions in the tree are those that `args.rs` makes.
//! `UPDATE_EXPECT=1 cargo test --test integration generated` writes them.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::Path;

use clap_complete::Shell;
use session_doctor::cli::{completions, man};

use crate::support::World;

/// Compares a directory with what it should hold, or makes it so.
fn check(directory: &str, expected: &[(String, Vec<u8>)]) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let is_update = env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1");
    if is_update {
        fs::create_dir_all(&directory).unwrap();
    }
    let mut others: BTreeSet<String> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut stale = Vec::new();
    for (name, contents) in expected {
        others.remove(name);
        let path = directory.join(name);
        if fs::read(&path).ok().as_ref() == Some(contents) {
            continue;
        }
        if is_update {
            fs::write(&path, contents).unwrap();
        } else {
            stale.push(name.clone());
        }
    }
    for name in others {
        if is_update {
            fs::remove_file(directory.join(&name)).unwrap();
        } else {
            stale.push(name);
        }
    }
    assert!(
        stale.is_empty(),
        "stale in {}: {stale:?}; UPDATE_EXPECT=1 cargo test --test integration generated",
        directory.display()
    );
}

#[test]
fn manual_pages_are_fresh() {
    check("man", &man::pages().unwrap());
}

#[test]
fn completions_are_fresh() {
    let scripts = [
        ("session-doctor.bash", Shell::Bash),
        ("_session-doctor", Shell::Zsh),
        ("session-doctor.fish", Shell::Fish),
    ];
    check("completions", &scripts.map(|(name, shell)| (name.to_owned(), completions::script(shell))));
}

#[test]
fn the_program_prints_and_writes_them() {
    let world = World::new();
    let page = world.run(&["man"]).stdout;
    assert!(page.contains(".TH session\\-doctor 1") || page.contains(".TH session-doctor 1"), "{page}");
    assert!(page.contains(".SH \"EXIT STATUS\"") || page.contains(".SH EXIT STATUS"), "{page}");

    let run = world.run(&["man", "--dir", "man1"]);
    assert_eq!((run.status, run.stdout.as_str()), (Some(0), ""));
    for name in ["session-doctor.1", "session-doctor-tap.1", "session-doctor-config-show.1"] {
        assert!(world.path("home/project/man1").join(name).is_file(), "{name}");
    }

    for (shell, word) in
        [("bash", "complete -F"), ("zsh", "#compdef session-doctor"), ("fish", "complete -c session-doctor")]
    {
        let run = world.run(&["completions", shell]);
        assert!(run.status == Some(0) && run.stdout.contains(word), "{shell}");
    }
}
