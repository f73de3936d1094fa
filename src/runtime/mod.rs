//! The only place that waits: reads sources, feeds doctors, writes events.

pub mod clock;
pub mod context;
pub mod follow;
pub mod live;
pub mod measure;
pub mod price_list;
pub mod scan;
pub mod signals;
pub mod spent;
pub mod transcripts;
pub mod usage;
pub mod wrap;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{io, thread};

use crate::engine::{Doctor, Options};
use crate::model::event::Summary;
use crate::model::{Event, EventBody, EventType, Severity};
use crate::sink::Render;

/// Does some work for each item, with at most so many threads, each of which has a tool of its own. Items are taken in their
/// order.
fn in_parallel<T: Sync, W>(
    threads: usize,
    items: &[T],
    tool: impl Fn() -> W + Sync,
    work: impl Fn(&T, &mut W) + Sync,
) -> io::Result<()> {
    let next = AtomicUsize::new(0);
    let one = || {
        let mut tool = tool();
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(item, &mut tool);
        }
    };
    if items.is_empty() {
        return Ok(());
    }
    thread::scope(|scope| {
        for number in 1..threads.clamp(1, items.len()) {
            thread::Builder::new().name(format!("work-{number}")).spawn_scoped(scope, one)?;
        }
        one();
        Ok(())
    })
}

/// What is done with the events of every source.
pub struct Telling {
    /// Writes them.
    pub render: Box<dyn Render>,
    /// The types that are told; empty: all.
    pub emit: Vec<EventType>,
}

/// What came out of one source, beside its events.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// The worst severity that an alert had.
    pub worst_alert: Option<Severity>,
    /// The sum of the summaries.
    pub summary: Summary,
}

impl Tally {
    /// Adds what came out of another source.
    pub fn add(&mut self, other: &Self) {
        self.worst_alert = self.worst_alert.max(other.worst_alert);
        self.summary.add(&other.summary);
    }
}

/// A mistake in the engine: it is ours, and must not become the agent's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnginePanic;

/// A doctor whose events become bytes; a panic in it ends the watching, nothing else.
pub struct Watch<'t> {
    doctor: Option<Doctor>,
    telling: &'t Telling,
    tally: Tally,
}

impl<'t> Watch<'t> {
    /// Begins to watch a source.
    pub fn new(options: Arc<Options>, name: &str, seed: &str, telling: &'t Telling) -> Self {
        Self::over(Doctor::new(options, name, seed), telling)
    }

    /// Begins to watch with this doctor.
    pub fn over(doctor: Doctor, telling: &'t Telling) -> Self {
        Self { doctor: Some(doctor), telling, tally: Tally::default() }
    }

    /// Lets the doctor do something, and appends what is told to `lines`.
    ///
    /// # Errors
    /// The engine panicked, now or before.
    pub fn run(
        &mut self,
        lines: &mut Vec<u8>,
        work: impl FnOnce(&mut Doctor, &mut dyn FnMut(Event)),
    ) -> Result<(), EnginePanic> {
        let Some(mut doctor) = self.doctor.take() else { return Err(EnginePanic) };
        let (telling, tally) = (self.telling, &mut self.tally);
        let doctor = catch_unwind(AssertUnwindSafe(move || {
            work(&mut doctor, &mut |event| {
                match &event.body {
                    EventBody::Alert(alert) => {
                        tally.worst_alert = tally.worst_alert.max(Some(alert.severity))
                    }
                    EventBody::Summary(summary) => tally.summary.add(summary),
                    _ => {}
                }
                if telling.emit.is_empty() || telling.emit.contains(&event.event_type()) {
                    telling.render.render(&event, lines);
                }
            });
            doctor
        }));
        match doctor {
            Ok(doctor) => {
                self.doctor = Some(doctor);
                Ok(())
            }
            Err(_) => Err(EnginePanic),
        }
    }

    /// Returns when the doctor wants to be asked again.
    pub fn next_deadline(&self) -> Option<crate::model::Timestamp> {
        self.doctor.as_ref().and_then(Doctor::next_deadline)
    }

    /// Returns what came out of the source.
    pub fn tally(self) -> Tally {
        self.tally
    }
}
