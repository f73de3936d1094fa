//! `usage` from outside: which files it finds, what it prints, and what it says when something is wrong.

use std::fs;

use serde_json::Value;

use super::support::{Run, World};

fn said(session: &str, message: &str, day: u32, model: &str) -> String {
    format!(
        r#"{{"parentUuid":"p","isSidechain":false,"cwd":"/home/u/shop","sessionId":"{session}","version":"2.1.0","type":"assistant","requestId":"req_011CAbCdEf","message":{{"id":"{message}","type":"message","role":"assistant","model":"{model}","content":[{{"type":"text","text":"ok"}}],"stop_reason":null,"usage":{{"input_tokens":1000,"cache_creation_input_tokens":2000,"cache_read_input_tokens":300000,"output_tokens":4000}}}},"uuid":"u","timestamp":"2026-11-{day:02}T05:00:00.000Z"}}
"#
    )
}

fn world() -> World {
    let world = World::new();
    for folder in ["home/.claude/projects/shop", "home/.codex/sessions/2026"] {
        fs::create_dir_all(world.path(folder)).unwrap();
    }
    let one = said("11111111-1111-4111-8111-111111111111", "msg_01AAAAAAAAAAAAAA", 19, "claude-opus-4-6");
    let again = said("22222222-2222-4222-8222-222222222222", "msg_01AAAAAAAAAAAAAA", 19, "claude-opus-4-6");
    let two =
        said("22222222-2222-4222-8222-222222222222", "msg_01BBBBBBBBBBBBBB", 20, "claude-haiku-4-5-20251001");
    let rollout = concat!(
        r#"{"timestamp":"2026-11-20T06:00:00.000Z","type":"session_meta","payload":{"id":"0199f2c4-7a11-7c31-9d55-000000000001","cwd":"/home/u/blog","originator":"codex_exec","cli_version":"0.169.0"}}"#,
        "\n",
        r#"{"timestamp":"2026-11-20T06:00:00.500Z","type":"turn_context","payload":{"turn_id":"t","cwd":"/home/u/blog","model":"nobody-1"}}"#,
        "\n",
        r#"{"timestamp":"2026-11-20T06:00:01.000Z","type":"event_msg","payload":{"type":"token_count","info":{"total_token_usage":{"input_tokens":900,"cached_input_tokens":400,"output_tokens":100},"last_token_usage":{"input_tokens":900,"cached_input_tokens":400,"output_tokens":100}},"rate_limits":null}}"#,
        "\n"
    );
    world
        .write("home/.claude/projects/shop/one.jsonl", &one)
        .write("home/.claude/projects/shop/two.jsonl", &(again + &two))
        .write("home/.claude/projects/shop/notes.md", "Tokens: 12k sent, 1.1k received.\n")
        .write("home/.codex/sessions/2026/rollout-a.jsonl", rollout)
}

fn json(run: &Run) -> Value {
    assert_eq!((run.status, &*run.stderr), (Some(0), ""));
    serde_json::from_str(&run.stdout).unwrap()
}

#[test]
fn the_agents_own_folders_are_read_when_none_is_named() {
    let run = world().run(&["usage", "--timezone", "UTC"]);
    assert_eq!((run.status, &*run.stderr), (Some(0), ""));
    let shown: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(
        shown,
        [
            "DATE        AGENT         MODELS              INPUT  OUTPUT  CACHE WRITE  CACHE READ    TOTAL     COST",
            "──────────────────────────────────────────────────────────────────────────────────────────────────────",
            "2026-11-19  claude        opus-4-6            1,000   4,000        2,000     300,000  307,000    $0.27  ████████████████",
            "2026-11-20  claude codex  haiku-4-5 nobody-1  1,500   4,100        2,000     300,400  308,000  $0.05+?  ███▎",
            "──────────────────────────────────────────────────────────────────────────────────────────────────────",
            "TOTAL                                         2,500   8,100        4,000     600,400  615,000  $0.32+?",
            "",
            "? there is no price for nobody-1 (1,000 tokens): not in the cost.",
        ]
    );
}

#[test]
fn every_report_has_the_same_total() {
    let world = world();
    for report in ["daily", "weekly", "monthly", "session", "blocks", "models"] {
        let told = json(&world.run(&["usage", report, "--json", "--timezone", "UTC"]));
        assert_eq!(told["report"], report);
        assert_eq!(told["total"]["total_tokens"], 615_000, "{report}");
        assert_eq!(told["total"]["unpriced_tokens"], 1000, "{report}");
        let rows = told["rows"].as_array().unwrap();
        let sum: i64 = rows.iter().map(|row| row["total_tokens"].as_i64().unwrap()).sum();
        assert_eq!(sum, 615_000, "{report}");
    }
}

#[test]
fn filters_leave_out_what_they_say() {
    let world = world();
    let total = |args: &[&str]| {
        let args = [&["usage", "--json", "--timezone", "UTC"], args].concat();
        json(&world.run(&args))["total"]["total_tokens"].as_i64().unwrap()
    };
    assert_eq!(total(&["--since", "2026-11-20"]), 308_000);
    assert_eq!(total(&["--until", "20261119"]), 307_000);
    assert_eq!(total(&["--agent", "codex"]), 1000);
    assert_eq!(total(&["--project", "u/shop"]), 614_000);
    assert_eq!(total(&["--project", "nowhere"]), 0);
}

