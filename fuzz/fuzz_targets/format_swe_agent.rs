//! The format `swe_agent`.

#![no_main]

session_doctor_fuzz::format_target!("swe_agent");
