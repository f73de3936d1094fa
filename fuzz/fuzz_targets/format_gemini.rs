//! The format `gemini`.

#![no_main]

session_doctor_fuzz::format_target!("gemini");