#[test]
fn a_cost_that_nobody_knows_is_null_and_not_nothing() {
    let told = json(&world().run(&["usage", "models", "--json"]));
    let row = told["rows"].as_array().unwrap().iter().find(|row| row["model"] == "nobody-1").unwrap();
    assert_eq!(row["cost_usd"], Value::Null);
}

#[test]
fn a_price_list_stands_in_front_of_the_table() {
    let list = r#"{"nobody-1":{"input_cost_per_token":0.001,"output_cost_per_token":0.01,"cache_read_input_token_cost":0.0}}"#;
    let world = world().write("prices.json", list);
    let prices = world.path("prices.json");
    let told = json(&world.run(&[
        "usage",
        "models",
        "--json",
        "--agent",
        "codex",
        "--prices",
        prices.to_str().unwrap(),
    ]));
    assert_eq!(told["total"]["cost_usd"], 1.5);
}

#[test]
fn csv_has_a_row_for_each_model_when_asked() {
    let run = world().run(&["usage", "--csv", "--breakdown", "--timezone", "UTC"]);
    assert_eq!(
        run.stdout,
        "date,model,requests,input_tokens,output_tokens,cache_creation_tokens,cache_creation_1h_tokens,cache_read_tokens,total_tokens,cost_usd,unpriced_tokens\n\
         2026-11-19,claude-opus-4-6,1,1000,4000,2000,0,300000,307000,0.2675,0\n\
         2026-11-20,claude-haiku-4-5,1,1000,4000,2000,0,300000,307000,0.0535,0\n\
         2026-11-20,nobody-1,1,500,100,0,0,400,1000,,1000\n"
    );
}

#[test]
fn names_cannot_speak_to_the_terminal() {
    let hostile = said("a\\u001b[2Jb", "msg_01CCCCCCCCCCCCCC", 20, "m\\u001b]0;x\\u0007n\\nq");
    let world = World::new().write("home/project/t.jsonl", &hostile);
    for report in ["session", "models", "daily"] {
        for form in [&["--color", "never"][..], &["--color", "never", "--csv"]] {
            let run = world.run(&[&["usage", report, "t.jsonl"][..], form].concat());
            assert_eq!(run.status, Some(0), "{}", run.stderr);
            assert!(!run.stdout.contains(['\x1b', '\x07']), "{report}: {:?}", run.stdout);
        }
    }
}

#[test]
fn what_is_missing_is_told_and_the_rest_counts() {
    let world = world();
    let run = world.run(&["usage", "--json", "gone.jsonl", world.path("home/.codex").to_str().unwrap()]);
    assert_eq!(run.status, Some(66));
    assert!(run.stderr.contains("failed to find `gone.jsonl`"), "{}", run.stderr);
    let told: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(told["total"]["total_tokens"], 1000);
}

#[test]
fn without_any_transcripts_it_says_where_it_looked() {
    let run = World::new().run(&["usage"]);
    assert_eq!(run.status, Some(66));
    assert!(run.stderr.contains("W/home/.claude/projects"), "{}", run.stderr);
}

#[test]
fn a_list_that_is_none_and_a_day_that_is_none_are_refused() {
    let world = world().write("home/project/prices.json", "[1]");
    assert_eq!(world.run(&["usage", "--prices", "prices.json"]).status, Some(65));
    assert_eq!(world.run(&["usage", "--since", "yesterday"]).status, Some(64));
    assert_eq!(world.run(&["usage", "--since", "2026-13-01"]).status, Some(64));
}

#[test]
fn standard_input_is_read_when_it_is_named() {
    let world = world();
    let path = world.path("home/.claude/projects/shop/two.jsonl");
    let read = |stdin: fs::File, more: &[&str]| {
        let args = [&["usage", "session", "--json", "-"], more].concat();
        let output = world.command(&args).stdin(stdin).output().unwrap();
        assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        told["total"]["total_tokens"].clone()
    };
    let open = || fs::File::open(&path).unwrap();
    assert_eq!(read(open(), &[]), 614_000);
    let together = ["home/.claude", "home/.codex"].map(|name| world.path(name));
    let together: Vec<&str> = together.iter().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(read(open(), &together), 615_000, "what is in a file as well counts once");
    let empty = fs::File::open("/dev/null").unwrap();
    assert_eq!(read(empty, &[]), 0);
}

/// What the caches of this world hold: their names, and when they were written.
fn kept(world: &World) -> Vec<(std::ffi::OsString, std::time::SystemTime)> {
    let entries = fs::read_dir(world.path("home/.cache/session-doctor")).into_iter().flatten().flatten();
    let mut kept: Vec<_> =
        entries.map(|entry| (entry.file_name(), entry.metadata().unwrap().modified().unwrap())).collect();
    kept.sort();
    kept
}

#[test]
fn what_old_files_told_is_kept_and_told_again() {
    let world = world();
    // Files of the project itself were there a while ago, unless it was checked out this minute.
    let old = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/transcripts/claude");
    let report = |flag: &str| {
        let run = world.run(&["usage", "session", "--json", flag, old]);
        (run.status, run.stdout)
    };
    let without = report("--no-cache");
    assert_eq!(kept(&world), [], "not where it is not wanted");
    assert_eq!(report("--cache"), without);
    let first = kept(&world);
    assert_eq!(report("--cache"), without);
    assert_eq!(kept(&world), first, "nothing changed, nothing is written");
    for (name, _) in &first {
        fs::write(world.path("home/.cache/session-doctor").join(name), "no cache").unwrap();
    }
    assert_eq!(report("--cache"), without);
    let refused = world.run(&["usage", "--cache", "--no-cache"]);
    assert_eq!(refused.status, Some(64));
}
