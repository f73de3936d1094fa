//! The format `amp`.

#![no_main]

session_doctor_fuzz::format_target!("amp");
