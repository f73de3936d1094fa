//! No secret gets out.

#![no_main]

session_doctor_fuzz::target!(session_doctor_fuzz::redact::check, "plain");
