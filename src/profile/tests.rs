//! What every profile makes of command lines: read, prepared, resumed, started anew.

use std::path::{Path, PathBuf};

use super::custom::{CustomFields, CustomProfile};
use super::transcript::{Owner, Search};
use super::*;

const UUID: &str = "11111111-2222-4333-8444-555555555555";
const ID: &str = "32026962-6d28-4530-b84d-70b15b321a17";
/// A pipe in front, a pipe behind.
const PIPES: Terminals = Terminals { stdin: false, stdout: false };
const TERMINAL: Terminals = Terminals { stdin: true, stdout: true };

/// Cuts a command line as a shell does, `'…'` kept together.
fn argv(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut started) = (Vec::new(), String::new(), false, false);
    for letter in line.chars() {
        match letter {
            '\'' => {
                quoted = !quoted;
                started = true;
            }
            ' ' if !quoted => {
                if started || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                started = false;
            }
            letter => word.push(letter),
        }
    }
    if started || !word.is_empty() {
        words.push(word);
    }
    words
}

fn line(words: &[String]) -> String {
    let quote = |word: &String| {
        if word.is_empty() || word.contains(' ') { format!("'{word}'") } else { word.clone() }
    };
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

fn agent(command: &str, terminals: Terminals) -> Agent<'static> {
    Agent::recognise(&argv(command), &[], terminals)
}

#[test]
fn each_agent_is_recognised_by_its_program_or_its_package() {
    for (command, name) in [
        ("claude -p x", "claude"),
        ("/opt/bin/claude.exe -p x", "claude"),
        ("npx -y @anthropic-ai/claude-code@2 -p x", "claude"),
        ("node /n/@anthropic-ai/claude-code/cli.js -p x", "claude"),
        ("env A=1 timeout 10m nice codex exec x", "codex"),
        ("node ./node_modules/@openai/codex/bin/codex.js exec x", "codex"),
        ("gemini -p x", "gemini"),
        ("node --no-warnings /n/@google/gemini-cli/bundle/gemini.js -p x", "gemini"),
        ("npx @google/gemini-cli -p x", "gemini"),
        ("qwen -p x", "qwen"),
        ("node /n/node_modules/@qwen-code/qwen-code/cli.js -p x", "qwen"),
        ("opencode run x", "opencode"),
        ("npx opencode-ai run x", "opencode"),
        ("python3 -m aider --message x", "aider"),
        ("aider --message x", "aider"),
        ("sh -c 'claude -p x'", "generic"),
        ("my-agent x", "generic"),
        ("claude-squad", "generic"),
    ] {
        assert_eq!(agent(command, PIPES).profile.name(), name, "{command}");
        assert_eq!(line(&agent(command, PIPES).argv()), command, "nothing is lost");
    }
    assert_eq!(Agent::recognise(&[], &[], PIPES).profile.name(), "generic");
}

#[test]
fn a_profile_can_be_forced_on_any_program() {
    let claude = by_name("claude", &[]).unwrap();
    let forced = Agent::forced(claude, &argv("env A=1 ./my-wrapper -p 'do it'"), PIPES);
    assert_eq!(forced.launcher, ["env", "A=1", "./my-wrapper"]);
    assert_eq!(forced.invocation.prompt, Prompt::ArgumentAndStdin("do it".to_owned()));
}

#[test]
fn the_mode_is_told_from_options_and_terminals() {
    for (command, terminals, mode) in [
        ("claude -p x", PIPES, Mode::Text),
        ("claude x", TERMINAL, Mode::Interactive),
        ("claude x", PIPES, Mode::Text),
        ("claude -p x --output-format json", TERMINAL, Mode::Json),
        ("claude -p x --output-format=stream-json --verbose", PIPES, Mode::StreamJson),
        ("claude -p --input-format stream-json --output-format stream-json", PIPES, Mode::Driven),
        ("claude mcp list", PIPES, Mode::Aside),
        ("claude --version", PIPES, Mode::Aside),
        ("claude --bg 'do it'", TERMINAL, Mode::Aside),
        ("codex exec x", PIPES, Mode::Text),
        ("codex e --json x", PIPES, Mode::StreamJson),
        ("codex -m o3 exec --experimental-json x", PIPES, Mode::StreamJson),
        ("codex exec review", PIPES, Mode::Unknown),
        ("codex x", TERMINAL, Mode::Interactive),
        ("codex login", PIPES, Mode::Aside),
        ("codex exec --help", PIPES, Mode::Aside),
        ("gemini -p x", TERMINAL, Mode::Text),
        ("gemini x", PIPES, Mode::Text),
        ("gemini x", TERMINAL, Mode::Interactive),
        ("gemini -i x", PIPES, Mode::Interactive),
        ("gemini -p x -o stream-json", PIPES, Mode::StreamJson),
        ("gemini -p x --outputFormat json", PIPES, Mode::Json),
        ("gemini --acp", PIPES, Mode::Driven),
        ("gemini mcp list", PIPES, Mode::Aside),
        ("gemini --list-sessions", PIPES, Mode::Aside),
        ("qwen x", TERMINAL, Mode::Text),
        ("qwen", TERMINAL, Mode::Interactive),
        ("qwen -p x -o json", PIPES, Mode::Json),
        ("qwen --input-format stream-json", PIPES, Mode::Driven),
        ("opencode run x", PIPES, Mode::Text),
        ("opencode run --format json x", PIPES, Mode::StreamJson),
        ("opencode", TERMINAL, Mode::Interactive),
        ("opencode serve", PIPES, Mode::Aside),
        ("aider --message x", PIPES, Mode::Text),
        ("aider -f todo.txt", PIPES, Mode::Text),
        ("aider a.py", TERMINAL, Mode::Interactive),
        ("aider --list-models gpt", PIPES, Mode::Aside),
        ("my-agent", PIPES, Mode::Unknown),
        ("my-agent", TERMINAL, Mode::Interactive),
    ] {
        assert_eq!(agent(command, terminals).invocation.mode, mode, "{command}");
    }
}

