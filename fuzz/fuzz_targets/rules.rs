//! Rules that a user wrote.

#![no_main]

session_doctor_fuzz::target!(session_doctor_fuzz::settings::rules, "none");
