//! Ordinary sessions of other kinds, made up apart from those in `sessions`: what agents do when they do not fix a bug by
//! editing and testing, in the words of three agents. Every chapter gets somewhere, if slowly.

use serde_json::{Value, json};

use super::chance::Chance;
use super::story::{Ask, Beat, Tongue, edit};

/// Kinds of work, each a chapter of a session.
type Chapter = fn(&mut Scribe<'_>);

const CHAPTERS: &[(&str, Chapter)] = &[
    ("a pipeline with long runs", pipeline),
    ("writing documentation", documentation),
    ("a migration over many files", migration),
    ("one test that fails for a while", debugging),
    ("research on the web", research),
    ("reading in parallel", survey),
    ("work along a list", checklist),
    ("work given to sub-agents", delegation),
    ("watching a log", log_tailing),
    ("trying things in an interpreter", interpreter),
    ("builds with warnings", builds),
    ("putting a service up", deployment),
];

/// Returns the name of the only kind of work in the session of this seed, if it has but one.
pub fn kind(seed: u64) -> &'static str {
    CHAPTERS[seed as usize % CHAPTERS.len()].0
}

/// Returns a session of about so many steps that is told in this tongue. One chapter in two is of the kind that the seed
/// says, the others of any.
pub fn ordinary(seed: u64, steps: usize, tongue: Tongue) -> Vec<Beat> {
    let mut chance = Chance::new(seed ^ 0x0B5E);
    let mut scribe = Scribe { tongue, chance: &mut chance, beats: Vec::new(), chapter: 0 };
    scribe.beats.push(Beat::Hears(format!("Take care of ticket {}.", seed * 31 % 9973)));
    loop {
        let own = scribe.chapter.is_multiple_of(2);
        let at =
            if own { seed as usize % CHAPTERS.len() } else { scribe.below(CHAPTERS.len() as u64) as usize };
        CHAPTERS[at].1(&mut scribe);
        scribe.chapter += 1;
        let calls =
            scribe.beats.iter().map(|beat| if let Beat::Calls(calls) = beat { calls.len() } else { 0 });
        if calls.sum::<usize>() >= steps {
            return scribe.beats;
        }
        if scribe.one_in(3) {
            let word = scribe.pick(&["go on", "continue", "ok, next", "yes", "looks good, go on"]);
            scribe.beats.push(Beat::Hears(word.to_owned()));
        }
    }
}

struct Scribe<'c> {
    tongue: Tongue,
    chance: &'c mut Chance,
    beats: Vec<Beat>,
    chapter: u64,
}

