//! Files, read in parallel for what was used: they are decoded and metered, and not judged.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

use super::clock;
use super::scan::{FileTrouble, Progress};
use crate::engine::usage::ledger::{Ledger, Sheet};
use crate::engine::usage::meter::Mode;
use crate::engine::usage::price::Prices;
use crate::engine::{Doctor, Listener, Options};
use crate::source::file;
use crate::source::walk::Input;

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

/// Reads files with `threads` threads (at least one); what could not be read is told beside what was.
///
/// # Errors
/// A thread cannot be started.
pub fn run(
    inputs: &[Input],
    options: &Options,
    pricing: &Pricing,
    threads: usize,
    progress: &Progress,
) -> io::Result<(Ledger, Vec<FileTrouble>)> {
    let mut options = options.clone();
    options.only_decode = true;
    let options = Arc::new(options);
    let together = Mutex::new((Ledger::default(), Vec::new()));
    // Large files first, so that no thread is left with one at the end.
    let mut order: Vec<&Input> = inputs.iter().collect();
    order.sort_by_key(|input| std::cmp::Reverse(input.size));
    let next = AtomicUsize::new(0);
    let work = || {
        let mut chunk = vec![0; CHUNK];
        while let Some(input) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            if progress.stop.load(Ordering::Relaxed) {
                break;
            }
            let (sheet, agent, trouble) = read(input, &options, pricing, progress, &mut chunk);
            progress.files.fetch_add(1, Ordering::Relaxed);
            let written = clock::written(&input.path);
            let mut together = together.lock().unwrap_or_else(PoisonError::into_inner);
            together.0.put(sheet, agent, written);
            together.1.extend(trouble);
        }
    };
    let threads = threads.clamp(1, order.len().max(1));
    thread::scope(|scope| {
        for number in 1..threads {
            thread::Builder::new().name(format!("usage-{number}")).spawn_scoped(scope, work)?;
        }
        work();
        Ok::<(), io::Error>(())
    })?;
    Ok(together.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn read(
    input: &Input,
    options: &Arc<Options>,
    pricing: &Pricing,
    progress: &Progress,
    chunk: &mut [u8],
) -> (Sheet, &'static str, Option<FileTrouble>) {
    let name = input.path.to_string_lossy();
    let empty = || Sheet::new(Arc::clone(&pricing.prices), pricing.mode, &name);
    let sheet = Arc::new(Mutex::new(empty()));
    let mut doctor = Doctor::new(Arc::clone(options), &name, &name);
    doctor.listen(|| -> Listener {
        let sheet = Arc::clone(&sheet);
        Box::new(move |_, record| sheet.lock().unwrap_or_else(PoisonError::into_inner).take(record))
    });
    let mut trouble = None;
    let now = clock::now();
    let mut watch = |work: &mut dyn FnMut(&mut Doctor)| {
        catch_unwind(AssertUnwindSafe(|| work(&mut doctor)))
            .map_err(|_| FileTrouble::Engine(input.path.clone()))
    };
    match file::open_counting(&input.path, Arc::clone(&progress.bytes)) {
        Err(error) => trouble = Some(FileTrouble::Read(error)),
        Ok(mut reader) => loop {
            match reader.read_chunk(chunk) {
                Ok(0) => {
                    trouble = trouble.or(watch(&mut |doctor| doctor.finish(now, &mut |_| {})).err());
                    break;
                }
                Ok(length) => {
                    if let Err(failed) = watch(&mut |doctor| doctor.feed(now, &chunk[..length], &mut |_| {}))
                    {
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
    let sheet =
        Arc::into_inner(sheet).map(|sheet| sheet.into_inner().unwrap_or_else(PoisonError::into_inner));
    (sheet.unwrap_or_else(empty), agent, trouble)
}
