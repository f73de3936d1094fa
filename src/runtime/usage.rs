//! Files, read in parallel for what was used: they are decoded and metered, and not judged. Those that have not changed since
//! they were read are not read again, if there is a [`cache`].

pub mod cache;

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use self::cache::{Cache, Facts, Fresh, Keeping};
use super::scan::{FileTrouble, Progress};
use super::{clock, in_parallel};
use crate::engine::usage::ledger::{Ledger, Sheet};
use crate::engine::usage::meter::Mode;
use crate::engine::usage::price::Prices;
use crate::engine::{Doctor, Listener, Options};
use crate::model::Timestamp;
use crate::source::file::{self, ReadError, ReadErrorKind, Reader};
use crate::source::walk::{Input, Kind};

/// How much is read at a time, in bytes.
const CHUNK: usize = 256 * 1024;

/// How tokens become money.
#[derive(Clone)]
pub struct Pricing {
    /// The prices.
    pub prices: Arc<Prices>,
    /// Whose figures count.
    pub mode: Mode,
}

/// Reads files with `threads` threads (at least one); what could not be read is told beside what was. A file that `cache` knows
/// and that has not changed is not read; what the others tell is put into it.
///
/// # Errors
/// A thread cannot be started.
pub fn run(
    inputs: &[Input],
    options: &Options,
    pricing: &Pricing,
    threads: usize,
    cache: Option<&Cache>,
    progress: &Progress,
) -> io::Result<(Ledger, Vec<FileTrouble>)> {
    let mut options = options.clone();
    options.only_decode = true;
    let scan = Scan {
        options: Arc::new(options),
        pricing,
        cache,
        progress,
        together: Mutex::default(),
        asked: Mutex::default(),
    };
    let mut unknown = match cache {
        Some(cache) => scan.known(cache, inputs, threads)?,
        None => inputs.iter().map(|input| (input, None)).collect(),
    };
    // Large files first, so that no thread is left with one at the end.
    unknown.sort_by_key(|(input, _)| std::cmp::Reverse(input.size));
    let fresh = Mutex::new(Vec::new());
    in_parallel(
        threads,
        &unknown,
        || vec![0; CHUNK],
        |(input, facts), chunk| {
            if !progress.stop.load(Ordering::Relaxed) {
                let kept = scan.read(input, *facts, chunk);
                fresh.lock().unwrap_or_else(PoisonError::into_inner).extend(kept);
            }
        },
    )?;
    if let Some(cache) = cache {
        scan.save(cache, fresh.into_inner().unwrap_or_else(PoisonError::into_inner), threads)?;
    }
    let together = scan.together.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok((together.ledger, together.troubles))
}

/// One scan.
struct Scan<'s> {
    options: Arc<Options>,
    pricing: &'s Pricing,
    cache: Option<&'s Cache>,
    progress: &'s Progress,
    together: Mutex<Together>,
    /// What was found in the cache, and should be said to have been.
    asked: Mutex<Vec<Facts>>,
}

#[derive(Default)]
struct Together {
    ledger: Ledger,
    troubles: Vec<FileTrouble>,
}

