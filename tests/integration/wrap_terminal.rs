//! `wrap` on a terminal: what the command sees of it, keys, jobs, and that it is put back in order.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};

use crate::support::World;
use crate::wrap::{agent, is_alive, wait_until};

/// A terminal with a shell that has jobs, and what is seen on its screen.
struct Screen {
    world: World,
    shell: Child,
    master: File,
    slave: OwnedFd,
    seen: Arc<Mutex<Vec<u8>>>,
    found: Termios,
}

const ROWS: u16 = 24;

impl Screen {
    fn new() -> Self {
        let world = World::new();
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        rustix::io::fcntl_setfd(&master, rustix::io::FdFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave =
            rustix::fs::open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())
                .unwrap();
        let size = Winsize { ws_row: ROWS, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&slave, size).unwrap();
        let found = tcgetattr(&slave).unwrap();
        let copy = || Stdio::from(slave.try_clone().unwrap());
        // The shell is to be the leader of a session that this terminal controls, and to hear keys that whoever began the
        // tests in the background has it ignore.
        let (leader, args) = if cfg!(target_os = "macos") {
            // The number is TIOCSCTTY.
            let script = "use POSIX (); $SIG{INT} = $SIG{QUIT} = 'DEFAULT'; POSIX::setsid(); ioctl(STDIN, 0x20007461, 0); exec @ARGV";
            ("perl", vec!["-e", script])
        } else {
            ("setsid", vec!["--ctty", "env", "--default-signal=INT,QUIT"])
        };
        let shell = Command::new(leader)
            .args(args)
            .args(["bash", "--norc", "--noprofile", "--noediting", "-i"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", world.path("home"))
            .env("TERM", "dumb")
            .env("PS1", "ready> ")
            .env("W", env!("CARGO_BIN_EXE_session-doctor"))
            .current_dir(world.path("home/project"))
            .stdin(copy())
            .stdout(copy())
            .stderr(copy())
            .spawn()
            .unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (mut reader, store) = (File::from(master.try_clone().unwrap()), Arc::clone(&seen));
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(length) = reader.read(&mut chunk) {
                store.lock().unwrap().extend_from_slice(&chunk[..length]);
            }
        });
        let mut screen = Self { world, shell, master: master.into(), slave, seen, found };
        screen.wait_for("ready> ");
        screen.keys("stty -echo\n");
        screen.wait_for("ready> ");
        screen.found = tcgetattr(&screen.slave).unwrap();
        screen
    }