#[test]
fn the_prompt_is_found_among_options_and_their_values() {
    let argument = |text: &str| Prompt::Argument(text.to_owned());
    for (command, prompt) in [
        ("claude -p 'fix it'", argument("fix it")),
        ("claude -p --model opus 'fix it'", argument("fix it")),
        ("claude 'fix it' -p --allowedTools Bash Edit", argument("fix it")),
        ("claude -p --add-dir a b -- 'fix it'", argument("fix it")),
        ("claude -p --append-system-prompt '-x' 'fix it'", argument("fix it")),
        ("claude -p --debug --max-turns 3 'fix it'", argument("fix it")),
        ("claude -p", Prompt::None),
        ("codex exec -m o3 -c a=b -s read-only 'fix it'", argument("fix it")),
        ("codex exec -i a.png b.png -- 'fix it'", argument("fix it")),
        ("codex exec resume 123 'fix it'", argument("fix it")),
        ("codex exec resume --last 'fix it'", argument("fix it")),
        ("codex exec -", Prompt::None),
        ("gemini -p 'fix it' --allowed-tools x", argument("fix it")),
        ("gemini --yolo --prompt='fix it'", argument("fix it")),
        ("gemini -o json fix it", argument("fix it")),
        ("qwen -p 'fix it' --allowed-tools a b", argument("fix it")),
        ("qwen 'fix it' -y", argument("fix it")),
        ("opencode run -m a/b --agent plan fix it", argument("fix it")),
        ("opencode run fix it -f a.txt b.txt", argument("fix it")),
        ("aider a.py --model x --message 'fix it' b.py", argument("fix it")),
        ("aider --msg 'fix it'", argument("fix it")),
        ("aider -f todo.txt a.py", Prompt::File("todo.txt".to_owned())),
    ] {
        let terminals = Terminals { stdin: true, stdout: false };
        assert_eq!(agent(command, terminals).invocation.prompt, prompt, "{command}");
    }
    for (command, prompt) in [
        ("claude -p", Prompt::Stdin),
        ("claude -p x", Prompt::ArgumentAndStdin("x".to_owned())),
        ("codex exec", Prompt::Stdin),
        ("codex exec -", Prompt::Stdin),
        ("opencode run x", Prompt::ArgumentAndStdin("x".to_owned())),
        ("aider --message x", argument("x")),
    ] {
        assert_eq!(agent(command, PIPES).invocation.prompt, prompt, "{command}");
    }
}