impl Scribe<'_> {
    fn below(&mut self, end: u64) -> u64 {
        self.chance.below(end)
    }

    fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.chance.below(last + 1 - first)
    }

    fn one_in(&mut self, of: u64) -> bool {
        self.chance.below(of) == 0
    }

    fn pick<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.chance.below(of.len() as u64) as usize]
    }

    fn is(&self, tongue: Tongue) -> bool {
        self.tongue == tongue
    }

    fn tell(&mut self, ask: Ask, answer: impl ToString, failed: bool) {
        if self.one_in(4) {
            let text = self.pick(&[
                "Let me check.",
                "Now the next one.",
                "Good, that is as expected. I go on with the rest.",
                "I look at the output first.",
            ]);
            self.beats.push(Beat::Says(text.to_owned()));
        }
        self.beats.push(Beat::Calls(vec![(ask, answer.to_string(), failed)]));
    }

    fn pass(&mut self, seconds: u64) {
        self.beats.push(Beat::Passes(seconds as u32));
    }

    fn tool(&self, claude: (&str, Value), codex: (&str, Value), gemini: (&str, Value)) -> Ask {
        let (name, input) = match self.tongue {
            Tongue::Codex => codex,
            Tongue::Gemini => gemini,
            Tongue::Claude | Tongue::Renamed => claude,
        };
        Ask::Tool { name: name.to_owned(), input }
    }

    fn sh(&self, command: impl ToString) -> Ask {
        let command = command.to_string();
        self.tool(
            ("Bash", json!({"command": command, "timeout": 120_000})),
            ("shell", json!({"command": ["bash", "-lc", command], "workdir": "/w"})),
            ("run_shell_command", json!({"command": command, "directory": "."})),
        )
    }

    fn run(&mut self, command: impl ToString, answer: impl ToString) {
        let ask = self.sh(command);
        self.tell(ask, answer, false);
    }

    fn run_fails(&mut self, command: impl ToString, answer: impl ToString) {
        let ask = self.sh(command);
        self.tell(ask, answer, true);
    }

    fn show(&self, path: &str) -> Ask {
        self.tool(
            ("Read", json!({"file_path": path})),
            ("shell", json!({"command": ["bash", "-lc", format!("cat {path}")]})),
            ("read_file", json!({"absolute_path": path})),
        )
    }

    fn read(&mut self, path: &str, text: impl ToString) {
        let ask = self.show(path);
        self.tell(ask, text, false);
    }

    fn search(&self, pattern: &str, place: &str) -> Ask {
        self.tool(
            ("Grep", json!({"pattern": pattern, "path": place, "output_mode": "content"})),
            ("shell", json!({"command": ["bash", "-lc", format!("rg -n {pattern} {place}")]})),
            ("search_file_content", json!({"pattern": pattern, "include": place})),
        )
    }

    fn grep(&mut self, pattern: &str, place: &str, answer: impl ToString) {
        let ask = self.search(pattern, place);
        self.tell(ask, answer, false);
    }

    fn write(&mut self, path: &str, text: &str) {
        let patch =
            format!("*** Begin Patch\n*** Add File: {path}\n+{}\n*** End Patch", text.replace('\n', "\n+"));
        let ask = self.tool(
            ("Write", json!({"file_path": path, "content": text})),
            ("apply_patch", json!(patch)),
            ("write_file", json!({"file_path": path, "content": text})),
        );
        let answer = if self.is(Tongue::Codex) {
            format!("Success. Updated the following files:\nA {path}")
        } else {
            format!("File created successfully at: {path}")
        };
        self.tell(ask, answer, false);
    }

    fn change(&mut self, path: &str, old: impl ToString, new: impl ToString) {
        let answer = match self.tongue {
            Tongue::Codex => format!("Success. Updated the following files:\nM {path}"),
            Tongue::Gemini => format!("Successfully modified file: {path} (1 replacements)."),
            _ => format!("The file {path} has been updated successfully."),
        };
        self.tell(edit(path, old, new), answer, false);
    }

    fn plan(&mut self, items: &[String], done: usize) {
        let status = |at: usize| {
            if at < done {
                "completed"
            } else if at == done {
                "in_progress"
            } else {
                "pending"
            }
        };
        let list = |name: &str| {
            items
                .iter()
                .enumerate()
                .map(|(at, item)| json!({name: item, "status": status(at)}))
                .collect::<Vec<_>>()
        };
        let ask = self.tool(
            ("TodoWrite", json!({"todos": list("content")})),
            ("update_plan", json!({"plan": list("step")})),
            ("write_todos", json!({"todos": list("description")})),
        );
        let answer = match self.tongue {
            Tongue::Codex => "Plan updated",
            Tongue::Gemini => "Successfully updated the todo list.",
            _ => {
                "Todos have been modified successfully. Ensure that you continue to use the todo list to track your progress."
            }
        };
        self.tell(ask, answer, false);
    }

    /// Asks after something that runs in the background.
    fn look_after(&mut self, job: u64, answer: impl ToString) {
        let ask = self.tool(
            ("BashOutput", json!({"bash_id": format!("bash_{job}")})),
            ("write_stdin", json!({"session_id": job, "chars": "", "yield_time_ms": 30_000})),
            ("run_shell_command", json!({"command": format!("tail -n 5 job{job}.log")})),
        );
        self.tell(ask, answer, false);
    }
}

fn pipeline(scribe: &mut Scribe<'_>) {
    let name = scribe.pick(&["train", "backfill", "embed", "index"]);
    let job = scribe.between(100, 999);
    scribe.run(
        format!("python -m jobs.{name} --config conf/{name}.yaml --dry-run"),
        format!("plan: {} partitions, 0 errors", scribe_number(job)),
    );
    scribe.run(
        format!("nohup python -m jobs.{name} --config conf/{name}.yaml > job{job}.log 2>&1 &"),
        format!("[1] {}", job * 37),
    );
    let parts = scribe.between(3, 9);
    for part in 1..=parts {
        // The log stands still for a while between two parts.
        for _ in 0..scribe.between(1, 6) {
            let seconds = scribe.between(30, 120);
            if scribe.one_in(2) {
                scribe.run(format!("sleep {seconds}"), "");
            }
            scribe.pass(seconds);
            scribe.look_after(
                job,
                format!("<status>running</status>\n[{name}] part {part}/{parts}: loss 0.{}", 900 - part * 83),
            );
        }
        if scribe.one_in(3) {
            scribe.run(
                "df -h /data",
                format!(
                    "Filesystem Size Used Avail Use% Mounted on\n/dev/sda1 500G {}G {}G {}% /data",
                    200 + part * 9,
                    300 - part * 9,
                    40 + part
                ),
            );
        }
        if scribe.one_in(3) {
            scribe.run("nvidia-smi --query-gpu=utilization.gpu --format=csv,noheader", "97 %");
        }
    }
    scribe.look_after(job, format!("<status>completed</status>\n[{name}] wrote {} rows", job * 1041));
    scribe.run(
        format!("python -m jobs.check {name}"),
        format!("{name}: {} rows, 0 duplicates, 0 nulls", job * 1041),
    );
}

