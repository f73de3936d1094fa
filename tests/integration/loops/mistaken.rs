//! What was once taken for a loop, and is none.

use session_doctor::model::Level;

use super::story::{Beat, TONGUES, edit, fails, ok, run, tell};
use super::{Alert, alerts};

/// Returns the alerts that a story raises, whoever tells it.
fn all_alerts(beats: &[Beat]) -> Vec<Alert> {
    TONGUES.into_iter().flat_map(|tongue| alerts(&tell(tongue, beats, 8))).collect()
}

#[test]
fn prints_put_in_and_taken_out_between_real_changes_are_no_flip_flop() {
    let attempt = |n: usize| {
        let (bare, probed) = (format!("return v{n}"), format!("print({n}); return v{n}"));
        [
            ok(edit("lib/a.py", &bare, &probed), "edited"),
            ok(run("pytest -q -s"), format!("state {n}")),
            ok(edit("lib/a.py", &probed, &bare), "edited"),
            ok(edit("lib/a.py", format!("v{n}"), format!("v{}", n + 1)), "edited"),
        ]
    };
    let beats: Vec<Beat> = (0..12).flat_map(attempt).collect();
    assert_eq!(all_alerts(&beats), []);
}

#[test]
fn to_ask_a_service_whether_it_is_up_until_it_is_is_no_loop() {
    let down = |_| {
        fails(
            run("curl -sf http://api.local/health"),
            "curl: (7) Failed to connect to api.local: Connection refused",
        )
    };
    let mut beats: Vec<Beat> = (0..15).map(down).collect();
    beats.push(ok(run("curl -sf http://api.local/health"), "ok"));
    let acts = all_alerts(&beats).into_iter().filter(|alert| alert.level == Level::Act).collect::<Vec<_>>();
    assert_eq!(acts, []);
}

#[test]
fn to_look_at_the_log_of_another_machine_is_no_loop() {
    let quiet = |_| ok(run("ssh web1 'tail -n 3 /var/log/app.log'"), "GET /health 200");
    let beats: Vec<Beat> = (0..15).map(quiet).collect();
    let acts = all_alerts(&beats).into_iter().filter(|alert| alert.level == Level::Act).collect::<Vec<_>>();
    assert_eq!(acts, []);
}
