//! Which program a command line starts, behind `env`, `timeout`, `npx`, `node …/cli.js` and their kind.
//!
//! What is not understood ends the search: a shell's `-c` may start anything.

/// The program that a command line starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// How many words stand before the agent's own arguments; the last of them names the program.
    pub length: usize,
    /// What may name the program, the surest first: the base name without an ending, the name of a package.
    pub names: Vec<String>,
}

/// How a program that starts another reads its own words.
struct Launcher {
    names: &'static [&'static str],
    /// Options with a value behind them.
    valued: &'static [&'static str],
    /// Words before the command that are no options (`timeout`'s duration).
    words: usize,
    /// A word that must stand first (`npm exec`); empty for none.
    verb: &'static str,
    /// Whether `NAME=VALUE` may stand before the command.
    assigns: bool,
    /// Whether the command is a package's name, perhaps with `@version` behind it.
    package: bool,
}

const PLAIN: Launcher =
    Launcher { names: &[], valued: &[], words: 0, verb: "", assigns: false, package: false };

const LAUNCHERS: &[Launcher] = &[
    Launcher { names: &["env"], valued: &["-u", "--unset", "-C", "--chdir"], assigns: true, ..PLAIN },
    Launcher {
        names: &["timeout", "gtimeout"],
        valued: &["-k", "--kill-after", "-s", "--signal"],
        words: 1,
        ..PLAIN
    },
    Launcher { names: &["nice"], valued: &["-n", "--adjustment"], ..PLAIN },
    Launcher { names: &["ionice"], valued: &["-c", "--class", "-n", "--classdata"], ..PLAIN },
    Launcher { names: &["nohup", "setsid", "time", "unbuffer", "exec"], ..PLAIN },
    Launcher { names: &["caffeinate"], valued: &["-t", "-w"], ..PLAIN },
    Launcher { names: &["stdbuf"], valued: &["-i", "-o", "-e", "--input", "--output", "--error"], ..PLAIN },
    Launcher {
        names: &["sudo", "doas"],
        valued: &["-u", "--user", "-g", "--group", "-C", "-D", "--chdir", "-h", "-p", "-r", "-t"],
        assigns: true,
        ..PLAIN
    },
    Launcher { names: &["npx", "bunx", "pnpx"], valued: &["-p", "--package"], package: true, ..PLAIN },
    Launcher { names: &["npm"], valued: &["-p", "--package"], verb: "exec", package: true, ..PLAIN },
    Launcher { names: &["npm"], valued: &["-p", "--package"], verb: "x", package: true, ..PLAIN },
    Launcher { names: &["pnpm", "yarn"], valued: &["--package"], verb: "dlx", package: true, ..PLAIN },
    Launcher { names: &["pnpm", "yarn"], verb: "exec", package: true, ..PLAIN },
    Launcher { names: &["bun"], verb: "x", package: true, ..PLAIN },
    Launcher { names: &["uvx"], valued: &["--from", "--with", "-p", "--python"], package: true, ..PLAIN },
    Launcher { names: &["pipx"], valued: &["--spec", "--python"], verb: "run", package: true, ..PLAIN },
];

/// Options of `node`, `bun`, `deno` and `python` with a value behind them, before the script.
const INTERPRETER_VALUES: &[&str] =
    &["-r", "--require", "--import", "--loader", "-C", "--conditions", "-W", "-X"];

/// Finds the program of a command line; `None` if there is none to be found.
pub fn launch(argv: &[String]) -> Option<Launch> {
    let mut at = 0;
    let mut package = false;
    // A chain of launchers is as long as its words at most, and every turn takes one.
    while let Some(word) = argv.get(at) {
        let name = base_name(word);
        if package {
            return Some(Launch { length: at + 1, names: vec![package_name(word), name] });
        }
        if let Some((launcher, start)) = launcher(name.as_str(), &argv[at + 1..]) {
            at = command(launcher, argv, at + 1 + start)?;
            package = launcher.package;
            continue;
        }
        if is_interpreter(&name) {
            return script(argv, at + 1, name.starts_with("python"));
        }
        return Some(Launch { length: at + 1, names: path_names(word) });
    }
    None
}

/// Returns the launcher of this name, and how many words its verb takes.
fn launcher(name: &str, rest: &[String]) -> Option<(&'static Launcher, usize)> {
    LAUNCHERS.iter().filter(|launcher| launcher.names.contains(&name)).find_map(|launcher| {
        match (launcher.verb, rest.first()) {
            ("", _) => Some((launcher, 0)),
            (verb, Some(word)) if word == verb => Some((launcher, 1)),
            _ => None,
        }
    })
}

/// Returns where a launcher's command begins.
fn command(launcher: &Launcher, argv: &[String], mut at: usize) -> Option<usize> {
    let mut words = launcher.words;
    loop {
        let word = argv.get(at)?;
        if word == "--" {
            at += 1;
            at += words;
            words = 0;
            argv.get(at)?;
        } else if word.starts_with('-') && word.len() > 1 {
            // `-S` of env and `-c` of npx hold a command line of their own in one word.
            if matches!(word.as_str(), "-S" | "--split-string") || (launcher.package && word == "-c") {
                return None;
            }
            at += if launcher.valued.contains(&word.as_str()) { 2 } else { 1 };
        } else if launcher.assigns && is_assignment(word) {
            at += 1;
        } else if words > 0 {
            words -= 1;
            at += 1;
        } else {
            return Some(at);
        }
    }
}