#[test]
fn the_session_that_is_asked_for_is_read() {
    let resumed = |id: &str| Asked::Resumed(id.to_owned());
    for (command, asked) in [
        ("claude -p x".to_owned(), Asked::New),
        (format!("claude -p x --session-id {UUID}"), Asked::NewAs(UUID.to_owned())),
        (format!("claude -p x --resume {ID}"), resumed(ID)),
        (format!("claude -p x -r {ID} --fork-session"), Asked::Forked),
        ("claude -p x -c".to_owned(), Asked::Latest),
        ("claude -p x --resume 'my session'".to_owned(), Asked::Picked),
        ("claude -r".to_owned(), Asked::Picked),
        (format!("codex exec resume {ID} x"), resumed(ID)),
        ("codex exec resume --last x".to_owned(), Asked::Latest),
        (format!("codex exec fork {ID} x"), Asked::Forked),
        (format!("codex resume {ID}"), resumed(ID)),
        ("codex resume".to_owned(), Asked::Picked),
        (format!("gemini -p x --resume {ID}"), resumed(ID)),
        ("gemini -p x --resume latest".to_owned(), Asked::Latest),
        ("gemini -p x -r 5".to_owned(), Asked::Picked),
        (format!("gemini -p x --session-id {UUID}"), Asked::NewAs(UUID.to_owned())),
        (format!("qwen -p x --resume {ID}"), resumed(ID)),
        ("qwen -p x -c".to_owned(), Asked::Latest),
        ("opencode run -s ses_1 x".to_owned(), resumed("ses_1")),
        ("opencode run -s ses_1 --fork x".to_owned(), Asked::Forked),
        ("opencode run -c x".to_owned(), Asked::Latest),
        ("aider --message x".to_owned(), Asked::New),
    ] {
        assert_eq!(agent(&command, PIPES).invocation.asked, asked, "{command}");
    }
}

#[test]
fn a_session_id_is_chosen_where_the_agent_takes_one_and_the_user_has_not() {
    for (command, prepared) in [
        ("claude -p x --verbose", format!("claude --session-id {UUID} -p x --verbose")),
        ("env A=1 claude -p x", format!("env A=1 claude --session-id {UUID} -p x")),
        ("claude", format!("claude --session-id {UUID}")),
    ] {
        let prepared_line = agent(command, TERMINAL).prepared(UUID);
        assert_eq!(line(&prepared_line.argv), prepared, "{command}");
        assert_eq!((prepared_line.session.as_deref(), prepared_line.stdin), (Some(UUID), Stdin::Same));
    }
    for command in [
        "claude -p x --resume 32026962-6d28-4530-b84d-70b15b321a17",
        "claude -p x -c",
        "claude -p x --session-id 32026962-6d28-4530-b84d-70b15b321a17",
        "claude -p x --no-session-persistence",
        "claude mcp list",
        "claude --help",
        "codex exec x",
        "gemini -p x",
        "qwen -p x",
        "opencode run x",
        "aider --message x",
        "my-agent x",
    ] {
        assert_eq!(line(&agent(command, PIPES).prepared(UUID).argv), command, "it is left as it was");
    }
}

/// `before`, how it is resumed, how it starts anew; `-` if it cannot.
const REWRITTEN: &[(&str, &str, &str)] = &[
    (
        "claude -p 'fix it' --output-format stream-json --verbose --model opus",
        "claude --resume SID 'go on' -p --output-format stream-json --verbose --model opus",
        "claude --session-id NEW 'go on' -p --output-format stream-json --verbose --model opus",
    ),
    (
        "claude -p 'fix it' --session-id OLD --allowedTools Bash Edit",
        "claude --resume SID 'go on' -p --allowedTools Bash Edit",
        "claude --session-id NEW 'go on' -p --allowedTools Bash Edit",
    ),
    (
        "claude --allowedTools Bash -p -- 'fix it'",
        "claude --resume SID 'go on' --allowedTools Bash -p",
        "claude --session-id NEW 'go on' --allowedTools Bash -p",
    ),
    (
        "timeout 1h claude -c -p 'more'",
        "timeout 1h claude --resume SID 'go on' -p",
        "timeout 1h claude --session-id NEW 'go on' -p",
    ),
    ("claude -p", "claude --resume SID 'go on' -p", "claude --session-id NEW 'go on' -p"),
    ("claude -p x --no-session-persistence", "-", "claude 'go on' -p --no-session-persistence"),
    ("claude -p --input-format stream-json --output-format stream-json", "-", "-"),
    ("claude -p --brand-new 'fix it'", "-", "-"),
    ("claude mcp list", "-", "-"),
    (
        "codex exec --skip-git-repo-check --json 'fix it'",
        "codex exec --skip-git-repo-check --json resume SID 'go on'",
        "codex exec --skip-git-repo-check --json -- 'go on'",
    ),
    (
        "codex -a never exec -s workspace-write -i a.png b.png -- 'fix it'",
        "codex -a never exec -s workspace-write resume SID 'go on'",
        "codex -a never exec -s workspace-write -i a.png b.png -- 'go on'",
    ),
    (
        "codex exec resume OLD --json 'fix it' -o out.txt",
        "codex exec --json -o out.txt resume SID 'go on'",
        "codex exec --json -o out.txt -- 'go on'",
    ),
    ("codex exec resume --last more", "codex exec resume SID 'go on'", "codex exec -- 'go on'"),
    ("codex exec -m o3 -", "codex exec -m o3 resume SID 'go on'", "codex exec -m o3 -- 'go on'"),
    ("codex exec --ephemeral x", "-", "codex exec --ephemeral -- 'go on'"),
    ("codex exec review --uncommitted", "-", "-"),
    (
        "gemini --yolo -p 'fix it' --output-format stream-json",
        "gemini --resume SID --prompt 'go on' --yolo --output-format stream-json",
        "gemini --prompt 'go on' --yolo --output-format stream-json",
    ),
    (
        "gemini -r latest -o json fix it",
        "gemini --resume SID --prompt 'go on' -o json",
        "gemini --prompt 'go on' -o json",
    ),
    ("gemini --acp", "-", "-"),
    (
        "qwen 'fix it' -y --allowed-tools a b",
        "qwen --resume SID --prompt 'go on' -y --allowed-tools a b",
        "qwen --prompt 'go on' -y --allowed-tools a b",
    ),
    ("qwen -p x --no-chat-recording", "-", "qwen --prompt 'go on' --no-chat-recording"),
    (
        "opencode run --format json -m a/b 'fix it' -f a.txt b.txt",
        "opencode run --session SID 'go on' --format json -m a/b",
        "opencode run 'go on' --format json -m a/b -f a.txt b.txt",
    ),
    ("opencode run -c fix it", "opencode run --session SID 'go on'", "opencode run 'go on'"),
    ("opencode run --command review a", "opencode run --session SID 'go on'", "-"),
    ("aider a.py --message 'fix it' --yes-always", "-", "aider a.py --message 'go on' --yes-always"),
    ("aider -f todo.txt a.py", "-", "aider --message 'go on' a.py"),
    ("my-agent x", "-", "-"),
];

