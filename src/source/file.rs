//! Reads a file as it was before it was packed.
//!
//! What packs it is told by its first bytes, not by its name. A packed file that was cut off (a log that is
//! still being rotated, a full disk) gives every byte it holds and then an error that says so.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileTypeExt;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::os_words;

/// How many packed bytes are read at a time.
const PACKED_BUFFER_BYTES: usize = 64 * 1024;

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// A frame to be skipped, which may come first: the low half of the first byte is free.
const ZSTD_SKIPPABLE_MAGIC: &[u8] = &[0x50, 0x2a, 0x4d, 0x18];

/// What a file is packed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Nothing.
    Plain,
    /// gzip, of one or several members.
    Gzip,
    /// Zstandard, of one or several frames.
    Zstd,
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// A file that could not be opened or read to its end.
#[derive(Debug)]
pub struct ReadError {
    /// The file.
    pub path: PathBuf,
    /// What went wrong.
    pub kind: ReadErrorKind,
}

/// What went wrong with a file.
#[derive(Debug)]
pub enum ReadErrorKind {
    /// It cannot be opened.
    Open(io::Error),
    /// It is a directory.
    Directory,
    /// Reading stopped in the middle.
    Read(io::Error),
    /// It is packed and its end is missing; everything before was given.
    Truncated(Encoding),
    /// It is packed and damaged; everything before the damage was given.
    Corrupt(Encoding, String),
}

impl ReadError {
    /// Tells whether the contents are at fault (rather than the file system or a missing permission).
    pub fn is_data(&self) -> bool {
        matches!(self.kind, ReadErrorKind::Truncated(_) | ReadErrorKind::Corrupt(..))
    }

    /// Returns what the user may do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match &self.kind {
            ReadErrorKind::Open(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Some("the user who runs this needs permission to read it")
            }
            ReadErrorKind::Truncated(_) => {
                Some("it may still be being written; what could be read of it was read")
            }
            ReadErrorKind::Corrupt(..) => Some("what could be unpacked of it was read"),
            _ => None,
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.kind {
            ReadErrorKind::Open(error) => write!(f, "open `{path}`: {}", os_words(error)),
            ReadErrorKind::Directory => write!(f, "read `{path}`: it is a directory"),
            ReadErrorKind::Read(error) => write!(f, "read `{path}`: {}", os_words(error)),
            ReadErrorKind::Truncated(encoding) => {
                write!(f, "read `{path}` to its end: the {encoding} data is cut off")
            }
            ReadErrorKind::Corrupt(encoding, detail) => {
                write!(f, "read `{path}` to its end: the {encoding} data is damaged: {detail}")
            }
        }
    }
}

impl std::error::Error for ReadError {}

/// Opens a file and finds out what it is packed with. Blocks for a named pipe until something writes to it
/// (see [`super::stdin::Stdin::open`] for one that can be waited for).
pub fn open(path: &Path) -> Result<Reader, ReadError> {
    open_counting(path, Arc::default())
}

/// Opens a file as [`open`] does and adds the stored bytes to `progress` as they are consumed; several
/// readers may share one counter.
pub fn open_counting(path: &Path, progress: Arc<AtomicU64>) -> Result<Reader, ReadError> {
    let file = File::open(path)
        .map_err(|error| ReadError { path: path.to_owned(), kind: ReadErrorKind::Open(error) })?;
    reading(path, file, progress)
}

/// Reads what is open already, as [`open_counting`] does; `path` is how it is called.
pub fn reading(path: &Path, file: File, progress: Arc<AtomicU64>) -> Result<Reader, ReadError> {
    let error = |kind| ReadError { path: path.to_owned(), kind };
    let metadata = file.metadata().map_err(|e| error(ReadErrorKind::Open(e)))?;
    if metadata.is_dir() {
        return Err(error(ReadErrorKind::Directory));
    }
    let is_live = metadata.file_type().is_fifo() || metadata.file_type().is_char_device();
    let mut raw = Raw { head: [0; 4], head_at: 0, head_len: 0, file, progress };
    let encoding = raw.look(is_live).map_err(|e| error(ReadErrorKind::Read(e)))?;
    let body = match encoding {
        Encoding::Plain => Body::Plain(raw),
        Encoding::Gzip => {
            Body::Gzip(Box::new(MultiGzDecoder::new(BufReader::with_capacity(PACKED_BUFFER_BYTES, raw))))
        }
        Encoding::Zstd => Body::Zstd(Box::new(Zstd {
            source: BufReader::with_capacity(PACKED_BUFFER_BYTES, raw),
            decoder: FrameDecoder::new(),
            state: ZstdState::Between,
        })),
    };
    Ok(Reader { path: path.to_owned(), body, is_done: false })
}

