//! The format `aider`.

#![no_main]

session_doctor_fuzz::format_target!("aider");
