//! Own rules: from a configuration file to a finding; and what is said of those that cannot be used.

use std::io::Write;
use std::process::Stdio;

use crate::support::{Run, World};

const PROJECT: &str = "home/project/.session-doctor.toml";

/// A rule for plain lines, one that is switched off, an introducer.
const OWN: &str = r#"
[[rule]]
id = "gateway_busy"
class = "overloaded"
severity = "high"
line = 'gateway: no free slot'
text = ['no free slot in pool \d+']
yes = ["gateway: no free slot for team 7", "no free slot in pool 3"]
no = ["gateway: all slots are free"]

[[rule]]
id = "auth_words"
disabled = true

[[introducer]]
id = "our_proxy"
line = 'llm-proxy error: '
"#;

/// Runs the program on this input, with the world's directory as `W`.
fn feed(world: &World, args: &[&str], input: &str) -> Run {
    let mut command = world.command(args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let root = world.path("").to_str().unwrap().trim_end_matches('/').to_owned();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&root, "W");
    Run { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// The rule and severity of each finding.
fn findings(world: &World, input: &str) -> Vec<String> {
    let run = feed(world, &["tap", "--emit", "finding"], input);
    assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""));
    let events = run.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    events
        .map(|event| {
            let word = |key: &str| event[key].as_str().unwrap().to_owned();
            format!("{} {} {}", word("class"), word("severity"), word("rule"))
        })
        .collect()
}

#[test]
fn an_own_rule_makes_findings_with_its_name_and_severity() {
    let input = "gateway: no free slot for team 7\nbuilding\nllm-proxy error: no free slot in pool 3\nInvalid API key · Please run /login\n";
    let own = World::new().write(PROJECT, OWN);
    let found = findings(&own, input);
    assert_eq!(found[..2], ["overloaded high gateway_busy", "overloaded high gateway_busy"]);
    assert!(!found.iter().any(|finding| finding.ends_with("auth_words")), "{found:?}");
    let without = findings(&World::new(), input);
    assert!(without.iter().all(|finding| finding.starts_with("auth_error")), "{without:?}");
    assert_eq!(
        findings(
            &own,
            "{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"No free slot in pool 9\"}}\n"
        ),
        ["overloaded high gateway_busy"]
    );
}

#[test]
fn later_layers_replace_the_rules_of_earlier_ones() {
    let world = World::new()
        .write("home/.config/session-doctor/config.toml", OWN)
        .write(PROJECT, "[[rule]]\nid = 'gateway_busy'\nclass = 'network'\nline = 'gateway: '\n");
    assert_eq!(findings(&world, "gateway: no free slot\n"), ["network low gateway_busy"]);
    let world = world.write(PROJECT, "[[rule]]\nid = 'gateway_busy'\ndisabled = true\n");
    assert!(findings(&world, "gateway: no free slot\n").is_empty());
}

#[test]
fn explain_shows_own_rules_as_it_shows_the_others() {
    let world = World::new().write(PROJECT, OWN);
    let shown = world.run(&["explain", "--format", "text", "gateway: no free slot"]).stdout;
    assert!(shown.starts_with("line 1: overloaded: decided by `gateway_busy`\n"), "{shown}");
    assert!(shown.contains("fires  gateway_busy (overloaded): line `gateway: no free slot`"), "{shown}");
}

#[test]
fn the_list_says_where_each_rule_comes_from() {
    let world = World::new().write(PROJECT, OWN);
    let text = world.run(&["rules", "list"]).stdout;
    let row = |id: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("{id} "))).unwrap_or_default();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("ID"), "ID CLASS ORIGINS RANK FROM");
    assert_eq!(
        row("gateway_busy"),
        "gateway_busy overloaded provider,agent text W/home/project/.session-doctor.toml:2"
    );
    assert_eq!(row("our_proxy"), "our_proxy (introducer) W/home/project/.session-doctor.toml:15");
    assert_eq!(row("auth_words"), "auth_words (disabled) W/home/project/.session-doctor.toml:11");
    assert_eq!(row("auth_status"), "auth_status auth_error provider,agent status built-in");

    let json = world.run(&["rules", "list", "--format", "json"]).stdout;
    let rows: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), text.lines().count() - 1);
    let own = rows.iter().find(|row| row["id"] == "gateway_busy").unwrap();
    assert_eq!((&own["kind"], &own["severity"]), (&"rule".into(), &"high".into()));
    assert_eq!(own["line_stems"], serde_json::json!(["gateway: no free slot"]));
}

