//! JSON documents that span lines: what is held, what is told in parts.

#![no_main]

session_doctor_fuzz::target!(session_doctor_fuzz::document::check, "mini");
