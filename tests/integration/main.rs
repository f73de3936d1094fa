//! The program from outside: one file per topic.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod accuracy;
mod acting;
mod check_tokens;
mod cli_errors;
mod config;
mod follow;
mod generated;
mod layers;
mod list_sessions;
mod loops;
mod messages;
mod own_rules;
mod pass_through;
mod prices;
mod properties;
mod readme;
mod real_clients;
mod recovery;
mod status_line;
mod support;
mod tap;
mod transcripts;
mod usage;
mod waiting;
mod wire;
mod wrap;
mod wrap_terminal;
