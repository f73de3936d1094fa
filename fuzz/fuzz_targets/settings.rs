//! Settings of every layer.

#![no_main]

session_doctor_fuzz::target!(session_doctor_fuzz::settings::check, "none");
