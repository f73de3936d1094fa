//! How full the window of a session is, by its transcript. Where the end of the file is enough, no more is read.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::scan::FileTrouble;
use super::{clock, in_parallel};
use crate::engine::format::by_name;
use crate::engine::usage::context::Window;
use crate::engine::{Doctor, Listener, Options};
use crate::model::record::{Lifecycle, Role};
use crate::model::{Body, Record};
use crate::source::file;

/// How much is read at a time, in bytes.
const CHUNK: usize = 256 * 1024;

/// How much of the beginning is read to tell what a file is.
const HEAD: usize = 64 * 1024;

/// How much of the end is read first; if that is not enough, four times as much, and so on.
const TAIL: u64 = 256 * 1024;

/// How much of the end is read first where there is no time.
const SHORT_TAIL: u64 = 64 * 1024;

/// How much of the end is read at the most before all of the file is.
const MAX_TAIL: u64 = 16 << 20;

/// How many messages are looked at for the one that says what was asked for.
const ASKED: usize = 8;

/// How many characters of each are kept.
const TASK: usize = 2048;

/// How much is read at the most where there is no time.
const GLANCE: u64 = 1 << 20;

/// What a transcript says.
#[derive(Clone, Debug)]
pub struct Sight {
    /// The window of its main conversation.
    pub window: Window,
    /// The name of its format.
    pub agent: &'static str,
    /// Where its agent works, if the part that was read says so.
    pub project: Option<String>,
    /// The beginning of what a person asked for first, as it stands, if the part that was read has that.
    pub task: Option<String>,
}

/// What is shown of a session among many.
#[derive(Clone, Debug)]
pub struct Overview {
    /// What its transcript says.
    pub sight: Sight,
    /// Whether it says how full the window is.
    pub is_known: bool,
}

/// Reads a transcript.
///
/// # Errors
/// It cannot be read, or not to its end: then what is in the window is not known.
pub fn look(path: &Path, options: &Options) -> Result<Sight, FileTrouble> {
    let options = decoding(options);
    if let Some(sight) = at_the_end(path, &options, TAIL, MAX_TAIL)? {
        return Ok(sight);
    }
    whole(path, &options)
}

/// Reads as much of a transcript as takes no time; `None` if that is not enough, or it is no file.
pub fn glance(path: &Path, options: &Options) -> Option<Sight> {
    let metadata = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let options = decoding(options);
    match at_the_end(path, &options, SHORT_TAIL, GLANCE) {
        Ok(None) if metadata.len() <= GLANCE => whole(path, &options).ok(),
        sight => sight.ok().flatten(),
    }
}

/// Reads as much of transcripts as takes no time, several at once, and returns what is seen of each in their order; `None` of
/// one that cannot be read.
///
/// # Errors
/// A thread cannot be started.
pub fn overviews(paths: &[PathBuf], options: &Options, threads: usize) -> io::Result<Vec<Option<Overview>>> {
    let options = decoding(options);
    let seen: Vec<Mutex<Option<Overview>>> = paths.iter().map(|_| Mutex::default()).collect();
    let work: Vec<_> = paths.iter().zip(&seen).collect();
    in_parallel(
        threads,
        &work,
        || (),
        |(path, seen), ()| {
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = overview(path, &options);
        },
    )?;
    Ok(seen.into_iter().map(|seen| seen.into_inner().unwrap_or_else(PoisonError::into_inner)).collect())
}

fn overview(path: &Path, options: &Arc<Options>) -> Option<Overview> {
    let metadata = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let sight = match at_the_end(path, options, SHORT_TAIL, GLANCE).ok()? {
        None if metadata.len() <= GLANCE => Some(whole(path, options).ok()?),
        sight => sight,
    };
    if let Some(sight) = sight {
        return Some(Overview { is_known: sight.window.has_begun(), sight });
    }
    let mut head = vec![0; HEAD];
    File::open(path).and_then(|mut file| file.read_exact(&mut head)).ok()?;
    let end = memchr::memrchr(b'\n', &head)?;
    let mut looking = Looking::new(path, options);
    looking.feed(&head[..=end]).ok()?;
    Some(Overview { sight: looking.finish().ok()?, is_known: false })
}

fn decoding(options: &Options) -> Arc<Options> {
    let mut options = options.clone();
    options.only_decode = true;
    Arc::new(options)
}

fn whole(path: &Path, options: &Arc<Options>) -> Result<Sight, FileTrouble> {
    let mut looking = Looking::new(path, options);
    let mut reader = file::open(path).map_err(FileTrouble::Read)?;
    let mut chunk = vec![0; CHUNK];
    loop {
        match reader.read_chunk(&mut chunk).map_err(FileTrouble::Read)? {
            0 => return looking.finish(),
            length => looking.feed(&chunk[..length])?,
        }
    }
}

