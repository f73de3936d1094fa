//! The format `cursor`.

#![no_main]

session_doctor_fuzz::format_target!("cursor");
