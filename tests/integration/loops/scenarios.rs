//! Loops, and ordinary work that looks like one.

use super::chance::Chance;
use super::story::{Ask, Beat, edit, fails, grep, ok, read, run};

/// A story with a name, and whether it is a loop.
pub struct Scenario {
    pub name: &'static str,
    pub is_loop: bool,
    pub beats: Vec<Beat>,
}

/// How long a loop goes on, in steps, about.
const LONG: usize = 96;

fn lines(of: &str, from: usize, count: usize) -> String {
    (from..from + count).map(|n| format!("{n:>5} {of} holds entry {n} of its list\n")).collect()
}

/// Returns every scenario.
pub fn all() -> Vec<Scenario> {
    let mut all = Vec::new();
    let mut add = |name, is_loop, beats| all.push(Scenario { name, is_loop, beats });
    let turns =
        |count: usize, turn: &dyn Fn(usize) -> Vec<Beat>| (0..count).flat_map(turn).collect::<Vec<_>>();

    add(
        "L01 the same call with the same answer",
        true,
        turns(LONG, &|_| vec![ok(run("make check"), "nothing to be done")]),
    );
    add(
        "L02 the answer differs in a time and a process id only",
        true,
        turns(LONG, &|n| {
            let answer = format!(
                "2026-11-20 05:{:02}:{:02} server with pid {} is not ready (0.{n}s)",
                n / 60,
                n % 60,
                4000 + n
            );
            vec![ok(run("./ready.sh"), answer)]
        }),
    );
    add(
        "L03 back and forth between two",
        true,
        turns(LONG / 2, &|_| {
            vec![ok(run("cargo build"), "warning: unused"), ok(read("src/a.rs", 0, 40), lines("a", 0, 40))]
        }),
    );
    add(
        "L04 round and round through three",
        true,
        turns(LONG / 3, &|_| {
            vec![
                ok(run("ls"), "a b"),
                ok(read("a", 0, 10), lines("a", 0, 10)),
                fails(run("./b"), "error: b is locked"),
            ]
        }),
    );
    add(
        "L05 round and round through six",
        true,
        turns(LONG / 6, &|_| {
            (0..6).map(|n| ok(run(format!("./step{n}")), format!("step {n} says no"))).collect()
        }),
    );
    add(
        "L06 a repetition with other work in between",
        true,
        turns(LONG / 4, &|n| {
            vec![
                ok(run("git status"), "nothing to commit"),
                ok(grep(format!("word{}", n % 5)), format!("src/x{}.rs", n % 5)),
                ok(run("cargo test -q"), "ok: 14 passed"),
                ok(run(format!("echo {}", n % 3)), format!("{}", n % 3)),
            ]
        }),
    );
    add(
        "L07 other questions, the same answer",
        true,
        turns(LONG / 2, &|n| vec![ok(grep(format!("handler_{n}")), "No matches found")]),
    );
    add(
        "L08 the same error from different commands",
        true,
        turns(LONG / 4, &|n| {
            vec![fails(
                run(format!("npm run build --flag={n}")),
                "error: cannot resolve module 'left'\n  at build",
            )]
        }),
    );
    add(
        "L09 a file swept over and over in pages",
        true,
        turns(LONG / 12, &|_| {
            (0..12)
                .map(|page| ok(read("src/long.rs", page * 40, 40), lines("long", page as usize * 40, 40)))
                .collect()
        }),
    );
    add(
        "L10 an unchanged file, read again, under a tally that grows",
        true,
        turns(LONG / 2, &|n| {
            vec![ok(read("src/a.rs", 0, 30), format!("{}({} reads this session)", lines("a", 0, 30), n + 1))]
        }),
    );
    add(
        "L11 the same three calls together, again",
        true,
        turns(LONG / 3, &|n| {
            let mut calls: Vec<(Ask, String, bool)> = (0..3)
                .map(|at| (read(&format!("f{at}"), 0, 9), lines(&format!("f{at}"), 0, 9), false))
                .collect();
            calls.rotate_left(n % 3);
            vec![Beat::Calls(calls)]
        }),
    );
    add(
        "L12 a change made, taken back, made again",
        true,
        turns(LONG / 4, &|_| {
            vec![ok(edit("src/a.rs", "one", "two"), "edited"), ok(edit("src/a.rs", "two", "one"), "edited")]
        }),
    );
    add(
        "L13 asking after a job that is dead",
        true,
        turns(LONG / 2, &|_| {
            vec![
                ok(run("sleep 60"), ""),
                Beat::Passes(60),
                ok(run("./job status"), "job 7: running, step 3 of 9"),
            ]
        }),
    );
    add(
        "L14 other edits, the same test fails in the same way",
        true,
        turns(LONG / 4, &|n| {
            vec![
                ok(edit("src/a.rs", format!("v{n}"), format!("v{}", n + 1)), "edited"),
                fails(
                    run("cargo test"),
                    format!("FAILED tests::parses: left 1, right 2\n1 failed, 30 passed in {n}.2s"),
                ),
            ]
        }),
    );

    add(
        "N01 asking after something that gets on",
        false,
        turns(30, &|n| vec![ok(run("./job status"), format!("{n} of 30 done"))]),
    );
    add(
        "N02 the same with a wait in between",
        false,
        turns(30, &|n| {
            vec![
                ok(run("sleep 20"), ""),
                Beat::Passes(20),
                ok(run("./job status"), format!("{n} of 30 done")),
            ]
        }),
    );
    add(
        "N03 fewer tests fail each time",
        false,
        turns(12, &|n| {
            let failing: String = (n..12).map(|test| format!("FAILED tests::case_{test}\n")).collect();
            vec![
                ok(edit("src/a.rs", format!("v{n}"), format!("v{}", n + 1)), "edited"),
                fails(run("cargo test"), format!("{failing}{} failed, {} passed", 12 - n, n)),
            ]
        }),
    );
    add(
        "N04 the same edit in thirty files",
        false,
        turns(30, &|n| vec![ok(edit(&format!("src/f{n}.rs"), "old", "new"), "edited")]),
    );
    add(
        "N05 a first look around",
        false,
        turns(25, &|n| vec![ok(read(&format!("src/f{n}.rs"), 0, 60), lines(&format!("f{n}"), 0, 60))]),
    );
    add(
        "N06 once through a long file, page by page",
        false,
        turns(30, &|n| vec![ok(read("src/long.rs", n as u32 * 40, 40), lines("long", n * 40, 40))]),
    );
    add(
        "N07 many edits in one file",
        false,
        turns(30, &|n| vec![ok(edit("src/a.rs", format!("line {n}"), format!("other {n}")), "edited")]),
    );
    add(
        "N08 a status between edits",
        false,
        turns(20, &|n| {
            vec![
                ok(edit("src/a.rs", format!("a{n}"), format!("b{n}")), "edited"),
                ok(run("git status --short"), " M src/a.rs"),
            ]
        }),
    );
    add(
        "N09 a call that a busy provider turns away",
        false,
        turns(6, &|_| {
            vec![
                fails(
                    Ask::Tool {
                        name: "WebFetch".to_owned(),
                        input: serde_json::json!({"url": "https://example.com/x"}),
                    },
                    "API Error: 529 Overloaded",
                ),
                Beat::Passes(20),
            ]
        }),
    );
    add(
        "N10 one file read again after each edit",
        false,
        turns(15, &|n| {
            vec![
                ok(edit("src/a.rs", format!("a{n}"), format!("b{n}")), "edited"),
                ok(read("src/spec.md", 0, 30), lines("spec", 0, 30)),
            ]
        }),
    );
    add(
        "N11 a linter that is content after each edit",
        false,
        turns(20, &|n| {
            vec![
                ok(edit(&format!("src/f{n}.rs"), "a", "b"), "edited"),
                ok(run("npm run lint"), "no problems"),
            ]
        }),
    );
    let mut polled = turns(6, &|_| {
        vec![ok(run("sleep 30"), ""), Beat::Passes(30), ok(run("gh run view 7"), "in progress")]
    });
    polled.push(ok(run("gh run view 7"), "completed: success"));
    add("N12 asking six times until it is done", false, polled);
    let mut mended = turns(3, &|n| {
        vec![
            ok(edit("src/a.rs", format!("v{n}"), format!("v{}", n + 1)), "edited"),
            fails(run("cargo test"), "FAILED tests::parses\n1 failed, 30 passed"),
        ]
    });
    mended.push(ok(run("cargo test"), "31 passed"));
    add("N13 the same test fails three times and then passes", false, mended);
    all
}

/// Puts so many hundredths of other steps in between, each of them new.
pub fn with_noise(beats: &[Beat], hundredths: u64, chance: &mut Chance) -> Vec<Beat> {
    let mut noisy = Vec::new();
    for (at, beat) in beats.iter().enumerate() {
        noisy.push(beat.clone());
        if chance.below(100) < hundredths {
            let name = format!("src/other{at}.rs");
            noisy.push(ok(read(&name, 0, 12), lines(&name, at * 3, 12)));
        }
    }
    noisy
}

/// Stops the story in the middle and starts it again, as a resumed session does.
pub fn with_restart(beats: &[Beat]) -> Vec<Beat> {
    let (before, after) = beats.split_at(beats.len() / 2);
    let mut all = before.to_vec();
    all.extend([Beat::Passes(120), Beat::Hears("continue".to_owned())]);
    all.extend_from_slice(after);
    all
}
