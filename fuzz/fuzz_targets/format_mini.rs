//! The format `mini`.

#![no_main]

session_doctor_fuzz::format_target!("mini");
