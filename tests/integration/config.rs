//! `config`: what holds, and where it comes from.

use crate::support::World;

const USER: &str = "home/.config/session-doctor/config.toml";
const PROJECT: &str = "home/project/.session-doctor.toml";

#[test]
fn origins_name_file_and_line_variable_flag_or_default() {
    let world = World::new()
        .write(USER, "max_sessions = 3\nthreads = 2\n")
        .write(PROJECT, "# ours\nthreads = 4\n[class.rate_limit]\nalert = \"first\"\n")
        .write("home/given.toml", "glob = ['*.out', '!tmp/']");
    let args = ["config", "show", "--origins", "--config", "../given.toml", "--color", "never"];
    let run = world.run_with(&args, &[("SESSION_DOCTOR_EMIT", "alert,decision")]);
    assert_eq!(run.status, Some(0), "{run:?}");
    let expected = r#"agent = "auto" # from default
format = "auto" # from default
color = "never" # from flag --color
emit = ["alert", "decision"] # from variable SESSION_DOCTOR_EMIT
fail_on = "never" # from default
glob = ["*.out", "!tmp/"] # from ../given.toml:1
threads = 4 # from W/home/project/.session-doctor.toml:2
time_zone = "local" # from default
line_limit_bytes = 4194304 # from default
max_sessions = 3 # from W/home/.config/session-doctor/config.toml:1
error_repeat_count = 3 # from default
error_window_sec = 300 # from default
max_auto_retries = 2 # from default
backoff_base_sec = 2 # from default
backoff_max_sec = 32 # from default
reset_margin_sec = 45 # from default
long_backoff_base_sec = 30 # from default
long_backoff_max_sec = 900 # from default
unknown_reset_sec = 900 # from default
unknown_reset_max_sec = 3600 # from default
stall_sec = 1800 # from default
tool_stall_sec = 3600 # from default
settle_sec = 15 # from default
budget_usd = 0 # from default
budget_tokens = 0 # from default
budget_usd_per_day = 0 # from default
budget_tokens_per_day = 0 # from default
budget_usd_per_project = 0 # from default
budget_tokens_per_project = 0 # from default
budget_usd_per_min = 0 # from default
budget_warn_pct = 0.8 # from default
usage_interval_sec = 300 # from default
allow_repeat = [] # from default

[class.rate_limit]
alert = "first" # from W/home/project/.session-doctor.toml:4
"#;
    assert_eq!(run.stdout, expected);
}

#[test]
fn what_is_shown_can_be_used_as_a_file() {
    let world = World::new().write(
        PROJECT,
        "threads = 4\nglob = ['a\"b\\c']\n[class.timeout]\nseverity = 'high'\nstrategy = 'halt'\n",
    );
    let shown = world.run(&["config", "show"]).stdout;
    let again = World::new().write(PROJECT, &shown).run(&["config", "show"]);
    assert_eq!((again.status, again.stdout), (Some(0), shown));
}

#[test]
fn json_holds_the_same() {
    let world = World::new().write(PROJECT, "threads = 4\n[class.timeout]\nseverity = 'high'\n");
    let json =
        |args: &[&str]| -> serde_json::Value { serde_json::from_str(&world.run(args).stdout).unwrap() };
    let plain = json(&["config", "show", "--format", "json"]);
    assert_eq!(plain["threads"], 4);
    assert_eq!(plain["class.timeout.severity"], "high");
    let with_origins = json(&["config", "show", "--format", "json", "--origins"]);
    assert_eq!(with_origins["threads"]["value"], 4);
    assert_eq!(with_origins["threads"]["origin"], "W/home/project/.session-doctor.toml:1");
    assert_eq!(with_origins["agent"]["origin"], "default");
}

#[test]
fn paths_are_listed_even_when_a_file_is_wrong() {
    let world = World::new().write(USER, "this is not TOML");
    let run = world.run(&["config", "paths", "--config", "x.toml"]);
    assert_eq!(run.status, Some(0));
    // Whether the machine has a system file is its own affair.
    let listed: Vec<&str> = run.stdout.lines().skip(1).collect();
    assert_eq!(
        listed,
        [
            "user     read    W/home/.config/session-doctor/config.toml",
            "project  absent  W/home/project/.session-doctor.toml",
            "given    absent  x.toml",
        ]
    );
}
