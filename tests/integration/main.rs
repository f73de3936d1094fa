//! The program from outside: one file per topic.

mod cli_errors;
mod config;
mod generated;
mod support;