fn scribe_number(of: u64) -> u64 {
    of % 41 + 3
}

fn documentation(scribe: &mut Scribe<'_>) {
    let topics = [
        "install",
        "quickstart",
        "configuration",
        "events",
        "plugins",
        "errors",
        "deploy",
        "faq",
        "upgrade",
        "security",
    ];
    let first = scribe.below(5) as usize;
    for topic in &topics[first..first + 5] {
        let source = format!("src/{topic}.py");
        let body: String =
            (0..20).map(|n| format!("def {topic}_{n}(x):\n    return x + {}\n", n * 7)).collect();
        scribe.read(&source, body);
        let chapter = scribe.chapter;
        scribe.write(
            &format!("docs/{topic}_{chapter}.md"),
            &format!("# {topic}\n\nHow {topic} works in part {chapter}.\n"),
        );
        for pass in 0..scribe.between(1, 3) {
            scribe.change(
                &format!("docs/{topic}_{chapter}.md"),
                format!("sentence {pass} of {topic}"),
                format!("better sentence {pass} of {topic}"),
            );
        }
        if scribe.one_in(2) {
            scribe.run("npx markdownlint docs", "");
        } else {
            scribe.run("mkdocs build --strict", "INFO - Cleaning site directory\nINFO - Building documentation to directory: /w/site\nINFO - Documentation built in 1.21 seconds");
        }
    }
}

fn migration(scribe: &mut Scribe<'_>) {
    let word = scribe.pick(&["get_user", "LegacyClient", "utcnow", "assertEquals"]);
    let count = scribe.between(8, 22);
    let found: String =
        (0..count).map(|n| format!("app/mod_{n}.py:{}: x = {word}()\n", n * 13 + 7)).collect();
    scribe.grep(word, "app", found);
    let chapter = scribe.chapter;
    for n in 0..count {
        let path = format!("app/mod_{n}.py");
        if scribe.one_in(2) {
            scribe.read(&path, format!("import lib\n\ndef f_{n}():\n    x = {word}()\n    return x * {n}\n"));
        }
        scribe.change(&path, format!("x = {word}()"), format!("x = new_{word}_{chapter}()"));
        if scribe.one_in(4) {
            scribe.run(format!("python -m py_compile {path}"), "");
        }
        if scribe.one_in(6) {
            scribe.run(
                "git diff --stat | tail -1",
                format!(" {} files changed, {} insertions(+), {} deletions(-)", n + 1, n + 1, n + 1),
            );
        }
    }
    scribe.grep(&format!("\\b{word}\\b"), "app", "No matches found");
    scribe.run("pytest -q", format!("{} passed in 12.3s", 200 + count));
    scribe.run(format!("git commit -qam 'Replace {word} ({chapter})'"), "");
}

