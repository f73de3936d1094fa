//! The format `pi`.

#![no_main]

session_doctor_fuzz::format_target!("pi");
