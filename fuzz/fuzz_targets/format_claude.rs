//! The format `claude`.

#![no_main]

session_doctor_fuzz::format_target!("claude");
