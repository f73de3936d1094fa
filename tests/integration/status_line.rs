//! `statusline` from outside: always one line, whatever comes in.

use std::io::Write;
use std::process::Stdio;

use super::support::World;

fn drawn(world: &World, args: &[&str], input: &[u8]) -> String {
    let mut child = world
        .command(&[&["statusline"], args].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that has read enough may be gone.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.ends_with('\n') && text.lines().count() == 1, "{text:?}");
    text.trim_end().to_owned()
}

const TOLD: &str = r#"{"session_id":"6b0c","transcript_path":"/nowhere/t.jsonl","model":{"id":"claude-opus-5-5","display_name":"Opus 5.5"},"cost":{"total_cost_usd":1.83},"context_window":{"context_window_size":1000000,"used_percentage":18},"rate_limits":{"five_hour":{"used_percentage":97.2,"resets_at":1000000000}}}"#;

#[test]
fn what_claude_code_tells_becomes_a_line() {
    assert_eq!(drawn(&World::new(), &[], TOLD.as_bytes()), "Opus 5.5 · context 18 % · $1.83");
}

#[test]
fn without_its_word_the_transcript_says_how_full_the_window_is() {
    let request = r#"{"parentUuid":"p","isSidechain":false,"cwd":"/w","sessionId":"11111111-1111-4111-8111-111111111111","version":"2.0.0","type":"assistant","message":{"id":"m","type":"message","role":"assistant","model":"claude-sonnet-4-5","content":[{"type":"text","text":"ok"}],"usage":{"input_tokens":1,"cache_read_input_tokens":184998,"output_tokens":1}},"uuid":"u","timestamp":"2026-11-20T05:00:00.000Z"}"#;
    let world = World::new().write("t.jsonl", &format!("{request}\n"));
    let path = world.path("t.jsonl");
    let input = format!(r#"{{"transcript_path":"{}","model":{{"id":"claude-sonnet-4-5"}}}}"#, path.display());
    assert_eq!(drawn(&world, &[], input.as_bytes()), "claude-sonnet-4-5 · context 92 % (emergency)");
}

#[test]
fn colours_come_when_they_are_asked_for() {
    let full = TOLD.replace(":18}", ":85}");
    let world = World::new();
    assert!(!drawn(&world, &[], full.as_bytes()).contains('\x1b'));
    assert!(drawn(&world, &["--color", "always"], full.as_bytes()).contains("\x1b[31mcontext 85 %"));
}

#[test]
fn what_makes_no_sense_gives_a_short_line() {
    let hostile = TOLD.replace("Opus 5.5", r"\u001b[2J\u009b31mO\u0007\npus\u202e");
    let many = format!("[{}", "[".repeat(500_000));
    for input in
        [&b""[..], b"{", b"\xff\x00\x1b[2J", b"nothing\n\x1b]0;x\x07", many.as_bytes(), hostile.as_bytes()]
    {
        for color in ["never", "always"] {
            let line = drawn(&World::new(), &["--color", color], input);
            assert!(line.chars().count() < 100 && !line.contains(|c: char| c.is_control()), "{line:?}");
        }
    }
}

#[test]
fn a_transcript_that_is_no_file_holds_nothing_up() {
    let world = World::new();
    let fifo = world.path("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let input =
        TOLD.replace(r#","used_percentage":18"#, "").replace("/nowhere/t.jsonl", fifo.to_str().unwrap());
    assert_eq!(drawn(&world, &[], input.as_bytes()), "Opus 5.5 · $1.83");
}
