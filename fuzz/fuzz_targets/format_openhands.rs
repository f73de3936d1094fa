//! The format `openhands`.

#![no_main]

session_doctor_fuzz::format_target!("openhands");