#[test]
fn a_rule_that_cannot_be_used_is_78_and_says_where_and_why() {
    let check = |text: &str, line: usize, cause: &str, hint: &str| {
        let world = World::new().write(PROJECT, text);
        let run = feed(&world, &["tap"], "");
        let hint = if hint.is_empty() { String::new() } else { format!("  hint: {hint}\n") };
        assert_eq!(
            run.stderr,
            format!(
                "error: failed to load settings from `W/{PROJECT}` line {line}\n  cause: {cause}\n{hint}"
            )
        );
        assert_eq!((run.status, run.stdout.as_str()), (Some(78), ""));
    };
    let rule = "[[rule]]\nid = \"q\"\nclass = \"overloaded\"\n";
    check(&format!("{rule}txt = 'x'"), 4, "rule `q`: there is no field `txt`", "did you mean `text`?");
    check(
        "[[rule]]\nid = 'q'\nclass = 'rate_limits'",
        3,
        "rule `q`: `class` cannot be `rate_limits`",
        "did you mean `rate_limit`?",
    );
    check(
        &format!("{rule}severity = 'bad'"),
        4,
        "rule `q`: `severity` cannot be `bad`",
        "possible are: low, medium, high, critical",
    );
    check(
        &format!("{rule}origins = ['provider', 'agnt']"),
        4,
        "rule `q`: `origins` cannot be `agnt`",
        "did you mean `agent`?",
    );
    check(
        &format!("{rule}agents = 'cladue'"),
        4,
        "rule `q`: `agents` cannot be `cladue`",
        "did you mean `claude`?",
    );
    check(&format!("{rule}rank = 'txt'"), 4, "rule `q`: `rank` cannot be `txt`", "did you mean `text`?");
    check(
        &format!("{rule}status = [429, 200]"),
        4,
        "rule `q`: `status` must be from 400 to 599, not 200",
        "",
    );
    check(&format!("{rule}text = [1]"), 4, "rule `q`: `text` must be a string, not a whole number", "");
    check(
        &format!("{rule}disabled = 'yes'"),
        4,
        "rule `q`: `disabled` must be true or false, not a string",
        "",
    );
    check(
        "\n[[rule]]\nclass = 'overloaded'",
        2,
        "[[rule]]: it has no `id`",
        "give it a name: id = \"my_gateway_busy\"",
    );
    check("rule = 1", 1, "`rule` must be a list of tables, written [[rule]], not a whole number", "");
    check(
        "[[introducer]]\nid = 'i'\nclass = 'crash'",
        3,
        "introducer `i`: there is no field `class`",
        "possible are: id, line, unless, stems, disabled",
    );
    check("[[rul]]", 1, "there is no key `rul`", "did you mean `rule`?");
    check(rule, 1, "rule `q`: nothing can trigger it", "give it `text`, `line`, `code` or `status`");
    check(
        &format!("{rule}text = [\n  'fine words',\n  'Bad words',\n]"),
        6,
        "rule `q`: `text`: `Bad words`: it has the upper-case letter `B`",
        "texts are in lower case when they are looked at; write `b`",
    );
    check(&format!("{rule}line = '(x'"), 4, "rule `q`: `line`: `(x`: unclosed group (at character 1)", "");
    check(
        &format!("{rule}unless = 'x?'\ntext = 'some words'"),
        4,
        "rule `q`: `unless`: `x?`: it can match the empty text",
        "at least one character has to be there: `+` instead of `*`",
    );
    check(
        &format!("{rule}text = '\\d+'"),
        4,
        "rule `q`: `text`: `\\d+`: no word of 3 characters or more has to stand in what it matches",
        "put a fixed word into the pattern (into each of its alternatives), or name `stems` that stand in every text that it matches",
    );
    check(
        "[[rule]]\nid = 'auth_word'\ndisabled = true",
        2,
        "rule `auth_word`: `id`: there is no rule of this name to switch off",
        "did you mean `auth_words`?",
    );
    check(
        &format!("{rule}text = 'some words'\n{rule}text = 'more words'"),
        6,
        "rule `q`: `id`: the name is used twice in this file",
        &format!("the first stands at W/{PROJECT}:1"),
    );
}

