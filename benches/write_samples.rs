//! Writes the samples to a folder, for `compare.sh`: `plain.log` and a tree of transcripts.

#[path = "samples.rs"]
#[allow(dead_code, reason = "it writes some of them")]
mod samples;

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

/// How much plain text is made, and how often it is written: far more than any cache holds, soon made by a debug build.
const PLAIN: (usize, usize) = (16 << 20, 12);

/// How long a transcript is, and how many there are.
const TRANSCRIPTS: (usize, usize) = (2 << 20, 48);

fn main() -> std::io::Result<()> {
    let folder = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    // `cargo bench -- --test` runs every bench once: this one has nothing to measure.
    let Some(folder) = folder.map(PathBuf::from) else { return Ok(()) };
    let (length, times) = PLAIN;
    let sample = samples::plain(length);
    let mut log = File::create(folder.join("plain.log"))?;
    for _ in 0..times {
        log.write_all(&sample.bytes)?;
    }
    let tree = folder.join("tree");
    std::fs::create_dir_all(&tree)?;
    let (length, times) = TRANSCRIPTS;
    let sample = samples::claude(length);
    let text = String::from_utf8_lossy(&sample.bytes);
    for number in 0..times {
        // A session each, and requests of its own: who counts each once must not find the same one again.
        let session = format!("{number:08x}-0000-4000-8000-0000000000b1");
        let text = text
            .replace("0c1e5500-0000-4000-8000-0000000000b1", &session)
            .replace("\"msg_", &format!("\"msg_{number:02}_"));
        std::fs::write(tree.join(format!("{session}.jsonl")), text)?;
    }
    Ok(())
}
