//! The README runs: every example in it is executed, every output in it is compared, its tables are the program's.
//! `UPDATE_EXPECT=1 cargo test --test integration readme` writes the outputs and the tables of formats and classes.

use std::fmt::Write as _;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use session_doctor::cli::{Exit, schema};
use session_doctor::engine::format::FORMATS;
use session_doctor::engine::policy::{AlertOn, Policy};
use session_doctor::model::{Class, EventType};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What stands for `cargo`: the tests run the program that was built for them.
const CARGO: &str = r#"#!/bin/sh
case "$*" in
"run --release -- "*) shift 3; exec session-doctor "$@" ;;
"test" | "install --path .") exit 0 ;;
esac
echo "this use of cargo is not known to the test: $*" >&2
exit 64
"#;

/// The agents, by what they are called with and what they print then.
const AGENTS: &[(&str, &str, &str)] = &[
    ("claude", "-p * --output-format stream-json --verbose", "claude/usage_limit/input.jsonl"),
    ("codex", "exec --json *", "codex/usage_limit/input.jsonl"),
    ("gemini", "-p * --output-format stream-json", "gemini/daily_quota/input.jsonl"),
];

/// A clone with fixtures, a home with logs, and a path with the program and agents that play recordings.
struct Stage(tempfile::TempDir);

impl Stage {
    fn new() -> Self {
        let stage = Self(tempfile::tempdir().unwrap());
        for folder in ["bin", "clone", "home/.claude/projects/shop", "home/.codex/sessions"] {
            fs::create_dir_all(stage.path(folder)).unwrap();
        }
        let fixtures = Path::new(ROOT).join("fixtures");
        symlink(&fixtures, stage.path("clone/fixtures")).unwrap();
        symlink(env!("CARGO_BIN_EXE_session-doctor"), stage.path("bin/session-doctor")).unwrap();
        stage.program("cargo", CARGO);
        for (name, arguments, recording) in AGENTS {
            let recording = fixtures.join("transcripts").join(recording);
            // A pattern's words are kept apart by quoted blanks.
            let pattern = arguments.replace(' ', "\" \"");
            let script = format!(
                "#!/bin/sh\ncase \"$*\" in\n{pattern}) exec cat '{}' ;;\nesac\necho \"{name} $*?\" >&2\nexit 64\n",
                recording.display()
            );
            stage.program(name, &script);
        }
        for (from, to) in [
            ("claude/transcript_sidechain/input.jsonl", "home/.claude/projects/shop/one.jsonl"),
            ("codex/rollout_limit/input.jsonl", "home/.codex/sessions/rollout-one.jsonl"),
        ] {
            fs::copy(fixtures.join("transcripts").join(from), stage.path(to)).unwrap();
        }
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs a script; returns whether it went well, what it printed, and what it complained of.
    fn run(&self, script: &str) -> (bool, String, String) {
        let system = env::var("PATH").unwrap_or_default();
        let output = Command::new("sh")
            .args(["-e", "-c", script])
            .env_clear()
            .env("PATH", format!("{}:{system}", self.path("bin").display()))
            .env("HOME", self.path("home"))
            .env("TZ", "UTC")
            .env("LC_ALL", "C")
            .current_dir(self.path("clone"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout), text(output.stderr))
    }
}

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Whether a script can be run here.
fn can_run(stage: &Stage, script: &str) -> bool {
    let needs_jq = script.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == "jq");
    let can = !needs_jq || stage.run("command -v jq").0;
    if !can {
        eprintln!("skipped, because jq is not installed: {script}");
    }
    can
}

/// Returns the file that a block of TOML is said to be: the last one that the paragraph before it names.
fn file_named_before<'r>(readme: &'r str, body: &[&str]) -> Option<&'r str> {
    let (before, _) = readme.split_once(&format!("\n```toml\n{}\n```\n", body.join("\n")))?;
    let paragraph = before.trim_end().rsplit("\n\n").next()?;
    let is_plain = |name: &&str| name.ends_with(".toml") && !name.contains(['/', ' ']);
    paragraph.split('`').skip(1).step_by(2).filter(is_plain).last()
}

/// Runs the README's examples in order and returns it with the outputs that they have. Blocks of TOML are written to the
/// files that they are said to be.
fn with_outputs(readme: &str) -> String {
    let stage = Stage::new();
    let mut out = String::new();
    let mut lines = readme.lines().peekable();
    while let Some(line) = lines.next() {
        out.push_str(line);
        out.push('\n');
        let Some(kind) = line.strip_prefix("```") else { continue };
        let mut body = Vec::new();
        for line in lines.by_ref() {
            if line == "```" {
                break;
            }
            body.push(line);
        }
        match kind {
            "sh" => {
                let script = body.join("\n");
                if can_run(&stage, &script) {
                    let (ok, stdout, stderr) = stage.run(&script);
                    assert!(ok && stderr.is_empty(), "{script}\nprinted:\n{stdout}\ncomplained:\n{stderr}");
                }
                let _ = writeln!(out, "{script}");
            }
            "toml" => {
                let name = file_named_before(readme, &body).unwrap_or_else(|| panic!("no file for {body:?}"));
                let path = stage.path("clone").join(name);
                assert!(!path.exists(), "`{name}` is there already");
                fs::write(path, body.join("\n") + "\n").unwrap();
                body.iter().for_each(|line| out.push_str(&format!("{line}\n")));
            }
            "console" => {
                assert!(body.first().is_some_and(|line| line.starts_with("$ ")), "no command in {body:?}");
                for session in body.chunk_by(|_, next| !next.starts_with("$ ")) {
                    let command = session[0].strip_prefix("$ ").unwrap();
                    let _ = writeln!(out, "$ {command}");
                    if can_run(&stage, command) {
                        let (ok, stdout, stderr) = stage.run(command);
                        assert!(ok, "{command}\nprinted:\n{stdout}\ncomplained:\n{stderr}");
                        out.push_str(&(stderr + &stdout));
                    } else {
                        session[1..].iter().for_each(|line| out.push_str(&format!("{line}\n")));
                    }
                }
            }
            other => panic!("a block of kind {other:?}: nothing checks it"),
        }
        out.push_str("```\n");
    }
    out
}