fn debugging(scribe: &mut Scribe<'_>) {
    let test = scribe.pick(&["test_retry_budget", "test_parse_zone", "test_close_twice", "test_merge_order"]);
    let module = scribe.pick(&["core", "http", "store"]);
    let error = format!(
        "FAILED tests/test_{module}.py::{test} - AssertionError: assert {} == {}",
        scribe.below(9),
        10 + scribe.below(9)
    );
    let command = format!("pytest tests/test_{module}.py -x -q");
    scribe.run_fails(&command, format!("{error}\n1 failed, 11 passed in 0.84s"));
    let path = format!("lib/{module}.py");
    let chapter = scribe.chapter;
    for attempt in 0..scribe.between(2, 7) {
        match scribe.below(4) {
            0 => scribe.read(&path, format!("class {module}:\n    # attempt {attempt}\n    pass\n")),
            1 => {
                scribe.grep(test, "tests", format!("tests/test_{module}.py:{}: def {test}():", 40 + chapter))
            }
            2 => {
                scribe.change(
                    &path,
                    format!("return value_{chapter}_{attempt}"),
                    format!("print('here {attempt}')\n    return value_{chapter}_{attempt}"),
                );
                scribe.run_fails(
                    format!("{command} -s"),
                    format!("here {attempt}: state={}\n{error}\n1 failed, 11 passed in 0.9s", attempt * 3),
                );
                scribe.change(
                    &path,
                    format!("print('here {attempt}')\n    return value_{chapter}_{attempt}"),
                    format!("return value_{chapter}_{attempt}"),
                );
            }
            _ => scribe.run(format!("git log --oneline -5 -- {path}"), "a1b2c3d fix zones\nb2c3d4e first\n"),
        }
        scribe.change(
            &path,
            format!("value_{chapter}_{attempt}"),
            format!("value_{chapter}_{}", attempt + 1),
        );
        scribe.run_fails(&command, format!("{error}\n1 failed, 11 passed in 0.8{attempt}s"));
    }
    scribe.change(&path, format!("if not seen_{chapter}"), format!("if seen_{chapter} is None"));
    scribe.run(&command, "12 passed in 0.79s");
    scribe.run("pytest -q", "214 passed in 9.12s");
}

fn research(scribe: &mut Scribe<'_>) {
    let subject = scribe.pick(&[
        "tokio select cancellation",
        "postgres logical replication slot",
        "http/3 priorities",
        "arrow ipc alignment",
    ]);
    for n in 0..scribe.between(3, 7) {
        let query = format!(
            "{subject} {}",
            scribe.pick(&["docs", "issue", "benchmark", "example", "pitfalls", "2026"])
        );
        let ask = scribe.tool(
            ("WebSearch", json!({"query": query})),
            ("web_search", json!({"query": query})),
            ("google_web_search", json!({"query": query})),
        );
        let nothing = scribe.one_in(4);
        let found: String = (0..4)
            .map(|at| format!("{}. {query}: result {} https://example.org/{}/{at}\n", at + 1, n * 4 + at, n))
            .collect();
        scribe.tell(ask, if nothing { "No results found.".to_owned() } else { found }, false);
        for at in 0..scribe.below(3) {
            let url = format!("https://example.org/{n}/{at}");
            let ask = scribe.tool(
                ("WebFetch", json!({"url": url, "prompt": "What does it say about limits?"})),
                ("shell", json!({"command": ["bash", "-lc", format!("curl -sL {url}")]})),
                ("web_fetch", json!({"prompt": format!("Summarize {url}")})),
            );
            let failed = scribe.one_in(4);
            let answer = if failed {
                "Request failed with status code 403".to_owned()
            } else {
                format!("The page {n}.{at} says that {subject} is bounded by {}.", n * 17 + at)
            };
            scribe.tell(ask, answer, failed);
        }
    }
    let chapter = scribe.chapter;
    scribe.write(&format!("notes/{chapter}.md"), &format!("# {subject}\n\nWhat I found, part {chapter}.\n"));
}

fn survey(scribe: &mut Scribe<'_>) {
    let chapter = scribe.chapter;
    for n in 0..scribe.between(2, 5) {
        let calls = (0..scribe.between(2, 6))
            .map(|at| {
                let path = format!("pkg{chapter}/part{n}/file{at}.go");
                let text: String = (0..30)
                    .map(|line| format!("{line}\tfunc F{n}{at}{line}() int {{ return {} }}\n", line * at))
                    .collect();
                (scribe.show(&path), text, false)
            })
            .chain([(
                scribe.search(&format!("func New{n}"), "pkg"),
                if n % 2 == 0 {
                    "No matches found".to_owned()
                } else {
                    format!("pkg/x.go:{n}: func New{n}()")
                },
                false,
            )])
            .collect();
        scribe.beats.push(Beat::Calls(calls));
        scribe.beats.push(Beat::Says(format!("Part {n} is clear: it does what its name says.")));
    }
    // What was read at first is read again before it is changed.
    let path = format!("pkg{chapter}/part0/file0.go");
    let text: String = (0..30).map(|line| format!("{line}\tfunc F00{line}() int {{ return 0 }}\n")).collect();
    scribe.read(&path, text);
    scribe.change(&path, format!("return 0 // {chapter}"), format!("return 1 // {chapter}"));
    scribe.run("go vet ./...", "");
}

