//! When it may be tried again.

#![no_main]

session_doctor_fuzz::target!(session_doctor_fuzz::reset_time::check, "plain");
