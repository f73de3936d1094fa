//! The format `harness`.

#![no_main]

session_doctor_fuzz::format_target!("harness");
