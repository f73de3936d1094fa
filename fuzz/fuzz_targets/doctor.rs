//! The whole engine on streams of no known format.

#![no_main]

session_doctor_fuzz::target!(session_doctor_fuzz::stream::doctor, "");
