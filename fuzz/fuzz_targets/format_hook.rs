//! The format `hook`.

#![no_main]

session_doctor_fuzz::format_target!("hook");