#[test]
fn resuming_and_starting_anew_keep_every_option_and_replace_the_prompt() {
    for (before, resumed, fresh) in REWRITTEN {
        let agent = agent(&before.replace("OLD", UUID), PIPES);
        let show = |rewritten: Result<Rewritten, Unable>| match rewritten {
            Ok(rewritten) => {
                assert_eq!(rewritten.stdin, Stdin::Nothing, "{before}: the prompt is in the arguments");
                let command = agent.command_line(rewritten, None).unwrap();
                line(&command.argv).replace(ID, "SID").replace(UUID, "NEW")
            }
            Err(_) => "-".to_owned(),
        };
        let session = SessionRef::Id(ID.to_owned());
        assert_eq!(
            show(agent.profile.resume(&agent.call(), &session, "go on")),
            *resumed,
            "resumed: {before}"
        );
        assert_eq!(show(agent.profile.fresh(&agent.call(), "go on", UUID)), *fresh, "fresh: {before}");
    }
}

#[test]
fn what_was_rewritten_reads_as_it_was_meant() {
    for (before, _, _) in REWRITTEN {
        let first = agent(&before.replace("OLD", UUID), PIPES);
        let session = SessionRef::Id(ID.to_owned());
        if let Ok(rewritten) = first.profile.resume(&first.call(), &session, "go on") {
            let again = first.profile.read(&rewritten.arguments, PIPES);
            assert_eq!(again.mode, first.invocation.mode, "{before}");
            assert_eq!(again.prompt, Prompt::ArgumentAndStdin("go on".to_owned()), "{before}");
            assert_eq!(again.asked, Asked::Resumed(ID.to_owned()), "{before}");
            assert_eq!(again.model, first.invocation.model, "{before}");
            let call = Call { arguments: &rewritten.arguments, invocation: &again };
            let twice = first.profile.resume(&call, &session, "go on").unwrap();
            assert_eq!(twice.arguments, rewritten.arguments, "resumed twice is resumed: {before}");
        }
        if let Ok(rewritten) = first.profile.fresh(&first.call(), "go on", UUID) {
            let again = first.profile.read(&rewritten.arguments, PIPES);
            let new = rewritten.session.map_or(Asked::New, Asked::NewAs);
            assert_eq!((again.mode, again.asked), (first.invocation.mode, new), "{before}");
            assert!(
                matches!(again.prompt, Prompt::Argument(text) | Prompt::ArgumentAndStdin(text) if text == "go on")
            );
        }
    }
}

#[test]
fn an_interactive_agent_keeps_its_terminal() {
    for (before, resumed) in [
        ("claude 'fix it'", "claude --resume SID 'go on'"),
        ("codex -m o3 'fix it'", "codex -m o3 resume SID 'go on'"),
        ("gemini -i 'fix it'", "gemini --resume SID --prompt-interactive 'go on'"),
        ("qwen -i 'fix it'", "qwen --resume SID --prompt-interactive 'go on'"),
        ("opencode ./folder --prompt 'fix it'", "opencode --session SID --prompt 'go on' ./folder"),
    ] {
        let agent = agent(before, TERMINAL);
        let session = SessionRef::Id("SID".to_owned());
        let rewritten = agent.profile.resume(&agent.call(), &session, "go on").unwrap();
        assert_eq!(rewritten.stdin, Stdin::Terminal, "{before}");
        assert_eq!(line(&agent.command_line(rewritten, None).unwrap().argv), resumed, "{before}");
    }
}

