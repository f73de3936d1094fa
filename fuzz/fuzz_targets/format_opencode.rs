//! The format `opencode`.

#![no_main]

session_doctor_fuzz::format_target!("opencode");
