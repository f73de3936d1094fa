//! Terminal text to readable text.

#![no_main]

session_doctor_fuzz::target!(session_doctor_fuzz::terminal::check, "plain");