/// Returns the README with the tables that hold.
fn with_tables(readme: &str) -> String {
    let mut readme = readme.to_owned();
    for (name, table) in [("formats", formats()), ("classes", classes())] {
        let (begin, end) = (format!("<!-- {name}: begin"), format!("<!-- {name}: end"));
        let (before, rest) = readme.split_once(&begin).unwrap();
        let (mark, rest) = rest.split_once("-->\n").unwrap();
        let (_, after) = rest.split_once(&end).unwrap();
        readme = format!("{before}{begin}{mark}-->\n{table}{end}{after}");
    }
    readme
}

/// The formats, each with the first sentence of its source.
fn formats() -> String {
    let mut table = "| `--agent` | what is read |\n|---|---|\n".to_owned();
    for format in FORMATS {
        let source = read(&format!("src/engine/format/{}.rs", format.name().replace('-', "_")));
        let words: Vec<&str> =
            source.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
        let words = words.join(" ");
        let sentence = words.split_once(". ").map_or(words.as_str(), |(first, _)| first);
        let _ = writeln!(table, "| `{}` | {} |", format.name(), sentence.trim_end_matches('.'));
    }
    table
}

fn classes() -> String {
    let policy = Policy::default();
    let mut table =
        "| class | what it is | severity | strategy | alert |\n|---|---|---|---|---|\n".to_owned();
    for class in Class::ALL {
        let row = policy.class(*class);
        let alert = match row.alert {
            AlertOn::First => "first",
            AlertOn::Repeat => "repeat",
            AlertOn::Never => "never",
        };
        let words = words_of(class.name());
        let _ = writeln!(table, "| `{class}` | {words} | {} | {} | {alert} |", row.severity, row.strategy);
    }
    table
}

/// Returns what the source says of a class, without the full stop.
fn words_of(class: &str) -> String {
    let source = read("src/model/class.rs");
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let at = lines.iter().position(|line| line.ends_with(&format!("= \"{class}\","))).unwrap();
    lines[at - 1].strip_prefix("/// ").unwrap().trim_end_matches('.').to_owned()
}

#[test]
fn every_example_runs_and_prints_what_it_says() {
    let readme = read("README.md");
    let fresh = with_outputs(&with_tables(&readme));
    if env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1") {
        fs::write(Path::new(ROOT).join("README.md"), fresh).unwrap();
        return;
    }
    for (number, (old, new)) in readme.lines().zip(fresh.lines()).enumerate() {
        assert_eq!(
            old,
            new,
            "README.md:{}; UPDATE_EXPECT=1 cargo test --test integration readme",
            number + 1
        );
    }
    assert_eq!(readme.lines().count(), fresh.lines().count());
}

#[test]
fn the_set_up_is_what_ci_runs() {
    let (readme, ci) = (read("README.md"), read(".ci/run"));
    for command in ["cargo test", "cargo install --path ."] {
        assert!(readme.contains(&format!("```sh\n{command}\n```")), "{command}");
    }
    assert!(ci.contains("\nrun cargo test\n"), ".ci/run does not run what the README says");
}

#[test]
fn statuses_and_fields_are_all_there() {
    let readme = read("README.md");
    for exit in Exit::ALL {
        assert!(readme.contains(&format!("\n| {} | ", exit.status())), "{exit:?}");
    }
    for kind in EventType::ALL {
        assert!(readme.contains(&format!("\n| `{}` | ", kind.name())), "{kind:?}");
    }
    let common = ["v", "type", "id", "session", "parent_session", "agent", "time", "observed_time", "source"];
    let schema = schema::schema();
    for branch in schema["oneOf"].as_array().unwrap() {
        let name = branch["title"].as_str().unwrap();
        // The second session event has the fields of the first.
        let row = readme.lines().find(|line| line.starts_with(&format!("| `{name}` | "))).unwrap();
        for field in branch["properties"].as_object().unwrap().keys() {
            let told = row.contains(&format!("`{field}`"))
                || common.contains(&field.as_str())
                || (name.starts_with("session_") && readme.contains(&format!("`{field}`")));
            assert!(told, "{name}: {field}");
        }
    }
}

#[test]
fn what_the_documents_point_at_exists() {
    for document in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"] {
        let text = read(document);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let paths =
            text.split('`').filter(|part| part.starts_with("src/") && !part.contains(['<', ' ', '{']));
        for target in links.filter(|link| !link.contains("://") && !link.starts_with('#')).chain(paths) {
            assert!(Path::new(ROOT).join(target).exists(), "{document} names {target}");
        }
    }
}
