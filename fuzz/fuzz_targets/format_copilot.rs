//! The format `copilot`.

#![no_main]

session_doctor_fuzz::format_target!("copilot");
