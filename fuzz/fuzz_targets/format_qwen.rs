//! The format `qwen`.

#![no_main]

session_doctor_fuzz::format_target!("qwen");
