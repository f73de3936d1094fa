//! The format `goose`.

#![no_main]

session_doctor_fuzz::format_target!("goose");
