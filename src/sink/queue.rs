//! Events on their way to a slow output: a bounded queue that drops and counts, never waits.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::output::Output;

/// How many batches of events may wait to be written.
const QUEUE_LENGTH: usize = 4096;

/// How many bytes of events may wait to be written.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// How long the end of the program waits for an output that takes nothing.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Writes to an output from a thread of its own.
pub struct Queue {
    sender: Option<Sender<Vec<u8>>>,
    /// Bytes handed over and not written yet.
    waiting: Arc<AtomicUsize>,
    done: Receiver<Option<io::Error>>,
    thread: Option<JoinHandle<()>>,
}

impl Queue {
    /// Begins to write to an output.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn new(mut output: Output) -> io::Result<Self> {
        let (sender, batches) = bounded::<Vec<u8>>(QUEUE_LENGTH);
        let (tell, done) = bounded(1);
        let waiting = Arc::new(AtomicUsize::new(0));
        let written = Arc::clone(&waiting);
        let thread = thread::Builder::new().name("events".to_owned()).spawn(move || {
            let mut trouble = None;
            for batch in &batches {
                if trouble.is_none() {
                    trouble = output.write(&batch).err();
                }
                // Who follows a file waits for what there is, and a kill must not take it along.
                if trouble.is_none() && batches.is_empty() {
                    trouble = output.flush().err();
                }
                written.fetch_sub(batch.len(), Ordering::Relaxed);
            }
            let trouble = trouble.or_else(|| output.flush().err());
            let _ = tell.send(trouble);
        })?;
        Ok(Self { sender: Some(sender), waiting, done, thread: Some(thread) })
    }

    /// Hands over whole lines; returns whether the queue took them.
    pub fn offer(&self, lines: Vec<u8>) -> bool {
        let waiting = self.waiting.load(Ordering::Relaxed);
        // A single batch is never too large: what it holds came from one chunk of input.
        if waiting > 0 && waiting.saturating_add(lines.len()) > QUEUE_BYTES {
            return false;
        }
        self.send(lines, |sender, lines| sender.try_send(lines).is_ok())
    }

    fn send(&self, lines: Vec<u8>, send: impl FnOnce(&Sender<Vec<u8>>, Vec<u8>) -> bool) -> bool {
        let Some(sender) = &self.sender else { return false };
        let length = lines.len();
        // Counted first: the thread may have written it before this returns.
        self.waiting.fetch_add(length, Ordering::Relaxed);
        let took = send(sender, lines);
        if !took {
            self.waiting.fetch_sub(length, Ordering::Relaxed);
        }
        took
    }

    /// Hands over the last lines of a stream, for which there is some time; returns whether the queue took them.
    pub fn offer_last(&self, lines: Vec<u8>) -> bool {
        self.send(lines, |sender, lines| sender.send_timeout(lines, LAST_WAIT).is_ok())
    }

    /// Hands over the last lines of all and waits until everything is written, but not for ever; returns whether it
    /// was.
    ///
    /// # Errors
    /// The output failed, now or before.
    pub fn close(mut self, lines: Vec<u8>) -> io::Result<bool> {
        let took = self.offer_last(lines);
        self.sender = None;
        match self.done.recv_timeout(LAST_WAIT) {
            Ok(trouble) => {
                if let Some(thread) = self.thread.take() {
                    let _ = thread.join();
                }
                trouble.map_or(Ok(took), Err)
            }
            // The thread hangs in a write that nobody reads; it ends with the process.
            Err(_) => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_takes_nothing_costs_events_and_no_time() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let path = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&writer));
        let output = Output::append(std::path::Path::new(&path)).unwrap();
        let queue = Queue::new(output).unwrap();
        let batch = vec![b'x'; 64 * 1024];
        let offers = 2 * QUEUE_BYTES / batch.len();
        let taken = (0..offers).filter(|_| queue.offer(batch.clone())).count();
        // One more may have been written into the pipe.
        assert!(taken <= QUEUE_BYTES / batch.len() + 1, "{taken} batches were taken");
        let small = (0..2 * QUEUE_LENGTH).filter(|_| queue.offer(b"x".to_vec())).count();
        assert!(small <= QUEUE_LENGTH, "{small} batches were taken");
        drop(reader);
        drop(writer);
    }

    #[test]
    fn what_was_taken_is_written_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        let queue = Queue::new(Output::append(&path).unwrap()).unwrap();
        assert!(queue.offer(b"one\n".to_vec()));
        assert!(queue.close(b"two\n".to_vec()).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\n");
    }
}
