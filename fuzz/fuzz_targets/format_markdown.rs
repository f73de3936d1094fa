//! The format `markdown`.

#![no_main]

session_doctor_fuzz::format_target!("markdown");
