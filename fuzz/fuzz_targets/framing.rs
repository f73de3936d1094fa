//! Chunks to lines: the same however they are cut, and no byte is lost count of.

#![no_main]

session_doctor_fuzz::target!(session_doctor_fuzz::framing::check, "");
