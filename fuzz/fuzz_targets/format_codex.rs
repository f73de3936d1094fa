//! The format `codex`.

#![no_main]

session_doctor_fuzz::format_target!("codex");
