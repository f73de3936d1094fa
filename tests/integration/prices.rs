//! `prices` from outside: which hold, and how a list of one's own comes and goes.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::support::World;

const LIST: &str = r#"{"sample_spec":{"max_input_tokens":"set this"},
    "nobody-1":{"input_cost_per_token":2e-6,"output_cost_per_token":4e-6,"max_input_tokens":1000},
    "claude-opus-4-6":{"input_cost_per_token":1e-6,"output_cost_per_token":2e-6,"max_input_tokens":500000}}"#;

const SAID: &str = r#"{"parentUuid":"p","isSidechain":false,"cwd":"/w","sessionId":"11111111-1111-4111-8111-111111111111","version":"2.1.0","type":"assistant","message":{"id":"msg_01AAAAAAAAAAAAAA","type":"message","role":"assistant","model":"nobody-1","content":[{"type":"text","text":"ok"}],"usage":{"input_tokens":500,"output_tokens":250}},"uuid":"u","timestamp":"2026-11-20T05:00:00.000Z"}
"#;

fn world() -> World {
    World::new().write("home/project/list.json", LIST).write("home/project/t.jsonl", SAID)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// What the usage of `t.jsonl` costs, and by which prices.
fn cost(world: &World, more: &[&str]) -> (Value, Value) {
    let run = world.run(&[&["usage", "--json", "t.jsonl"], more].concat());
    assert_eq!((run.status, &*run.stderr), (Some(0), ""));
    let told = json(&run.stdout);
    (told["total"]["cost_usd"].clone(), told["prices"]["source"].clone())
}

#[test]
fn a_stored_list_holds_for_every_command_until_it_is_removed() {
    let world = world();
    assert_eq!(cost(&world, &[]), (Value::Null, "built-in".into()));
    let run = world.run(&["prices", "update", "--file", "list.json"]);
    assert_eq!((run.status, &*run.stderr), (Some(0), ""));
    assert_eq!(
        run.stdout,
        "Stored the prices of 2 models in W/home/.local/state/session-doctor/prices.json.\nNot as built in: claude-opus-4-6.\n"
    );
    let stored = fs::metadata(world.path("home/.local/state/session-doctor/prices.json")).unwrap();
    assert_eq!(stored.permissions().mode() & 0o777, 0o600);

    assert_eq!(cost(&world, &[]), (0.002.into(), "stored".into()));
    let table = world.run(&["usage", "t.jsonl"]).stdout;
    assert!(table.contains("\nPrices: list.json of 2"), "{table}");
    let full = json(&world.run(&["check-tokens", "--json", "t.jsonl"]).stdout);
    assert_eq!((full["limit"].as_u64(), full["percent"].as_f64()), (Some(1000), Some(75.0)));

    let run = world.run(&["prices", "reset"]);
    assert!(run.stdout.starts_with("Removed the stored prices"), "{}", run.stdout);
    assert!(world.run(&["prices", "reset"]).stdout.starts_with("No prices were stored"));
    assert_eq!(cost(&world, &[]), (Value::Null, "built-in".into()));
}

#[test]
fn a_list_that_is_named_stands_above_the_stored_one() {
    let world = world().write("home/project/other.json", &LIST.replace("2e-6", "1"));
    world.run(&["prices", "update", "--file", "list.json"]);
    let (cost, source) = cost(&world, &["--prices", "other.json"]);
    assert_eq!((cost, source), (500.001.into(), "other.json".into()));
}

#[test]
fn what_is_no_list_is_not_stored_and_what_was_stored_stays() {
    let world = world()
        .write("home/project/no.json", "[1, 2]")
        .write("home/project/empty.json", r#"{"a":{"input_cost_per_token":-1,"output_cost_per_token":-1}}"#);
    world.run(&["prices", "update", "--file", "list.json"]);
    for (file, status) in [("no.json", 65), ("empty.json", 65), ("none.json", 66)] {
        let run = world.run(&["prices", "update", "--file", file]);
        assert_eq!((run.status, &*run.stdout), (Some(status), ""), "{file}");
        assert!(run.stderr.contains(file), "{}", run.stderr);
    }
    assert_eq!(cost(&world, &[]), (0.002.into(), "stored".into()));
}

#[test]
fn a_stored_list_that_is_broken_is_told_of_and_passed_over() {
    let world = world();
    world.run(&["prices", "update", "--file", "list.json"]);
    let path = world.path("home/.local/state/session-doctor/prices.json");
    let whole = fs::read_to_string(&path).unwrap();
    let half = whole[..whole.len() / 2].to_owned();
    for text in
        [half, String::new(), whole.replace("\"form\":1", "\"form\":2"), whole.replace("[2.0,", "[-2.0,")]
    {
        fs::write(&path, text).unwrap();
        let run = world.run(&["usage", "--json", "t.jsonl"]);
        assert_eq!(run.status, Some(0));
        assert!(run.stderr.starts_with("warning: failed to use the stored prices"), "{}", run.stderr);
        assert!(run.stderr.contains("session-doctor prices reset"), "{}", run.stderr);
        assert_eq!(json(&run.stdout)["prices"]["source"], "built-in");
    }
    let input = r#"{"model":{"display_name":"M"},"cost":{"total_cost_usd":1}}"#;
    let mut line = world.command(&["statusline"]);
    let line = line.stdin(fs::File::open(world.write("in", input).path("in")).unwrap()).output().unwrap();
    assert_eq!((line.status.code(), line.stderr), (Some(0), Vec::new()), "a status line says nothing of it");
}

#[test]
fn prices_are_listed_as_records_name_models() {
    let world = world();
    world.run(&["prices", "update", "--file", "list.json"]);
    let run = world.run(&["prices", "list", "us.anthropic.claude-opus-4-6-20260101-v1:0", "gpt-5"]);
    assert_eq!((run.status, &*run.stderr), (Some(0), ""));
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(
        lines[..3],
        [
            "MODEL                                        WINDOW  INPUT  OUTPUT  WRITE  1 HOUR   READ  > 200K  FROM",
            "us.anthropic.claude-opus-4-6-20260101-v1:0  500,000      1       2      1     1.6      1          list",
            "gpt-5                                       272,000   1.25      10   1.25    1.25  0.125          built-in",
        ]
    );
    assert!(lines[4].starts_with("Prices: list.json of 2"), "{}", lines[4]);
    let told = json(&world.run(&["prices", "list", "--json"]).stdout);
    let models = told["models"].as_array().unwrap();
    assert!(models.len() > 50);
    let of = |name: &str| models.iter().find(|model| model["model"] == name).unwrap().clone();
    assert_eq!(of("nobody-1")["usd_per_million"]["output"], 4.0);
    assert_eq!(
        (of("nobody-1")["from"].clone(), of("gpt-5")["from"].clone()),
        ("list".into(), "built-in".into())
    );
}

#[test]
fn a_model_without_a_price_is_not_passed_over_in_silence() {
    let run = world().run(&["prices", "list", "gpt-5", "opus-4-6"]);
    assert_eq!(run.status, Some(69));
    assert!(run.stdout.contains("\ngpt-5 "), "what there is, is shown: {}", run.stdout);
    assert!(
        run.stderr.contains("`opus-4-6`") && run.stderr.contains("hint: there are: claude-opus-4-6"),
        "{}",
        run.stderr
    );
}
