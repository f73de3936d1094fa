//! What holds for any input, as functions from bytes to a panic if it does not.
//!
//! Inputs are what an agent prints (or what a user writes into a file), so that one that failed can be read, and given
//! to the program itself. What else a run needs (where the stream is cut, the limit of a line, what time it is) is drawn
//! from the bytes: the same input always does the same.

pub mod draw;
pub mod mutate;

pub mod document;
pub mod framing;
pub mod json;
pub mod terminal;

pub mod classify;
pub mod redact;
pub mod reset_time;

pub mod events;
pub mod stream;

pub mod settings;

pub use libfuzzer_sys;

/// Declares a target: what checks an input, and the folder of recordings that its mutations draw from (empty: all).
#[macro_export]
macro_rules! target {
    ($check:expr, $folder:expr) => {
        $crate::libfuzzer_sys::fuzz_target!(|data: &[u8]| $check(data));
        $crate::libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
            $crate::mutate::mutate($folder, data, size, max_size, seed)
        });
    };
}

/// Declares the target of the format of this name.
#[macro_export]
macro_rules! format_target {
    ($name:literal) => {
        $crate::target!(|data: &[u8]| $crate::stream::format($name, data), $name);
    };
}