#[test]
fn check_tells_every_mistake_and_what_the_pre_scan_has_to_do() {
    let world = World::new().write(PROJECT, OWN).write(
        "home/project/more.toml",
        "[[rule]]\nid = 'a'\nclass = 'crash'\ntext = 'Aaa'\n[[rule]]\nid = 'b'\nclass = 'crash'\n",
    );
    let run = world.run(&["rules", "check"]);
    assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""));
    assert!(
        run.stdout
            .starts_with("1 own rules, 1 own introducers, 1 disabled (at most 500 together): no mistakes\n")
    );
    assert!(run.stdout.contains(" of 64\n") && run.stdout.contains(" of 2000\n"), "{}", run.stdout);

    let run = world.run(&["rules", "check", "more.toml"]);
    assert_eq!((run.status, run.stdout.as_str()), (Some(78), ""));
    let places: Vec<&str> = run.stderr.lines().filter(|line| line.starts_with("error")).collect();
    assert_eq!(
        places,
        [
            "error: failed to load settings from `more.toml` line 4",
            "error: failed to load settings from `more.toml` line 5",
        ]
    );
    let run = world.run(&["rules", "check", "absent.toml"]);
    assert_eq!(
        run.stderr,
        "error: failed to load settings from `absent.toml`\n  cause: there is no such file\n"
    );
}

#[test]
fn rules_that_would_cost_too_much_are_refused_with_place_and_hint() {
    // `at`: how the line begins that is named.
    let check = |rules: &str, at: &str, cause: &str, hint: &str| {
        for (file, args) in
            [(PROJECT, &["tap"][..]), ("home/project/dear.toml", &["rules", "check", "dear.toml"])]
        {
            let run = World::new().write(file, rules).run(args);
            assert_eq!((run.status, run.stdout.as_str()), (Some(78), ""), "{args:?}: {run:?}");
            let named = run.stderr.lines().next().unwrap().rsplit_once(" line ").unwrap().1;
            let named = rules.lines().nth(named.parse::<usize>().unwrap() - 1).unwrap();
            assert!(named.starts_with(at), "{args:?}: {named}");
            let (causes, hints) = run.stderr.split_once("  hint: ").unwrap();
            assert!(causes.contains(cause) && hints.contains(hint), "{args:?}: {}", run.stderr);
            assert_eq!(run.stderr.matches("error: ").count(), 1, "{}", run.stderr);
        }
    };
    let many = |count: usize, pattern: &dyn Fn(usize) -> String| -> String {
        let rule = |n| format!("[[rule]]\nid = 'r{n}'\nclass = 'crash'\nline = '{}'\n", pattern(n));
        (0..count).map(rule).collect()
    };
    let rule = "[[rule]]\nid = 'q'\nclass = 'crash'\n";
    check(
        &many(70, &|n| format!(".*word{n:02}")),
        "line = ",
        "65 literals must be searched anywhere in a line, at most 64",
        "begin with the words that the line begins with",
    );
    let letters = |n: usize| [n / 26, n % 26].map(|n| char::from(b'a' + n as u8)).iter().collect::<String>();
    check(
        &many(200, &|n| format!("[a-m]{} failed", letters(n))),
        "line = ",
        "lines may begin in 2",
        "fewer alternatives",
    );
    check(
        &format!("{rule}text = 'quota(?:\\w{{500}}){{40}}'\n"),
        "text = ",
        "rule `q`: `text`: its patterns compile to more than 1024 KiB",
        "smaller counts",
    );
    let long = format!("{rule}text = 'quota {}'\n", "x".repeat(5000));
    check(&long, "text = ", "the pattern is too long", "make several patterns");
    check(&many(501, &|n| format!("word {n}")), "[[rule]]", "501 own rules, at most 500", "make one rule");
}

const TESTS: &str = r#"
[[test]]
line = "gateway: no free slot for team 7"
expect = "overloaded"
rule = "gateway_busy"

[[test]]
line = "I saw: gateway: no free slot"
expect = "none"

[[test]]
text = "no free slot in pool 3"
origin = "agent"
agent = "claude"
expect = "overloaded"

[[test]]
text = "no such file"
origin = "tool"
expect = "none"
"#;

