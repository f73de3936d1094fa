//! The pre-scan and the rules: two steps find what one would.

#![no_main]

session_doctor_fuzz::target!(session_doctor_fuzz::classify::check, "plain");