/// Reads the beginning and the end of a file, of which `first` bytes before more of it; `None` if that is not enough.
fn at_the_end(
    path: &Path,
    options: &Arc<Options>,
    first: u64,
    most: u64,
) -> Result<Option<Sight>, FileTrouble> {
    let Ok(mut file) = File::open(path) else { return Ok(None) };
    let length = match file.metadata() {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        _ => return Ok(None),
    };
    let mut head = vec![0; HEAD];
    if length <= first || file.read_exact(&mut head).is_err() || head[0] != b'{' {
        return Ok(None);
    }
    let Some(end) = memchr::memrchr(b'\n', &head) else { return Ok(None) };
    let head = &head[..=end];
    let mut size = first;
    while size <= most && size.saturating_add(HEAD as u64) < length {
        let mut looking = Looking::new(path, options);
        looking.feed(head)?;
        if !by_name(looking.doctor.agent()).is_some_and(|format| format.tells_window_at_its_end(head)) {
            return Ok(None);
        }
        let Ok(tail) = end_of(&mut file, length - size) else { return Ok(None) };
        if let Some(begin) = memchr::memchr(b'\n', &tail) {
            looking.seen.lock().unwrap_or_else(PoisonError::into_inner).window.pass_over();
            looking.feed(&tail[begin + 1..])?;
            let sight = looking.finish()?;
            if sight.window.is_known() {
                return Ok(Some(sight));
            }
        }
        size *= 4;
    }
    Ok(None)
}

fn end_of(file: &mut File, from: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    // What is written meanwhile is read as well, as far as that has a bound.
    file.take(2 * MAX_TAIL).read_to_end(&mut tail)?;
    Ok(tail)
}

/// What is gathered from the records of a transcript.
#[derive(Default)]
struct Seen {
    window: Window,
    project: Option<String>,
    /// The first messages in the user's name.
    asked: Vec<String>,
}

impl Seen {
    fn take(&mut self, record: &Record<'_>) {
        self.window.take(record);
        if record.subagent.is_some() {
            return;
        }
        match &record.body {
            Body::Lifecycle(Lifecycle::Started { cwd: Some(cwd), .. }) => {
                self.project.get_or_insert_with(|| cwd.to_string());
            }
            Body::Message(message) if message.role == Role::User && self.asked.len() < ASKED => {
                let text = message.text.read();
                self.asked.push(text.trim_start().chars().take(TASK).collect());
            }
            _ => {}
        }
    }

    /// Returns the first message that is not a note of the agent's own.
    fn task(&mut self, agent: &str) -> Option<String> {
        let notes = by_name(agent).map_or(&[][..], |format| format.own_notes());
        let own = |text: &String| text.is_empty() || notes.iter().any(|note| text.starts_with(note));
        self.asked.drain(..).find(|text| !own(text))
    }
}

/// A doctor that only decodes.
struct Looking<'p> {
    path: &'p Path,
    doctor: Doctor,
    seen: Arc<Mutex<Seen>>,
}

impl<'p> Looking<'p> {
    fn new(path: &'p Path, options: &Arc<Options>) -> Self {
        let name = path.to_string_lossy();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut doctor = Doctor::new(Arc::clone(options), &name, &name);
        doctor.listen(|| -> Listener {
            let seen = Arc::clone(&seen);
            Box::new(move |_, record| seen.lock().unwrap_or_else(PoisonError::into_inner).take(record))
        });
        Self { path, doctor, seen }
    }