impl Scan<'_> {
    fn sheet(&self, input: &Input) -> Sheet {
        Sheet::new(Arc::clone(&self.pricing.prices), self.pricing.mode, &input.path.to_string_lossy())
    }

    fn put(
        &self,
        sheet: Sheet,
        agent: &'static str,
        written: Option<Timestamp>,
        trouble: Option<FileTrouble>,
    ) {
        self.progress.files.fetch_add(1, Ordering::Relaxed);
        let mut together = self.together.lock().unwrap_or_else(PoisonError::into_inner);
        together.ledger.put(sheet, agent, written);
        together.troubles.extend(trouble);
    }

    /// Takes what the cache knows, and returns the rest, with what the file system said of it.
    fn known<'i>(
        &self,
        cache: &Cache,
        inputs: &'i [Input],
        threads: usize,
    ) -> io::Result<Vec<(&'i Input, Option<Facts>)>> {
        let mut unknown = Vec::new();
        let mut shards: BTreeMap<usize, Vec<(&Input, Facts)>> = BTreeMap::new();
        for input in inputs {
            match (input.kind == Kind::File).then(|| Facts::of(&input.path)).flatten() {
                Some(facts) => shards.entry(facts.shard()).or_default().push((input, facts)),
                None => unknown.push((input, None)),
            }
        }
        let shards: Vec<_> = shards.into_iter().collect();
        let unknown = Mutex::new(unknown);
        in_parallel(
            threads,
            &shards,
            || (),
            |(number, files), ()| {
                let shard = cache.load(*number);
                for (input, facts) in files {
                    if self.progress.stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let known = cache.find(&shard, facts).and_then(|found| {
                        let mut sheet = self.sheet(input);
                        found.play(&mut sheet).then_some((sheet, found))
                    });
                    match known {
                        Some((sheet, found)) => {
                            self.progress.bytes.fetch_add(facts.size, Ordering::Relaxed);
                            self.put(sheet, found.agent, facts.written(), None);
                            if found.is_late {
                                self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(*facts);
                            }
                        }
                        None => {
                            unknown
                                .lock()
                                .unwrap_or_else(PoisonError::into_inner)
                                .push((*input, Some(*facts)));
                        }
                    }
                }
            },
        )?;
        Ok(unknown.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn save(&self, cache: &Cache, fresh: Vec<Fresh>, threads: usize) -> io::Result<()> {
        let mut shards: BTreeMap<usize, (Vec<Fresh>, Vec<Facts>)> = BTreeMap::new();
        for fresh in fresh {
            shards.entry(fresh.facts.shard()).or_default().0.push(fresh);
        }
        for facts in self.asked.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            shards.entry(facts.shard()).or_default().1.push(facts);
        }
        let shards: Vec<_> = shards.into_iter().collect();
        in_parallel(threads, &shards, || (), |(number, (fresh, asked)), ()| cache.save(*number, fresh, asked))
    }

    /// Reads a file; returns what may be kept of it.
    fn read(&self, input: &Input, facts: Option<Facts>, chunk: &mut [u8]) -> Option<Fresh> {
        let name = input.path.to_string_lossy();
        let facts = facts.filter(|_| self.cache.is_some());
        let listening = Arc::new(Mutex::new((self.sheet(input), facts.map(|_| Keeping::default()))));
        let mut doctor = Doctor::new(Arc::clone(&self.options), &name, &name);
        doctor.listen(|| -> Listener {
            let listening = Arc::clone(&listening);
            Box::new(move |_, record| {
                let (sheet, keeping) = &mut *listening.lock().unwrap_or_else(PoisonError::into_inner);
                sheet.take(record);
                if let Some(keeping) = keeping {
                    keeping.take(record);
                }
            })
        });
        let mut trouble = None;
        let now = clock::now();
        let mut watch = |work: &mut dyn FnMut(&mut Doctor)| {
            catch_unwind(AssertUnwindSafe(|| work(&mut doctor)))
                .map_err(|_| FileTrouble::Engine(input.path.clone()))
        };
        match self.open(input) {
            Err(error) => trouble = Some(FileTrouble::Read(error)),
            Ok(mut reader) => loop {
                match reader.read_chunk(chunk) {
                    Ok(0) => {
                        trouble = trouble.or(watch(&mut |doctor| doctor.finish(now, &mut |_| {})).err());
                        break;
                    }
                    Ok(length) => {
                        let fed = watch(&mut |doctor| doctor.feed(now, &chunk[..length], &mut |_| {}));
                        if let Err(failed) = fed {
                            trouble = Some(failed);
                            break;
                        }
                    }
                    Err(error) => {
                        trouble = Some(FileTrouble::Read(error));
                        break;
                    }
                }
            },
        }
        let agent = doctor.agent();
        drop(doctor);
        let listening = Arc::into_inner(listening)
            .map(|listening| listening.into_inner().unwrap_or_else(PoisonError::into_inner));
        let (sheet, keeping) = listening.unwrap_or_else(|| (self.sheet(input), None));
        let whole = trouble.is_none();
        self.put(sheet, agent, written(input), trouble);
        // What could not be read is told again the next time.
        self.cache
            .zip(keeping.filter(|_| whole))
            .and_then(|(cache, kept)| cache.keep(facts, &input.path, agent, kept))
    }

    fn open(&self, input: &Input) -> Result<Reader, ReadError> {
        let bytes = Arc::clone(&self.progress.bytes);
        if input.kind != Kind::Stdin {
            return file::open_counting(&input.path, bytes);
        }
        let failed = |error| ReadError { path: input.path.clone(), kind: ReadErrorKind::Open(error) };
        file::reading(&input.path, stdin().map_err(failed)?, bytes)
    }
}

fn stdin() -> io::Result<File> {
    rustix::stdio::stdin().try_clone_to_owned().map(File::from)
}

/// Returns when an input was last written to; what comes through a pipe is written now.
fn written(input: &Input) -> Option<Timestamp> {
    if input.kind != Kind::Stdin {
        return clock::written(&input.path);
    }
    let metadata = stdin().and_then(|file| file.metadata()).ok().filter(Metadata::is_file);
    metadata.map_or_else(|| Some(clock::now()), |metadata| clock::modified(&metadata))
}
