//! Writes the samples to a folder, for `compare.sh`: `plain.log` and a tree of transcripts.

#[path = "samples.rs"]
#[allow(dead_code, reason = "it writes some of them")]
mod samples;

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let folder = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    // `cargo bench -- --test` runs every bench once: this one has nothing to measure.
    let Some(folder) = folder.map(PathBuf::from) else { return Ok(()) };
    std::fs::write(folder.join("plain.log"), samples::plain(250 << 20).bytes)?;
    let tree = folder.join("tree");
    std::fs::create_dir_all(&tree)?;
    let sample = samples::claude(2 << 20);
    let text = String::from_utf8_lossy(&sample.bytes);
    for number in 0..60 {
        // A session each, and requests of its own: who counts each once must not find the same one again.
        let session = format!("{number:08x}-0000-4000-8000-0000000000b1");
        let text = text
            .replace("0c1e5500-0000-4000-8000-0000000000b1", &session)
            .replace("\"msg_", &format!("\"msg_{number:02}_"));
        std::fs::write(tree.join(format!("{session}.jsonl")), text)?;
    }
    Ok(())
}