#[test]
fn some_agents_copy_a_session_go_back_in_it_or_make_it_smaller() {
    let session = SessionRef::Id("SID".to_owned());
    let show = |agent: &Agent<'_>, rewritten: Result<Rewritten, Unable>| match rewritten {
        Ok(rewritten) => line(&agent.command_line(rewritten, None).unwrap().argv),
        Err(_) => "-".to_owned(),
    };
    for (before, forked, rewound, compacted) in [
        (
            "claude -p 'fix it'",
            "claude --resume SID --fork-session 'go on' -p",
            "claude --resume SID --resume-session-at M --fork-session --session-id NEW 'go on' -p",
            "claude --resume SID /compact -p",
        ),
        (
            "claude -p 'fix it' --disable-slash-commands",
            "claude --resume SID --fork-session 'go on' -p --disable-slash-commands",
            "claude --resume SID --resume-session-at M --fork-session --session-id NEW 'go on' -p --disable-slash-commands",
            "-",
        ),
        ("codex exec --json x", "codex exec --json fork SID 'go on'", "-", "-"),
        ("gemini -p x", "-", "-", "-"),
        ("qwen -p x", "-", "-", "-"),
        ("opencode run x", "opencode run --session SID --fork 'go on'", "-", "-"),
        ("aider --message x", "-", "-", "-"),
        ("my-agent", "-", "-", "-"),
    ] {
        let agent = agent(before, PIPES);
        let call = agent.call();
        assert_eq!(show(&agent, agent.profile.fork(&call, &session, "go on")), forked, "{before}");
        assert_eq!(
            show(&agent, agent.profile.rewind(&call, &session, "M", "go on", "NEW")),
            rewound,
            "{before}"
        );
        assert_eq!(show(&agent, agent.profile.compact(&call, &session)), compacted, "{before}");
    }
    // Where a person sits, Claude takes no message to go back to.
    let agent = agent("claude", TERMINAL);
    assert_eq!(show(&agent, agent.profile.rewind(&agent.call(), &session, "M", "go on", "NEW")), "-");
}

#[test]
fn another_model_takes_the_place_of_the_first() {
    for (before, after) in [
        ("claude -p x", "claude --model m -p x"),
        ("claude -p x --model=opus", "claude -p x --model m"),
        ("codex exec --json x", "codex exec --model m --json x"),
        ("codex exec -m o3 x", "codex exec --model m x"),
        ("codex x", "codex --model m x"),
        ("gemini -m a -p x", "gemini --model m -p x"),
        ("qwen -p x", "qwen --model m -p x"),
        ("opencode run -m a/b x", "opencode run --model m x"),
        ("aider --model a --message x", "aider --model m --message x"),
    ] {
        let agent = agent(before, PIPES);
        let rewritten = Rewritten::with_prompt(agent.arguments.clone());
        assert_eq!(line(&agent.command_line(rewritten, Some("m")).unwrap().argv), after, "{before}");
    }
    let unknown = agent("my-agent x", PIPES);
    assert!(unknown.command_line(Rewritten::with_prompt(Vec::new()), Some("m")).is_err());
}

fn surroundings<'a>(cwd: &'a Path, variable: &'a dyn Fn(&str) -> Option<String>) -> Surroundings<'a> {
    Surroundings { home: Some(Path::new("/home/u")), cwd, variable }
}