    fn work(&mut self, work: impl FnOnce(&mut Doctor)) -> Result<(), FileTrouble> {
        catch_unwind(AssertUnwindSafe(|| work(&mut self.doctor)))
            .map_err(|_| FileTrouble::Engine(self.path.to_owned()))
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<(), FileTrouble> {
        self.work(|doctor| doctor.feed(clock::now(), bytes, &mut |_| {}))
    }

    fn finish(mut self) -> Result<Sight, FileTrouble> {
        self.work(|doctor| doctor.finish(clock::now(), &mut |_| {}))?;
        let agent = self.doctor.agent();
        let mut seen = std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        let task = seen.task(agent);
        Ok(Sight { window: seen.window, agent, project: seen.project, task })
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::engine::usage::context::Fill;
    use crate::engine::usage::price::Prices;

    /// A line of Claude Code's transcript, `more` behind what all have.
    fn line(more: &str) -> String {
        format!(
            r#"{{"parentUuid":"p","isSidechain":false,"cwd":"/w","sessionId":"11111111-1111-4111-8111-111111111111","version":"2.1.0","uuid":"u","timestamp":"2026-11-20T05:00:00.000Z",{more}}}"#
        ) + "\n"
    }

    fn request(input: u64, model: &str) -> String {
        line(&format!(
            r#""type":"assistant","message":{{"id":"msg_{input}","type":"message","role":"assistant","model":"{model}","content":[{{"type":"text","text":"ok"}}],"usage":{{"input_tokens":{input},"output_tokens":0}}}}"#
        ))
    }

    fn talk(bytes: usize) -> String {
        let mut text = String::new();
        while text.len() < bytes {
            let said = "word ".repeat(200);
            let _ = write!(
                text,
                "{}",
                line(&format!(r#""type":"user","message":{{"role":"user","content":"{said}"}}"#))
            );
        }
        text
    }

    fn compacted() -> String {
        line(r#""type":"system","subtype":"compact_boundary","content":"Conversation compacted""#)
    }

    fn seen(text: &str) -> Fill {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.jsonl");
        std::fs::write(&path, text).unwrap();
        let mut options = Options::new();
        options.only_decode = true;
        let sight = look(&path, &options).unwrap();
        assert_eq!(sight.agent, "claude");
        let fill = sight.window.fill(None, Prices::built_in());
        let mut whole = Looking::new(&path, &Arc::new(options));
        whole.feed(text.as_bytes()).unwrap();
        assert_eq!(
            fill,
            whole.finish().unwrap().window.fill(None, Prices::built_in()),
            "as if all were read"
        );
        fill
    }

    const SONNET: &str = "claude-sonnet-4-5";

    #[test]
    fn the_end_of_a_long_transcript_is_enough() {
        let fill = seen(&[request(1000, SONNET), talk(1 << 20), request(150_000, SONNET)].concat());
        assert_eq!((fill.tokens, fill.estimated), (150_000, false));
    }

    #[test]
    fn a_last_request_far_from_the_end_is_found() {
        let fill =
            seen(&[request(1000, SONNET), talk(1 << 20), request(150_000, SONNET), talk(1 << 20)].concat());
        assert_eq!((fill.tokens, fill.estimated), (150_000, false));
        let fill = seen(&[request(1000, SONNET), talk(2 << 20)].concat());
        assert_eq!((fill.tokens, fill.estimated), (1000, false));
    }

    #[test]
    fn a_compaction_near_the_end_is_not_missed() {
        let long = [request(1000, SONNET), talk(1 << 20), request(180_000, SONNET), compacted()].concat();
        let fill = seen(&(long.clone() + &talk(4096)));
        assert!(fill.estimated && fill.tokens < 10_000 && fill.limit == Some(200_000), "{fill:?}");
        let fill = seen(&(long.clone() + &talk(400_000)));
        assert!(fill.estimated && fill.tokens > 50_000, "what was said since is counted: {fill:?}");
        let fill = seen(&(long + &request(9000, SONNET)));
        assert_eq!((fill.tokens, fill.estimated), (9000, false));
    }

    #[test]
    fn a_model_that_changed_in_the_middle_is_the_one() {
        let models = [request(1000, "claude-opus-4-6"), talk(1 << 20), request(2000, SONNET)];
        assert_eq!(seen(&models.concat()).limit, Some(200_000));
    }

    #[test]
    fn a_line_longer_than_the_end_is_read_whole() {
        let long =
            format!(r#""type":"user","message":{{"role":"user","content":"{}"}}"#, "x".repeat(700_000));
        let fill =
            seen(&[request(1000, SONNET), talk(1 << 20), request(70_000, SONNET), line(&long)].concat());
        assert_eq!(fill.tokens, 70_000);
    }

    #[test]
    fn a_stream_is_read_from_its_beginning() {
        let init = |model: &str| {
            format!(
                r#"{{"type":"system","subtype":"init","cwd":"/w","session_id":"11111111-1111-4111-8111-111111111111","tools":[],"mcp_servers":[],"model":"{model}","permissionMode":"default","uuid":"u"}}"#
            ) + "\n"
        };
        let streamed = |text: String| text.replace("\"sessionId\"", "\"session_id\"");
        let fill = seen(&streamed(
            [
                init(SONNET),
                talk(1 << 20),
                init("claude-sonnet-4-5[1m]"),
                talk(1 << 20),
                request(5000, SONNET),
            ]
            .concat(),
        ));
        assert_eq!((fill.tokens, fill.limit), (5000, Some(1_000_000)));
    }
}