#[test]
fn tests_that_hold_are_0_and_others_1() {
    let world = World::new().write(PROJECT, OWN).write("home/project/t.toml", TESTS);
    let run = world.run(&["rules", "test", "t.toml"]);
    assert_eq!(
        (run.status, run.stdout.as_str(), run.stderr.as_str()),
        (Some(0), "4 tests, 0 failed; 3 examples of rules, 0 failed\n", "")
    );

    let both = format!(
        "{}\n[[test]]\nline = 'gateway: no free slot'\nexpect = 'none'\n[[test]]\ntext = 'all is well'\nexpect = 'crash'\nrule = 'x'\n",
        OWN.replace("team 7\", \"no", "team 7\", \"nothing known\", \"no")
            .replace("all slots are free", "no free slot")
    );
    let world = World::new().write("home/project/t.toml", &both);
    let run = world.run(&["rules", "test", "t.toml"]);
    assert_eq!(
        run.stdout,
        "t.toml:19: expected none, got overloaded by `gateway_busy`\n  line  gateway: no free slot\n\
         t.toml:22: expected crash by `x`, got none\n  text  all is well\n\
         t.toml:2: rule `gateway_busy`: `yes`: expected overloaded, got none\n  text  nothing known\n\
         t.toml:2: rule `gateway_busy`: `no`: expected not `gateway_busy`, got it\n  text  gateway: no free slot\n\
         2 tests, 2 failed; 4 examples of rules, 2 failed\n"
    );
    assert_eq!(run.status, Some(1));
}

#[test]
fn a_test_that_cannot_be_read_is_78() {
    let check = |text: &str, words: &str| {
        let world = World::new().write("home/project/t.toml", text);
        let run = world.run(&["rules", "test", "t.toml"]);
        assert_eq!((run.status, run.stdout.as_str()), (Some(78), ""), "{run:?}");
        assert!(run.stderr.contains(words), "{words}: {}", run.stderr);
    };
    check("[[test]]\nline = 'x'\n", "[[test]]: it has no `expect`");
    check("[[test]]\nexpect = 'none'\n", "it has neither `line` nor `text`");
    check("[[test]]\nline = 'x'\ntext = 'x'\nexpect = 'none'\n", "it has both `line` and `text`");
    check("[[test]]\nline = 'x'\norigin = 'tool'\nexpect = 'none'\n", "`origin` goes with `text`");
    check("[[test]]\nlin = 'x'\n", "did you mean `line`?");
    check("[[test]]\nline = 'x'\nexpect = 'nothing'\n", "`expect` cannot be `nothing`");
    check("[[tests]]\n", "did you mean `test`?");
}

#[test]
fn what_rules_cost_is_told_on_standard_error() {
    let world = World::new().write(PROJECT, OWN);
    let input = "gateway: no free slot\nbuilding\ngateway: no free slots at all\n";
    let run = feed(&world, &["tap", "--rule-stats", "--format", "json"], input);
    let stats: serde_json::Value = serde_json::from_str(run.stderr.trim_end()).unwrap();
    assert_eq!(stats["type"], "rule_stats");
    let row = stats["rules"].as_array().unwrap().iter().find(|row| row["rule"] == "gateway_busy").unwrap();
    assert_eq!((&row["hits"], &row["tries"], &row["bytes"]), (&2.into(), &2.into(), &50.into()));
    assert!(row["from"].as_str().unwrap().ends_with(".session-doctor.toml:2"));
    let times: Vec<u64> =
        stats["rules"].as_array().unwrap().iter().map(|row| row["time_ns"].as_u64().unwrap()).collect();
    assert!(
        times[0] > 0 && times.is_sorted_by(|one, other| one >= other),
        "the dearest comes first: {times:?}"
    );

    let plain = feed(&world, &["tap", "--format", "text"], input);
    let counted = feed(&world, &["tap", "--format", "text", "--rule-stats"], input);
    assert_eq!(plain.stderr, "");
    assert_eq!(counted.stdout.lines().count(), plain.stdout.lines().count());
    let rows: Vec<String> =
        counted.stderr.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(rows[0], "RULE CLASS FROM HITS TRIES BYTES TIME");
    let row = rows.iter().find(|row| row.starts_with("gateway_busy overloaded W/")).unwrap();
    let (_, time) = row.split_once(" 2 2 50 ").unwrap();
    assert!(time.strip_suffix(" ms").unwrap().parse::<f64>().is_ok(), "{row}");
    assert!(rows.last().unwrap().starts_with("hits: it decided"), "{rows:?}");
}
