//! The format `generic`.

#![no_main]

session_doctor_fuzz::format_target!("generic");