    fn keys(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until a text is on the screen, and forgets what stands up to its end.
    fn wait_for(&self, text: &str) -> String {
        let at = || {
            let seen = self.seen.lock().unwrap();
            seen.windows(text.len()).position(|window| window == text.as_bytes())
        };
        wait_until_or(&|| at().is_some(), || {
            format!("no {text:?} in {:?}", String::from_utf8_lossy(&self.seen.lock().unwrap()))
        });
        let end = at().unwrap() + text.len();
        String::from_utf8_lossy(&self.seen.lock().unwrap().drain(..end).collect::<Vec<u8>>()).into_owned()
    }

    /// Whether a text comes up within this time.
    fn comes(&self, text: &str, within: Duration) -> bool {
        let end = Instant::now() + within;
        let is_there =
            || self.seen.lock().unwrap().windows(text.len()).any(|window| window == text.as_bytes());
        while !is_there() && Instant::now() < end {
            thread::sleep(Duration::from_millis(10));
        }
        is_there()
    }

    /// Types a command and returns what is on the screen when the shell is ready again.
    fn run(&mut self, line: &str) -> String {
        self.keys(&format!("{line}\n"));
        let text = self.wait_for("ready> ");
        text.strip_suffix("ready> ").unwrap().to_owned()
    }

    fn is_as_found(&self) -> bool {
        let now = tcgetattr(&self.slave).unwrap();
        (now.local_modes, now.input_modes, now.output_modes)
            == (self.found.local_modes, self.found.input_modes, self.found.output_modes)
    }

    fn is_raw(&self) -> bool {
        !tcgetattr(&self.slave).unwrap().local_modes.contains(LocalModes::ICANON)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

fn wait_until_or(holds: &dyn Fn() -> bool, what: impl Fn() -> String) {
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| wait_until("not in time", holds)));
    assert!(result.is_ok(), "{}", what());
}

#[test]
fn the_command_has_a_terminal_like_ours() {
    let mut screen = Screen::new();
    let shown = screen.run(r#"$W wrap -- sh -c 'for fd in 0 1 2; do test -t $fd && echo tty$fd; done; stty size; tty'; tty; echo $?"#);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[..4], ["tty0", "tty1", "tty2", "24 80"]);
    assert_ne!(lines[4], lines[5], "it has one of its own");
    assert_eq!(lines[6], "0");
    assert!(screen.is_as_found());
}

#[test]
fn last_words_that_are_shown_after_the_command_has_ended_look_as_they_would_without_us() {
    let mut screen = Screen::new();
    screen.keys("$W wrap -- sh -c 'echo $$ >pid; seq 4000'\n");
    {
        // Nobody looks at the screen: it takes some of that, and the rest waits in the terminal of the command.
        let _unread = screen.seen.lock().unwrap();
        wait_until("the command has ended", || {
            let pid = std::fs::read_to_string(screen.world.path("home/project/pid"));
            pid.is_ok_and(|pid| pid.trim().parse().is_ok_and(|pid| !is_alive(pid)))
        });
        wait_until("the keys are ours again", || !screen.is_raw());
    }
    let shown = screen.wait_for("ready> ");
    let expected: String = (1..=4000).map(|number| format!("{number}\r\n")).collect();
    assert!(shown == format!("{expected}ready> "), "{:?}", shown.split("\r\r\n").next());
    assert!(screen.is_as_found());
}

#[test]
fn each_stream_that_is_redirected_is_no_terminal() {
    let mut screen = Screen::new();
    let script = "'for fd in 0 1 2; do test -t $fd && echo tty$fd >>list; done; true'";
    for (redirection, expected) in [
        (">out", "tty0 tty2"),
        ("2>err", "tty0 tty1"),
        ("</dev/null", "tty1 tty2"),
        (">out 2>err </dev/null", ""),
        ("| cat", "tty0 tty2"),
    ] {
        let shown = screen.run(&format!(
            "rm -f list; touch list; $W wrap -- sh -c {script} {redirection}; echo $(cat list)"
        ));
        assert_eq!(shown.trim(), expected, "{redirection}");
    }
    let shown = screen
        .run(&format!("rm -f list; touch list; $W wrap --pty never -- sh -c {script}; echo $(cat list)"));
    assert_eq!(shown.trim(), "tty0");
}

#[test]
fn keys_reach_the_command_and_control_c_is_for_it_alone() {
    let mut screen = Screen::new();
    screen.keys("$W wrap -- sh -c 'stty -echo; trap \"echo caught\" INT; echo go; read x; read x; echo got $x'; echo st=$?\n");
    screen.wait_for("go\r\n");
    assert!(screen.is_raw());
    screen.keys("\u{3}");
    screen.wait_for("caught\r\n");
    screen.keys("a\nb\n");
    screen.wait_for("got ");
    screen.wait_for("st=0");
    wait_until("the terminal is not put back", || screen.is_as_found());
}

#[test]
fn a_command_that_control_c_ends_ends_us_the_same_way() {
    let mut screen = Screen::new();
    screen.keys("$W wrap -- sh -c 'echo go; exec sleep 1000'\n");
    screen.wait_for("go\r\n");
    screen.keys("\u{3}");
    screen.wait_for("ready> ");
    assert_eq!(screen.run("echo st=$?").trim(), "st=130");
}

#[test]
fn control_z_stops_the_job_and_fg_goes_on_with_it() {
    for options in ["", "--pty never"] {
        let mut screen = Screen::new();
        screen.keys(&format!("$W wrap {options} -- sh -c 'echo go; read x; echo got $x'; echo st=$?\n"));
        screen.wait_for("go\r\n");
        // A shell may give the terminal to the job once more when the job has given it away: what is pressed then may get lost.
        let stops = (0..60).any(|_| {
            screen.keys("\u{1a}");
            screen.comes("Stopped", Duration::from_secs(2))
        });
        assert!(stops, "the job does not stop");
        screen.wait_for("ready> ");
        assert!(screen.is_as_found());
        screen.keys("fg\n");
        screen.wait_for("read x; echo got $x'");
        // A person types when there is something to type to: what comes while the terminal changes hands may get lost.
        let heard = (0..60).any(|_| {
            screen.keys("typed\n");
            screen.comes("got typed", Duration::from_secs(2))
        });
        assert!(heard, "the command does not hear");
        screen.wait_for("ready> ");
    }
}

#[test]
fn in_a_pipeline_the_command_gets_the_keys_when_it_asks() {
    let mut screen = Screen::new();
    screen.keys("echo fed | $W wrap -- sh -c 'cat; read x </dev/tty; echo got $x'\n");
    screen.wait_for("fed");
    screen.keys("typed\n");
    screen.wait_for("got typed");
    screen.wait_for("ready> ");
    assert!(screen.is_as_found());
    screen.keys("$W wrap -- sh -c 'read x; echo got $x' | cat\n");
    screen.keys("typed\n");
    screen.wait_for("got typed\r\n");
}

#[test]
fn a_terminal_that_changes_its_size_is_one_for_the_command_too() {
    let mut screen = Screen::new();
    screen.keys("$W wrap -- sh -c 'trap \"stty size; exit\" WINCH; echo go; while :; do sleep 0.05; done'\n");
    screen.wait_for("go\r\n");
    let size = Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(screen.master.as_fd(), size).unwrap();
    screen.wait_for("30 100");
}

#[test]
fn whatever_the_command_does_to_its_terminal_ours_is_put_back() {
    let mut screen = Screen::new();
    screen.run(&format!("$W wrap -- {}", agent("changes_terminal")));
    assert!(screen.is_as_found());
}

#[test]
fn when_we_are_killed_the_terminal_is_put_back_and_the_command_is_gone() {
    let mut screen = Screen::new();
    screen.keys("$W wrap -- sh -c 'echo pid=$$ parent=$(ps -o ppid= $PPID); exec sleep 1000'\n");
    screen.wait_for("pid=");
    let line = screen.wait_for("\r\n");
    let (pid, wrap) = line.trim().split_once(" parent=").unwrap();
    let (pid, wrap): (i32, i32) = (pid.parse().unwrap(), wrap.trim().parse().unwrap());
    assert!(screen.is_raw());
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(wrap).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    wait_until("the command lives on", || !is_alive(pid));
    wait_until("the terminal is not put back", || screen.is_as_found());
}

#[test]
fn words_of_ours_wait_until_the_command_has_left_the_terminal() {
    let mut screen = Screen::new();
    let shown =
        screen.run("$W wrap -- sh -c 'echo \"Invalid API key · Please run /login\"; echo last; exit 1'");
    let (before, after) = shown.split_once("last").unwrap();
    assert!(!before.contains("session-doctor:"), "{shown}");
    assert!(after.contains("-> halt"), "{shown}");
}

#[test]
fn a_pseudo_terminal_can_be_had_without_a_terminal() {
    let world = World::new();
    let output = world
        .command(&["wrap", "--pty", "always", "--", "sh", "-c", "test -t 1 && echo yes"])
        .env("PATH", std::env::var_os("PATH").unwrap())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "yes\r\n");
}

/// Starts an agent that acts out a script under `wrap --act`; its outcomes are told in the file `events`.
fn act_out(script: &serde_json::Value) -> Screen {
    let mut screen = Screen::new();
    let agent = screen.world.path("claude");
    std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/agents/scripted.py"), &agent).unwrap();
    std::fs::write(screen.world.path("script.json"), script.to_string()).unwrap();
    screen.keys(&format!(
        "SESSION_DOCTOR_RESET_MARGIN_SEC=0 $W wrap --act --emit outcome --events events -- {}\n",
        agent.display()
    ));
    screen
}

fn has_python() -> bool {
    let runs = Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success());
    if !runs {
        eprintln!("skipped: the scripted agent needs python3");
    }
    runs
}