#[test]
fn transcripts_are_found_where_each_agent_writes_them() {
    let none = |_: &str| None;
    let moved = |name: &str| {
        let folders =
            ["CLAUDE_CONFIG_DIR", "CODEX_HOME", "QWEN_RUNTIME_DIR", "GEMINI_CLI_HOME", "XDG_DATA_HOME"];
        folders.contains(&name).then(|| "/elsewhere".to_owned())
    };
    let empty = |_: &str| Some(String::new());
    let file = |path: &str| Some(Transcript::File(PathBuf::from(path)));
    let cwd = Path::new("/home/u/my.proj_1");
    let claude = format!("/home/u/.claude/projects/-home-u-my-proj-1/{ID}.jsonl");
    let qwen = format!("/home/u/.qwen/projects/-home-u-my-proj-1/chats/{ID}.jsonl");
    for (command, variable, expected) in [
        ("claude -p x", &none as &dyn Fn(&str) -> Option<String>, file(&claude)),
        ("claude -p x", &empty, file(&claude)),
        ("claude -p x", &moved, file(&format!("/elsewhere/projects/-home-u-my-proj-1/{ID}.jsonl"))),
        ("claude -p x --no-session-persistence", &none, None),
        ("claude mcp list", &none, None),
        ("qwen -p x", &none, file(&qwen)),
        ("qwen -p x", &moved, file(&format!("/elsewhere/projects/-home-u-my-proj-1/chats/{ID}.jsonl"))),
        ("opencode run x", &none, file("/home/u/.local/share/opencode/log/opencode.log")),
        ("opencode run x", &moved, file("/elsewhere/opencode/log/opencode.log")),
        ("codex exec --ephemeral x", &none, None),
        ("aider --message x", &none, None),
        ("my-agent", &none, None),
    ] {
        let agent = agent(command, PIPES);
        let found = agent.profile.transcript(&surroundings(cwd, variable), &agent.invocation, Some(ID));
        assert_eq!(found, expected, "{command}");
    }
}

fn search(command: &str, session: Option<&str>) -> Search {
    let none = |_: &str| None;
    let agent = agent(command, PIPES);
    let cwd = Path::new("/home/u/proj");
    match agent.profile.transcript(&surroundings(cwd, &none), &agent.invocation, session) {
        Some(Transcript::Search(search)) => search,
        other => panic!("{command}: {other:?}"),
    }
}

