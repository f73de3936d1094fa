//! How full the window of a session is, by its transcript. Where the end of the file is enough, no more is read.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::clock;
use super::scan::FileTrouble;
use crate::engine::format::by_name;
use crate::engine::usage::context::Window;
use crate::engine::{Doctor, Listener, Options};
use crate::source::file;

/// How much is read at a time, in bytes.
const CHUNK: usize = 256 * 1024;

/// How much of the beginning is read to tell what a file is.
const HEAD: usize = 64 * 1024;

/// How much of the end is read first; if that is not enough, four times as much, and so on.
const TAIL: u64 = 256 * 1024;

/// How much of the end is read at the most before all of the file is.
const MAX_TAIL: u64 = 16 << 20;

/// How much is read at the most where there is no time.
const GLANCE: u64 = 1 << 20;

/// What a transcript says.
#[derive(Clone, Debug)]
pub struct Sight {
    /// The window of its main conversation.
    pub window: Window,
    /// The name of its format.
    pub agent: &'static str,
}

/// Reads a transcript.
///
/// # Errors
/// It cannot be read, or not to its end: then what is in the window is not known.
pub fn look(path: &Path, options: &Options) -> Result<Sight, FileTrouble> {
    let options = decoding(options);
    if let Some(sight) = at_the_end(path, &options, MAX_TAIL)? {
        return Ok(sight);
    }
    whole(path, &options)
}

/// Reads as much of a transcript as takes no time; `None` if that is not enough, or it is no file.
pub fn glance(path: &Path, options: &Options) -> Option<Sight> {
    let metadata = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let options = decoding(options);
    match at_the_end(path, &options, GLANCE) {
        Ok(None) if metadata.len() <= GLANCE => whole(path, &options).ok(),
        sight => sight.ok().flatten(),
    }
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

/// Reads the beginning and the end of a file; `None` if that is not enough.
fn at_the_end(path: &Path, options: &Arc<Options>, most: u64) -> Result<Option<Sight>, FileTrouble> {
    let Ok(mut file) = File::open(path) else { return Ok(None) };
    let length = match file.metadata() {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        _ => return Ok(None),
    };
    let mut head = vec![0; HEAD];
    if length <= TAIL || file.read_exact(&mut head).is_err() || head[0] != b'{' {
        return Ok(None);
    }
    let Some(end) = memchr::memrchr(b'\n', &head) else { return Ok(None) };
    let head = &head[..=end];
    let mut size = TAIL;
    while size <= most && size.saturating_add(HEAD as u64) < length {
        let mut looking = Looking::new(path, options);
        looking.feed(head)?;
        if !by_name(looking.doctor.agent()).is_some_and(|format| format.tells_window_at_its_end(head)) {
            return Ok(None);
        }
        let Ok(tail) = end_of(&mut file, length - size) else { return Ok(None) };
        if let Some(begin) = memchr::memchr(b'\n', &tail) {
            looking.window.lock().unwrap_or_else(PoisonError::into_inner).pass_over();
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

/// A doctor that is asked for the window alone.
struct Looking<'p> {
    path: &'p Path,
    doctor: Doctor,
    window: Arc<Mutex<Window>>,
}

impl<'p> Looking<'p> {
    fn new(path: &'p Path, options: &Arc<Options>) -> Self {
        let name = path.to_string_lossy();
        let window = Arc::new(Mutex::new(Window::default()));
        let mut doctor = Doctor::new(Arc::clone(options), &name, &name);
        doctor.listen(|| -> Listener {
            let window = Arc::clone(&window);
            Box::new(move |_, record| window.lock().unwrap_or_else(PoisonError::into_inner).take(record))
        });
        Self { path, doctor, window }
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
        let window = self.window.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Sight { window, agent: self.doctor.agent() })
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