#[test]
fn an_agent_that_sits_at_its_limit_is_told_to_go_on() {
    if !has_python() {
        return;
    }
    let script = serde_json::json!([[["init", 0], ["keys", ""], ["limit", 2], ["keys", "\r"], ["done", 0]]]);
    let mut screen = act_out(&script);
    screen.wait_for("All is done.");
    screen.wait_for("ready> ");
    let keys = std::fs::read_to_string(screen.world.path("keys")).unwrap();
    let keys: String = keys.lines().map(|line| serde_json::from_str::<String>(line).unwrap()).collect();
    assert_eq!(keys, "\u{1b}\u{15}continue\r");
    let events = screen.run("cat events");
    assert!(events.contains("it was told to continue, and the agent worked"), "{events}");
}

#[test]
fn an_agent_that_a_person_told_to_go_on_is_told_nothing() {
    if !has_python() {
        return;
    }
    let script = serde_json::json!([[
        ["init", 0],
        ["keys", ""],
        // Long enough for the person to be first.
        ["limit", 8],
        ["keys", "x"],
        ["works", "Gone on."],
        ["keys", "q"]
    ]]);
    let mut screen = act_out(&script);
    let keys = screen.world.path("keys");
    let pressed = || std::fs::read_to_string(&keys).unwrap_or_default().lines().count();
    wait_until_or(&|| pressed() == 1, || "the menu is not left".to_owned());
    screen.keys("x");
    screen.wait_for("Gone on.");
    let events = screen.world.path("home/project/events");
    let told = || std::fs::read_to_string(&events).unwrap_or_default();
    wait_until_or(&|| told().contains("the agent went on before it was told to"), told);
    assert_eq!(pressed(), 2);
    screen.keys("q");
    screen.wait_for("ready> ");
}