/// Finds the script (or module) that an interpreter runs.
fn script(argv: &[String], mut at: usize, python: bool) -> Option<Launch> {
    // `bun run x`, `deno run x`.
    if argv.get(at).is_some_and(|word| word == "run") {
        at += 1;
    }
    loop {
        let word = argv.get(at)?;
        if python && word == "-m" {
            let module = argv.get(at + 1)?;
            return Some(Launch { length: at + 2, names: vec![module.clone()] });
        }
        // Code in a word, or nothing at all.
        if matches!(word.as_str(), "-c" | "-e" | "--eval" | "-p" | "--print" | "-") {
            return None;
        }
        if word.starts_with('-') {
            at += if INTERPRETER_VALUES.contains(&word.as_str()) { 2 } else { 1 };
            continue;
        }
        return Some(Launch { length: at + 1, names: path_names(word) });
    }
}

fn is_interpreter(name: &str) -> bool {
    let version = name.trim_start_matches("python");
    matches!(name, "node" | "nodejs" | "bun" | "deno")
        || (name.starts_with("python") && version.chars().all(|c| c.is_ascii_digit() || c == '.'))
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// The names that a path tells: its base name, and the packages whose folders it goes through.
fn path_names(path: &str) -> Vec<String> {
    let mut names = vec![base_name(path)];
    let parts: Vec<&str> = path.split(['/', '\\']).collect();
    for (at, part) in parts.iter().enumerate().take(parts.len().saturating_sub(1)) {
        if part.starts_with('@') {
            names.push(format!("{part}/{}", parts[at + 1]));
        } else if at > 0 && parts[at - 1] == "node_modules" {
            names.push((*part).to_owned());
        }
    }
    names
}

/// The last part of a path, without the ending of a program or a script.
fn base_name(path: &str) -> String {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    let ends = [".exe", ".cmd", ".ps1", ".bat", ".mjs", ".cjs", ".js", ".ts", ".py"];
    let cut = ends.iter().find_map(|end| name.strip_suffix(end)).filter(|name| !name.is_empty());
    cut.unwrap_or(name).to_owned()
}

/// A package's name without its version: `@scope/name@1.2` is `@scope/name`.
fn package_name(word: &str) -> String {
    match word.char_indices().skip(1).find(|(_, c)| *c == '@') {
        Some((at, _)) => word[..at].to_owned(),
        None => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Option<(usize, &str)>) {
        let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let found = launch(&argv);
        match expected {
            None => assert_eq!(found, None, "{line}"),
            Some((length, name)) => {
                let found = found.unwrap_or_else(|| panic!("{line}: nothing found"));
                assert_eq!(found.length, length, "{line}");
                assert!(found.names.iter().any(|other| other == name), "{line}: {:?}", found.names);
            }
        }
    }

    #[test]
    fn the_program_is_found_behind_what_starts_it() {
        check("claude -p x", Some((1, "claude")));
        check("/usr/local/bin/claude -p x", Some((1, "claude")));
        check("./node_modules/.bin/codex exec x", Some((1, "codex")));
        check("claude.exe -p x", Some((1, "claude")));
        check("env A=1 B=2 claude -p x", Some((4, "claude")));
        check("env -i -u HOME A=1 claude -p x", Some((6, "claude")));
        check("env -- claude", Some((3, "claude")));
        check("timeout 10m claude -p x", Some((3, "claude")));
        check("timeout -k 5 --signal INT 10m codex exec x", Some((7, "codex")));
        check("timeout --kill-after=5 10m codex exec x", Some((4, "codex")));
        check("nice -n 10 claude", Some((4, "claude")));
        check("nice -10 claude", Some((3, "claude")));
        check("nohup setsid -w stdbuf -oL gemini -p x", Some((6, "gemini")));
        check("sudo -u agent A=1 claude -p x", Some((5, "claude")));
        check("env A=1 timeout 10m nice npx -y @openai/codex@0.169.0 exec x", Some((8, "@openai/codex")));
        check("npx @anthropic-ai/claude-code -p x", Some((2, "@anthropic-ai/claude-code")));
        check("npx -y -p @google/gemini-cli gemini -p x", Some((5, "gemini")));
        check("npx opencode-ai@latest run x", Some((2, "opencode-ai")));
        check("npm exec -- @qwen-code/qwen-code -p x", Some((4, "@qwen-code/qwen-code")));
        check("pnpm dlx @openai/codex exec x", Some((3, "@openai/codex")));
        check("bun x opencode-ai run x", Some((3, "opencode-ai")));
        check("uvx --from aider-chat aider --message x", Some((4, "aider")));
        check("pipx run aider-chat --message x", Some((3, "aider-chat")));
        check("python3 -m aider --message x", Some((3, "aider")));
        check("python3.12 -u /opt/bin/aider --message x", Some((3, "aider")));
        check(
            "node --max-old-space-size=8192 /opt/n/@google/gemini-cli/bundle/gemini.js -p x",
            Some((3, "gemini")),
        );
        check(
            "node -r hook /opt/n/node_modules/@anthropic-ai/claude-code/cli.js",
            Some((4, "@anthropic-ai/claude-code")),
        );
        check("bun run ./cli.ts", Some((3, "cli")));
    }

    #[test]
    fn what_holds_a_command_line_of_its_own_is_not_looked_into() {
        check("sh -c claude", Some((1, "sh")));
        check("npx -c claude", None);
        check("env -S claude", None);
        check("node -e claude", None);
        check("python3 -c claude", None);
        check("timeout 10m", None);
        check("npm install claude", Some((1, "npm")));
        check("env A=1", None);
    }

    #[test]
    fn no_command_line_has_no_program() {
        assert_eq!(launch(&[]), None);
    }
}
