//! JSON: what the reader makes of a line is what serde_json makes of it.

#![no_main]

session_doctor_fuzz::target!(session_doctor_fuzz::json::check, "");