fn checklist(scribe: &mut Scribe<'_>) {
    let chapter = scribe.chapter;
    let items: Vec<String> =
        (0..scribe.between(4, 9)).map(|n| format!("Step {n} of part {chapter}")).collect();
    scribe.plan(&items, 0);
    for done in 0..items.len() {
        let path = format!("web/src/view_{done}.tsx");
        scribe.read(&path, format!("export const V{done} = () => <p>{done}</p>;\n"));
        scribe.change(&path, format!("<p>{done}.{chapter}</p>"), format!("<h1>{done}.{chapter}</h1>"));
        if scribe.one_in(2) {
            scribe.run("npx tsc --noEmit", "");
        }
        if scribe.one_in(3) {
            scribe.run("npx eslint web/src", "\n> eslint web/src\n\nDone in 2.1s.");
        }
        scribe.plan(&items, done + 1);
    }
    scribe.run(
        "npm run build",
        "vite v5.2.0 building for production...\n✓ 214 modules transformed.\n✓ built in 3.91s",
    );
}

fn delegation(scribe: &mut Scribe<'_>) {
    let chapter = scribe.chapter;
    for n in 0..scribe.between(2, 5) {
        let task = format!("Find every caller of handler {n} in area {chapter} and say what it passes.");
        let ask = scribe.tool(
            (
                "Task",
                json!({"description": "find callers", "prompt": task, "subagent_type": "general-purpose"}),
            ),
            ("spawn_agent", json!({"message": task})),
            ("codebase_investigator", json!({"objective": task})),
        );
        scribe.pass(90);
        scribe.tell(
            ask,
            format!("I found {} callers of handler {n}. They pass an id and a flag.", 3 + n * 2),
            false,
        );
        // A reviewer is asked the same each time, after a change.
        scribe.change(
            &format!("svc/handler_{n}.rs"),
            format!("old_{n}_{chapter}"),
            format!("new_{n}_{chapter}"),
        );
        let task = "Review the diff of the working tree. Report bugs only.";
        let ask = scribe.tool(
            ("Task", json!({"description": "review", "prompt": task, "subagent_type": "reviewer"})),
            ("spawn_agent", json!({"message": task})),
            ("delegate_to_agent", json!({"agent_name": "reviewer", "objective": task})),
        );
        let verdict = if scribe.one_in(3) {
            format!("One remark: handler {n} does not check the flag.")
        } else {
            "No bugs found.".to_owned()
        };
        scribe.pass(60);
        scribe.tell(ask, verdict, false);
    }
}

fn log_tailing(scribe: &mut Scribe<'_>) {
    let host = scribe.between(1, 9);
    let mut served = scribe.between(1000, 9000);
    for round in 0..scribe.between(4, 14) {
        let seconds = scribe.pick(&["10", "15", "30"]);
        scribe.pass(seconds.parse().unwrap());
        if !scribe.one_in(3) {
            served += scribe.between(1, 40);
        }
        let lines: String =
            (0..3).map(|n| format!("10.0.0.{host} GET /health 200 n={}\n", served + n)).collect();
        match scribe.below(3) {
            0 => scribe.run(format!("ssh web{host} 'tail -n 3 /var/log/nginx/access.log'"), lines),
            1 => scribe.run(
                format!("sleep {seconds} && ssh web{host} 'tail -n 3 /var/log/nginx/access.log'"),
                lines,
            ),
            _ => scribe.run(
                format!("ssh web{host} 'grep -c \" 500 \" /var/log/nginx/access.log'"),
                if round < 2 { "3" } else { "4" },
            ),
        }
        if scribe.one_in(4) {
            scribe.run(
                format!("curl -s -o /dev/null -w '%{{http_code}}' https://web{host}.example.com/health"),
                "200",
            );
        }
    }
}

