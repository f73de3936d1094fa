//! What is said, and with which status, when the command line or the settings are wrong.

use std::fs::File;
use std::process::Stdio;

use crate::support::World;

#[test]
fn a_wrong_command_line_is_64_with_a_hint() {
    let check = |args: &[&str], words: &[&str]| {
        let run = World::new().run(args);
        assert_eq!(run.status, Some(64), "{args:?}: {run:?}");
        assert_eq!(run.stdout, "", "{args:?}");
        for word in words {
            assert!(run.stderr.contains(word), "{args:?}: no {word:?} in {}", run.stderr);
        }
    };
    check(&[], &["Usage: session-doctor"]);
    check(&["tab"], &["unrecognized subcommand 'tab'", "'tap'"]);
    check(&["tap", "--fail-onn", "high"], &["unexpected argument '--fail-onn'", "'--fail-on'"]);
    check(
        &["tap", "--fail-on", "hgih"],
        &["invalid value 'hgih'", "[possible values: never, low,", "'high'"],
    );
    check(&["tap", "--emit", "alert,sumary"], &["invalid value 'sumary'", "'summary'"]);
    check(&["tap", "--events", "fd:x"], &["a file descriptor is written as fd:3"]);
    check(&["tap", "--threads", "2000"], &["2000 is not in 0..=1024"]);
    for line in ["", " \n"] {
        check(&["explain", line], &["failed to explain the line", "it has no text", "standard input"]);
    }
    check(&["config"], &["Usage: session-doctor config"]);
    check(&["completions"], &["<SHELL>"]);
}

#[test]
fn help_and_version_are_0() {
    for args in [&["--help"][..], &["-h"], &["--version"], &["tap", "--help"], &["config", "show", "-h"]] {
        let run = World::new().run(args);
        assert_eq!(run.status, Some(0), "{args:?}: {run:?}");
        assert!(run.stdout.len() > 10 && run.stderr.is_empty(), "{args:?}");
    }
    let help = World::new().run(&["tap", "--help"]).stdout;
    assert!(help.contains("Examples:") && help.contains("Exit status:"), "{help}");
}

#[test]
fn wrong_settings_are_78_and_say_where() {
    let world = World::new().write("home/project/.session-doctor.toml", "\nthread = 2\n");
    let run = world.run(&["config", "show"]);
    assert_eq!(
        run.stderr,
        "error: failed to load settings from `W/home/project/.session-doctor.toml` line 2\n  \
         cause: there is no key `thread`\n  hint: did you mean `threads`?\n"
    );
    assert_eq!((run.status, run.stdout.as_str()), (Some(78), ""));

    let run = World::new().run_with(&["config", "show"], &[("SESSION_DOCTOR_COLOR", "blue")]);
    assert_eq!(
        run.stderr,
        "error: failed to load settings from the variable `SESSION_DOCTOR_COLOR`\n  \
         cause: `color` cannot be `blue`\n  hint: possible are: auto, always, never\n"
    );
    assert_eq!(run.status, Some(78));

    let run = World::new().run(&["config", "show", "--config", "absent.toml"]);
    assert_eq!(
        run.stderr,
        "error: failed to load settings from `absent.toml`\n  cause: there is no such file\n"
    );
    assert_eq!(run.status, Some(78));
}

#[test]
fn colour_is_for_terminals_and_for_those_who_ask() {
    let world = World::new().write("home/project/.session-doctor.toml", "x = 1");
    assert!(!world.run(&["config", "show"]).stderr.contains('\x1b'));
    assert!(world.run(&["config", "show", "--color", "always"]).stderr.contains("\x1b["));
}

#[test]
fn a_reader_that_leaves_is_a_success() {
    let world = World::new();
    for args in [&["man"][..], &["completions", "bash"], &["config", "show"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = world.command(args).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{args:?}");
    }
}

#[test]
fn an_output_that_cannot_be_written_is_told() {
    // Linux has a device that is always full.
    let Ok(full) = File::options().write(true).open("/dev/full") else { return };
    let output = World::new().command(&["man"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(74));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "error: failed to write to standard output\n  cause: no space left on device\n"
    );

    let world = World::new().write("home/project/file", "");
    let run = world.run(&["man", "--dir", "file"]);
    assert_eq!(run.status, Some(73), "{run:?}");
    assert!(run.stderr.starts_with("error: failed to write `file`\n  cause: "), "{}", run.stderr);
}
