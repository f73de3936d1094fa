//! The format `plain`.

#![no_main]

session_doctor_fuzz::format_target!("plain");