#[test]
fn codex_rollouts_are_told_apart_by_id_or_by_their_first_line() {
    let search_by_id = search("codex exec x", Some(ID));
    let rollout = format!("2026/11/21/rollout-2026-11-21T09-18-51-{ID}.jsonl");
    assert_eq!(search_by_id.directory, Path::new("/home/u/.codex/sessions"));
    assert!(search_by_id.wants(Path::new(&rollout)));
    assert!(!search_by_id.wants(Path::new(&rollout.replace("320", "321"))));
    assert!(!search_by_id.wants(Path::new(&format!("a/{rollout}"))), "too deep");
    assert!(search_by_id.first_line_is_ours("whatever"), "the id is enough");

    let by_line = search("codex exec -C sub x", None);
    assert!(by_line.wants(Path::new(&rollout)));
    assert!(by_line.first_line_is_ours(r#"{"type":"x","payload":{"cwd":"/home/u/proj/sub"}}"#));
    assert!(!by_line.first_line_is_ours(r#"{"type":"x","payload":{"cwd":"/home/u/proj"}}"#));
    assert!(!by_line.first_line_is_ours("{"));
}

#[test]
fn gemini_chats_are_told_apart_by_id_or_by_the_folders_marker() {
    let by_id = search("gemini -p x", Some(ID));
    assert!(by_id.wants(Path::new("proj/chats/session-2026-11-21T09-18-32026962.jsonl")));
    assert!(by_id.wants(Path::new("0a1b/chats/session-2026-11-21T09-18-32026962.json")));
    assert!(!by_id.wants(Path::new("proj/logs/session-32026962.jsonl")));
    assert!(!by_id.wants(Path::new("proj/chats/session-2026-11-21T09-18-42026962.jsonl")));

    let newest = search("gemini -p x", None);
    let chat = newest.directory.join("proj/chats/session-1-a.jsonl");
    let (marker, cwd) = newest.marker(&chat).unwrap();
    assert_eq!(marker, Path::new("/home/u/.gemini/tmp/proj/.project_root"));
    assert_eq!(cwd, Path::new("/home/u/proj"));
    assert_eq!(by_id.marker(&chat), None);
    assert!(matches!(search("claude -p x", None).owner, Owner::Found), "the folder is the project's");
}

#[test]
fn the_session_is_read_from_plain_output_where_it_stands_there() {
    for (name, text, id) in [
        (
            "codex",
            "session id: 01a1fd66-bca5-7042-94d0-141b70e8990b",
            Some("01a1fd66-bca5-7042-94d0-141b70e8990b"),
        ),
        ("codex", "the session id: field", None),
        ("codex", "session id: ", None),
        ("claude", "  claude --resume 32026962-6d28-4530-b84d-70b15b321a17", Some(ID)),
        ("claude", "use claude --resume <id>", None),
        ("opencode", "INFO service=session session.id=ses_4f2a created", Some("ses_4f2a")),
        ("opencode", "session.id=other", None),
        ("gemini", "session id: 1", None),
    ] {
        assert_eq!(by_name(name, &[]).unwrap().session_in_line(text), id, "{name}: {text}");
    }
}

#[test]
fn a_rejected_resume_is_known_by_its_words_or_its_status() {
    for (name, text, exit, rejected) in [
        ("claude", "No conversation found with session ID: 1", Some(1), true),
        ("claude", "Error: No deferred tool marker found in the resumed session.", Some(1), true),
        ("claude", "API Error: 529 Overloaded", Some(1), false),
        ("codex", "Error: no rollout found for thread id 1", Some(1), true),
        ("codex", "stream disconnected before completion", Some(1), false),
        ("gemini", "Error resuming session: Invalid session identifier \"1\"", Some(42), true),
        ("gemini", "", Some(42), true),
        ("gemini", "[API Error: terminated]", Some(1), false),
        ("qwen", "No saved session found with ID 1", Some(1), true),
        ("opencode", "Error: Session not found", Some(1), true),
        ("aider", "Session not found", Some(1), false),
    ] {
        assert_eq!(by_name(name, &[]).unwrap().rejects_resume(text, exit), rejected, "{name}: {text}");
    }
    let claude = by_name("claude", &[]).unwrap();
    assert!(claude.session_is_taken("Error: Session ID 1 is already in use."));
    assert!(!claude.rejects_resume("Error: Session ID 1 is already in use.", Some(1)));
}

#[test]
fn exit_statuses_mean_what_the_agent_means_by_them() {
    for (name, mode, status, exit) in [
        ("claude", Mode::Text, 0, Exit::Success),
        ("claude", Mode::Text, 1, Exit::Failure),
        ("claude", Mode::Text, 143, Exit::Interrupted),
        ("claude", Mode::Text, 137, Exit::Crashed),
        ("gemini", Mode::StreamJson, 173, Exit::Class(Class::RateLimit)),
        ("gemini", Mode::StreamJson, 144, Exit::Class(Class::Http400)),
        ("gemini", Mode::StreamJson, 147, Exit::Class(Class::AuthError)),
        ("gemini", Mode::StreamJson, 247, Exit::Class(Class::Overloaded)),
        ("gemini", Mode::Text, 173, Exit::Failure),
        ("gemini", Mode::Text, 41, Exit::Class(Class::AuthError)),
        ("gemini", Mode::StreamJson, 53, Exit::Class(Class::MaxTurns)),
        ("gemini", Mode::StreamJson, 130, Exit::Interrupted),
        ("qwen", Mode::StreamJson, 53, Exit::Class(Class::MaxTurns)),
        ("qwen", Mode::StreamJson, 173, Exit::Failure),
        ("codex", Mode::StreamJson, 139, Exit::Crashed),
        ("generic", Mode::Unknown, 2, Exit::Failure),
    ] {
        assert_eq!(by_name(name, &[]).unwrap().exit(status, mode), exit, "{name} {status}");
    }
}

#[test]
fn every_stop_ends_with_a_kill_of_the_tree() {
    for profile in PROFILES.iter().copied().chain([GENERIC]) {
        for mode in [Mode::Text, Mode::Interactive, Mode::StreamJson] {
            let steps = profile.stop(mode);
            let last = steps.last().unwrap();
            assert_eq!((last.signal, last.target), (Signal::Kill, Target::Tree), "{}", profile.name());
            assert!(steps.len() > 1 && steps[0].signal != Signal::Kill, "{}: gentle first", profile.name());
        }
    }
    // Launchers that swallow a signal to themselves alone.
    for name in ["gemini", "qwen"] {
        assert_eq!(by_name(name, &[]).unwrap().stop(Mode::Text)[0].target, Target::Group);
    }
    assert_eq!(by_name("claude", &[]).unwrap().stop(Mode::Text)[0].signal, Signal::Int);
    assert_eq!(by_name("claude", &[]).unwrap().stop(Mode::Interactive)[0].signal, Signal::Term);
}

#[test]
fn silence_says_nothing_of_an_agent_that_prints_at_its_end() {
    let normal = |name: &str, mode| by_name(name, &[]).unwrap().silence(mode).normal_sec;
    assert_eq!(normal("claude", Mode::Text), None);
    assert_eq!(normal("claude", Mode::Json), None);
    assert!(normal("claude", Mode::StreamJson).unwrap() >= 600, "a request may take its whole time limit");
    assert_eq!(normal("generic", Mode::Unknown), None);
}

#[test]
fn a_person_is_told_what_to_do_about_every_class() {
    for profile in PROFILES.iter().copied().chain([GENERIC]) {
        for class in Class::ALL {
            let fix = profile.fix(*class);
            assert!(fix.ends_with('.') && fix.len() > 10, "{}: {fix}", profile.name());
        }
    }
}

#[test]
fn an_agent_that_continues_by_itself_says_so_in_its_menu() {
    let claude = by_name("claude", &[]).unwrap();
    assert!(claude.continues_by_itself("❯ 1. Wait here, then continue automatically at 3pm"));
    assert!(!claude.continues_by_itself("❯ 1. Stop and wait for limit to reset  2. Upgrade your plan"));
    assert!(!claude.continues_by_itself("  2. Don’t continue automatically"), "the other choice alone");
}

fn custom_fields() -> CustomFields {
    let words = |line: &str| Some(argv(line));
    CustomFields {
        programs: vec!["mytool".to_owned()],
        prompt: Some("--task".to_owned()),
        start: words("{args} --id {session}"),
        resume: words("{args} --continue {session} --task={prompt}"),
        fresh: words("{args} --task {prompt}"),
        transcript: Some("~/.mytool/{session}/*.jsonl".to_owned()),
        stop_signal: Some("SIGINT".to_owned()),
        stop_to: Some("process".to_owned()),
        quiet_sec: Some(90),
        ..CustomFields::default()
    }
}

#[test]
fn a_profile_of_the_users_own_fills_in_its_templates() {
    let custom = CustomProfile::new("mytool", custom_fields()).unwrap();
    let own: &[&dyn Profile] = &[&custom];
    let agent = Agent::recognise(&argv("nice mytool --fast --task 'fix {prompt}' -v"), own, PIPES);
    assert_eq!(agent.profile.name(), "mytool");
    assert_eq!(agent.invocation.prompt, Prompt::ArgumentAndStdin("fix {prompt}".to_owned()));
    assert_eq!(line(&agent.prepared("7").argv), "nice mytool --fast --task 'fix {prompt}' -v --id 7");
    let session = SessionRef::Id("7".to_owned());
    let resumed = agent.profile.resume(&agent.call(), &session, "see {session}").unwrap();
    assert_eq!(line(&resumed.arguments), "--fast -v --continue 7 '--task=see {session}'", "filled in once");
    let fresh = agent.profile.fresh(&agent.call(), "anew", UUID).unwrap();
    assert_eq!(line(&fresh.arguments), "--fast -v --task anew");
    assert!(agent.profile.resume(&agent.call(), &SessionRef::Latest, "x").is_err(), "it names the session");

    let none = |_: &str| None;
    let place = agent.profile.transcript(&surroundings(Path::new("/w"), &none), &agent.invocation, Some("7"));
    assert_eq!(place, Some(Transcript::Pattern("/home/u/.mytool/7/*.jsonl".to_owned())));
    let stop = agent.profile.stop(Mode::Text);
    assert_eq!((stop[0].signal, stop[0].target, stop[0].wait_sec), (Signal::Int, Target::Process, 10));
    assert_eq!(agent.profile.silence(Mode::Text).normal_sec, Some(90));
}

#[test]
fn a_profile_of_the_users_own_may_take_the_place_of_a_built_in_one() {
    let fields = CustomFields { programs: vec!["claude".to_owned()], ..custom_fields() };
    let custom = CustomProfile::new("ours", fields).unwrap();
    let own: &[&dyn Profile] = &[&custom];
    assert_eq!(Agent::recognise(&argv("claude x"), own, PIPES).profile.name(), "ours");
    assert_eq!(by_name("ours", own).unwrap().name(), "ours");
    assert_eq!(by_name("claude", own).unwrap().name(), "claude");
}

#[test]
fn mistakes_in_a_profile_are_named() {
    let check = |change: &dyn Fn(&mut CustomFields), field: &str, words: &str| {
        let mut fields = custom_fields();
        change(&mut fields);
        let error = CustomProfile::new("mytool", fields).unwrap_err();
        assert_eq!(error.field, field);
        assert!(error.cause.contains(words), "{}", error.cause);
    };
    check(&|fields| fields.programs = argv("/opt/mytool"), "programs", "`/opt/mytool` is no name");
    check(&|fields| fields.mode = Some("jsonl".into()), "mode", "not \"jsonl\"");
    check(&|fields| fields.prompt = Some("first".into()), "prompt", "not \"first\"");
    check(&|fields| fields.start = Some(argv("{args}")), "start", "it has no `{session}`");
    check(&|fields| fields.resume = Some(argv("--continue {session}")), "resume", "it has no `{prompt}`");
    check(&|fields| fields.resume = Some(argv("{prompt} {id}")), "resume", "there is no `{id}`");
    check(&|fields| fields.resume = Some(argv("{prompt} a={args}")), "resume", "a word of its own");
    check(&|fields| fields.fresh = Some(argv("{prompt} {session}")), "fresh", "no `{session}` to fill in");
    check(&|fields| fields.stop_signal = Some("USR3".into()), "stop_signal", "not \"USR3\"");
    check(&|fields| fields.stop_to = Some("all".into()), "stop_to", "not \"all\"");
}