fn interpreter(scribe: &mut Scribe<'_>) {
    let chapter = scribe.chapter;
    for n in 0..scribe.between(6, 16) {
        let code = match scribe.below(5) {
            0 => format!("df = load({n}, {chapter})"),
            1 => format!("df.groupby('k{n}').size().head()"),
            2 => format!("import mod{n}"),
            3 => format!("assert df['c{n}'].notna().all()"),
            _ => format!("df['c{n}'].describe()"),
        };
        let answer = match code.split_once('(') {
            _ if code.starts_with("import") || code.starts_with("assert") || code.contains(" = ") => {
                String::new()
            }
            _ => format!("k\na {}\nb {}\ndtype: int64", n * 31 + chapter, n * 17),
        };
        let ask = match scribe.below(3) {
            0 => scribe.sh(format!("python -c \"{code}\"")),
            1 => Ask::Tool { name: "mcp__jupyter__execute_cell".to_owned(), input: json!({"code": code}) },
            _ => scribe.tool(
                ("mcp__ide__executeCode", json!({"code": code})),
                ("write_stdin", json!({"session_id": 7, "chars": format!("{code}\n")})),
                ("run_shell_command", json!({"command": format!("python3 -c \"{code}\"")})),
            ),
        };
        if scribe.one_in(6) {
            scribe.tell(ask, format!("Traceback (most recent call last):\n  File \"<stdin>\", line 1, in <module>\nKeyError: 'c{n}'"), true);
        } else {
            scribe.tell(ask, answer, false);
        }
    }
}

fn builds(scribe: &mut Scribe<'_>) {
    let chapter = scribe.chapter;
    let warnings = "warning: unused variable: `tmp`\n --> src/legacy.rs:41:9\nwarning: field `id` is never read\n --> src/legacy.rs:12:5\n";
    let broken = scribe.between(0, 3);
    for n in 0..scribe.between(4, 10) {
        scribe.change("src/engine.rs", format!("step_{chapter}_{n}"), format!("step_{chapter}_{}", n + 1));
        let build = scribe.pick(&["cargo build", "cargo build 2>&1 | tail -5", "cargo check"]);
        if n < broken {
            scribe.run_fails(build, format!("{warnings}error[E0308]: mismatched types\n --> src/engine.rs:{}:5\nerror: could not compile `app` (lib) due to 1 previous error; 2 warnings emitted", 40 + n));
        } else {
            scribe.run(build, format!("{warnings}warning: `app` (lib) generated 2 warnings\n    Finished `dev` profile [unoptimized + debuginfo] target(s) in {}.31s", 2 + n));
        }
        // Some look twice, at the end of what was long.
        if scribe.one_in(3) {
            scribe.run("cargo build 2>&1 | grep -c warning", "3");
        }
        if scribe.one_in(3) {
            scribe.run("git status --short", " M src/engine.rs");
        }
    }
}

fn deployment(scribe: &mut Scribe<'_>) {
    let service = scribe.pick(&["api", "worker", "gateway"]);
    let chapter = scribe.chapter;
    scribe.read(
        &format!("deploy/{service}.yaml"),
        format!("kind: Deployment\nmetadata:\n  name: {service}\n  rev: {chapter}\n"),
    );
    scribe.change(
        &format!("deploy/{service}.yaml"),
        format!("rev: {chapter}"),
        format!("rev: {}", chapter + 1),
    );
    scribe.run(
        format!("kubectl apply -f deploy/{service}.yaml"),
        format!("deployment.apps/{service} configured"),
    );
    let age = scribe.between(2, 12);
    for n in 0..age {
        scribe.pass(15);
        scribe.run(
            format!("kubectl get pods -l app={service}"),
            format!(
                "NAME READY STATUS RESTARTS AGE\n{service}-7d9f8b6c4-abcde 0/1 ContainerCreating 0 {}s",
                15 * (n + 1)
            ),
        );
        if scribe.one_in(3) {
            scribe.run(
                format!("kubectl describe pod -l app={service} | tail -4"),
                "Normal  Pulling  kubelet  Pulling image \"registry/app\"",
            );
        }
    }
    scribe.run(
        format!("kubectl get pods -l app={service}"),
        format!("NAME READY STATUS RESTARTS AGE\n{service}-7d9f8b6c4-abcde 1/1 Running 0 {}s", 15 * age + 20),
    );
    // It answers late.
    for n in 0..scribe.below(5) {
        scribe.pass(5);
        scribe.run_fails(
            format!("curl -sf http://{service}.local/health"),
            format!(
                "curl: (7) Failed to connect to {service}.local port 80 after {n} ms: Connection refused"
            ),
        );
    }
    scribe.run(format!("curl -sf http://{service}.local/health"), "{\"ok\":true}");
    scribe.run(
        format!("kubectl rollout history deploy/{service}"),
        format!("REVISION CHANGE-CAUSE\n{} <none>", chapter + 1),
    );
}
