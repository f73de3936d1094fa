//! From text and its origin to findings; here live the rules, their scan, and what a message says about waiting.

pub mod reset_time;