/// A file being read.
pub struct Reader {
    path: PathBuf,
    body: Body,
    is_done: bool,
}

impl Reader {
    /// Returns what the file is packed with.
    pub fn encoding(&self) -> Encoding {
        match self.body {
            Body::Plain(_) => Encoding::Plain,
            Body::Gzip(_) => Encoding::Gzip,
            Body::Zstd(_) => Encoding::Zstd,
        }
    }

    /// Reads some unpacked bytes into `buf` and returns how many; 0 at the end, and after an error.
    pub fn read_chunk(&mut self, buf: &mut [u8]) -> Result<usize, ReadError> {
        if self.is_done || buf.is_empty() {
            return Ok(0);
        }
        let result = loop {
            let result = match &mut self.body {
                Body::Plain(raw) => raw.read(buf).map_err(ReadErrorKind::Read),
                Body::Gzip(decoder) => decoder.read(buf).map_err(gzip_error),
                Body::Zstd(decoder) => decoder.read(buf),
            };
            match result {
                Err(ReadErrorKind::Read(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.is_done = !matches!(result, Ok(1..));
        result.map_err(|kind| ReadError { path: self.path.clone(), kind })
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("path", &self.path).field("encoding", &self.encoding()).finish()
    }
}

enum Body {
    Plain(Raw),
    Gzip(Box<MultiGzDecoder<BufReader<Raw>>>),
    Zstd(Box<Zstd>),
}

/// The file as stored, with the first bytes that were looked at put back.
struct Raw {
    head: [u8; 4],
    head_at: usize,
    head_len: usize,
    file: File,
    progress: Arc<AtomicU64>,
}

impl Raw {
    /// Reads as many of the first four bytes as it takes to know the encoding. A live stream that begins
    /// with one ordinary byte is not kept waiting for the next three.
    fn look(&mut self, is_live: bool) -> io::Result<Encoding> {
        loop {
            let head = &self.head[..self.head_len];
            if head.starts_with(GZIP_MAGIC) {
                return Ok(Encoding::Gzip);
            }
            let mut skippable = self.head;
            skippable[0] &= 0xf0;
            let skippable = &skippable[..self.head_len];
            if head == ZSTD_MAGIC || skippable == ZSTD_SKIPPABLE_MAGIC {
                return Ok(Encoding::Zstd);
            }
            let is_open = GZIP_MAGIC.starts_with(head)
                || ZSTD_MAGIC.starts_with(head)
                || ZSTD_SKIPPABLE_MAGIC.starts_with(skippable);
            if self.head_len == self.head.len() || !is_open && (is_live || self.head_len > 0) {
                return Ok(Encoding::Plain);
            }
            match self.file.read(&mut self.head[self.head_len..]) {
                Ok(0) => return Ok(Encoding::Plain),
                Ok(n) => self.head_len += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Read for Raw {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let head = &self.head[self.head_at..self.head_len];
        let n = if head.is_empty() {
            self.file.read(buf)?
        } else {
            let n = head.len().min(buf.len());
            buf[..n].copy_from_slice(&head[..n]);
            self.head_at += n;
            n
        };
        self.progress.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// Tells whether a file is packed, by its first bytes.
pub(super) fn is_packed(head: &[u8]) -> bool {
    head.starts_with(GZIP_MAGIC) || head.starts_with(ZSTD_MAGIC)
}

fn gzip_error(error: io::Error) -> ReadErrorKind {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ReadErrorKind::Truncated(Encoding::Gzip),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            ReadErrorKind::Corrupt(Encoding::Gzip, error.to_string())
        }
        _ => ReadErrorKind::Read(error),
    }
}

/// Frames of Zstandard one after another.
struct Zstd {
    source: BufReader<Raw>,
    decoder: FrameDecoder,
    state: ZstdState,
}

enum ZstdState {
    Between,
    InFrame,
    Failed(Option<ReadErrorKind>),
}

impl Zstd {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ReadErrorKind> {
        loop {
            match &mut self.state {
                ZstdState::Between => {
                    if self.source.fill_buf().map_err(ReadErrorKind::Read)?.is_empty() {
                        return Ok(0);
                    }
                    match self.decoder.init(&mut self.source) {
                        Ok(()) => self.state = ZstdState::InFrame,
                        Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                            length,
                            ..
                        })) => {
                            let length = u64::from(length);
                            let skipped = io::copy(&mut (&mut self.source).take(length), &mut io::sink())
                                .map_err(ReadErrorKind::Read)?;
                            if skipped < length {
                                return Err(ReadErrorKind::Truncated(Encoding::Zstd));
                            }
                        }
                        Err(error) => return Err(zstd_error(error)),
                    }
                }
                ZstdState::InFrame => {
                    if self.decoder.can_collect() > 0 {
                        return self.decoder.read(buf).map_err(ReadErrorKind::Read);
                    }
                    if self.decoder.is_finished() {
                        self.check_sum()?;
                        self.state = ZstdState::Between;
                    } else if let Err(error) = self.decode_block() {
                        self.release_window();
                        self.state = ZstdState::Failed(Some(error));
                    }
                }
                ZstdState::Failed(error) => {
                    if self.decoder.can_collect() > 0 {
                        return self.decoder.read(buf).map_err(ReadErrorKind::Read);
                    }
                    return error.take().map_or(Ok(0), Err);
                }
            }
        }
    }

    fn decode_block(&mut self) -> Result<(), ReadErrorKind> {
        let Self { decoder, source, .. } = self;
        // The decoder asserts some of what a damaged file can break (ruzstd 0.9.1, block_decoder.rs); one bad
        // log must not end the scan of the others.
        panic::catch_unwind(AssertUnwindSafe(|| {
            decoder.decode_blocks(source, BlockDecodingStrategy::UptoBlocks(1))
        }))
        .map_err(|_| ReadErrorKind::Corrupt(Encoding::Zstd, "a block contradicts itself".to_owned()))?
        .map(drop)
        .map_err(zstd_error)
    }

    /// Gives out what the decoder holds back for later blocks to refer to (its window, up to megabytes): to
    /// the decoder a frame that ends here, with an empty last block and any checksum.
    fn release_window(&mut self) {
        const EMPTY_LAST_BLOCK_AND_CHECKSUM: [u8; 7] = [1, 0, 0, 0, 0, 0, 0];
        let _ = self.decoder.decode_blocks(&EMPTY_LAST_BLOCK_AND_CHECKSUM[..], BlockDecodingStrategy::All);
    }

    fn check_sum(&self) -> Result<(), ReadErrorKind> {
        match (self.decoder.get_checksum_from_data(), self.decoder.get_calculated_checksum()) {
            (Some(stored), Some(calculated)) if stored != calculated => {
                Err(ReadErrorKind::Corrupt(Encoding::Zstd, "the checksum does not match".to_owned()))
            }
            _ => Ok(()),
        }
    }
}

fn zstd_error(error: FrameDecoderError) -> ReadErrorKind {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return match error.kind() {
                io::ErrorKind::UnexpectedEof => ReadErrorKind::Truncated(Encoding::Zstd),
                kind => ReadErrorKind::Read(io::Error::new(kind, error.to_string())),
            };
        }
        cause = error.source();
    }
    let detail = match &error {
        FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::BadMagicNumber(_)) => {
            "something else follows it".to_owned()
        }
        // The decoder's own words are about its insides.
        FrameDecoderError::FailedToReadBlockBody(_) => "a block cannot be unpacked".to_owned(),
        FrameDecoderError::WindowSizeTooBig { requested, max } => format!(
            "it asks for a window of {} MiB, {} MiB are possible",
            requested.div_ceil(1 << 20),
            max / (1 << 20)
        ),
        other => other.to_string(),
    };
    ReadErrorKind::Corrupt(Encoding::Zstd, detail)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::write::GzEncoder;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn text() -> Vec<u8> {
        (0..40_000).flat_map(|i| format!("line {i} of some text, {}\n", i * 7919).into_bytes()).collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        compress_to_vec(bytes, CompressionLevel::Fastest)
    }

    fn read(stored: &[u8]) -> (Vec<u8>, Encoding, Option<ReadErrorKind>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_write(file.path(), stored);
        let progress = Arc::new(AtomicU64::new(0));
        let mut reader = open_counting(file.path(), Arc::clone(&progress)).unwrap();
        let mut all = Vec::new();
        let mut buf = vec![0; 10_000];
        let error = loop {
            match reader.read_chunk(&mut buf) {
                Ok(0) => break None,
                Ok(n) => all.extend_from_slice(&buf[..n]),
                Err(error) => break Some(error.kind),
            }
        };
        if error.is_none() {
            assert_eq!(progress.load(Ordering::Relaxed), stored.len() as u64);
        }
        assert_eq!(reader.read_chunk(&mut buf).unwrap(), 0);
        (all, reader.encoding(), error)
    }

    fn fs_write(path: &Path, bytes: &[u8]) {
        std::fs::write(path, bytes).unwrap();
    }

    #[test]
    fn reads_plain_files_of_any_length() {
        for bytes in [&b""[..], b"a", b"\x1f", b"\x28\xb5", b"ab\n", b"PK\x03\x04 or so"] {
            let (all, encoding, error) = read(bytes);
            assert_eq!((all.as_slice(), encoding), (bytes, Encoding::Plain));
            assert!(error.is_none());
        }
    }

    #[test]
    fn reads_packed_files_of_several_parts() {
        let text = text();
        let (a, b) = text.split_at(text.len() / 3);
        for (stored, expected) in [
            ([gzip(a), gzip(b)].concat(), Encoding::Gzip),
            ([zstd(a), zstd(b)].concat(), Encoding::Zstd),
            ([zstd(a), b"\x52\x2a\x4d\x18\x03\0\0\0abc".to_vec(), zstd(b)].concat(), Encoding::Zstd),
            ([b"\x50\x2a\x4d\x18\0\0\0\0".to_vec(), zstd(&text)].concat(), Encoding::Zstd),
        ] {
            let (all, encoding, error) = read(&stored);
            assert!(error.is_none(), "{error:?}");
            assert_eq!(encoding, expected);
            assert!(all == text);
        }
    }

    #[test]
    fn a_cut_file_gives_what_it_has_and_says_so() {
        let text = text();
        for (stored, encoding) in [(gzip(&text), Encoding::Gzip), (zstd(&text), Encoding::Zstd)] {
            for keep in [stored.len() - 1, stored.len() - 7, stored.len() * 2 / 3] {
                let (all, _, error) = read(&stored[..keep]);
                assert!(
                    matches!(error, Some(ReadErrorKind::Truncated(e)) if e == encoding),
                    "{encoding} {keep}: {error:?}"
                );
                assert!(text.starts_with(&all), "{encoding} {keep}");
                // A block of zstd holds up to 128 KiB; all blocks before the cut one are whole.
                let share = text.len() * keep / stored.len();
                assert!(all.len() + 200 * 1024 > share, "{encoding} {keep}: {} of {share}", all.len());
            }
        }
    }

    #[test]
    fn damage_is_told_from_a_cut() {
        let text = text();
        for packed in [gzip(&text), zstd(&text)] {
            let (all, _, error) = read(&[packed.as_slice(), b"trailing text"].concat());
            assert!(matches!(error, Some(ReadErrorKind::Corrupt(..))), "{error:?}");
            assert!(all == text);
        }
        let mut stored = zstd(&text);
        let middle = stored.len() / 2;
        stored[middle] ^= 0x55;
        assert!(read(&stored).2.is_some());
    }

    #[test]
    fn errors_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let error = open(&dir.path().join("absent")).unwrap_err().to_string();
        assert!(error.ends_with("absent`: no such file or directory"), "{error}");
        let error = open(dir.path()).unwrap_err().to_string();
        assert!(error.ends_with("`: it is a directory"), "{error}");
    }

    #[test]
    fn a_named_pipe_is_read_as_it_comes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        let writer = {
            let path = path.clone();
            std::thread::spawn(move || std::fs::OpenOptions::new().write(true).open(path).unwrap())
        };
        let file = std::thread::spawn(move || {
            let mut reader = open(&path).unwrap();
            let mut buf = [0; 64];
            let n = reader.read_chunk(&mut buf).unwrap();
            (buf[..n].to_vec(), reader)
        });
        let mut writer = writer.join().unwrap();
        // One byte is enough: nothing waits for three more.
        writer.write_all(b"x").unwrap();
        let (first, mut reader) = file.join().unwrap();
        assert_eq!(first, b"x");
        writer.write_all(b"yz\n").unwrap();
        let mut buf = [0; 64];
        assert_eq!(reader.read_chunk(&mut buf).unwrap(), 3);
        drop(writer);
        assert_eq!(reader.read_chunk(&mut buf).unwrap(), 0);
    }
}
