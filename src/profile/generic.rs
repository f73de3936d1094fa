//! A program that nobody knows: it can be started again as it was, and ended as programs are.

use super::{Asked, Call, Invocation, Mode, Profile, Prompt, Rewritten, SessionRef, Terminals, Unable};

/// The profile of unknown programs.
#[derive(Debug)]
pub(super) struct Generic;

pub(super) static PROFILE: Generic = Generic;

impl Profile for Generic {
    fn name(&self) -> &'static str {
        "generic"
    }

    fn is_named(&self, _: &str) -> bool {
        false
    }

    fn read(&self, _: &[String], terminals: Terminals) -> Invocation {
        Invocation {
            mode: if terminals.stdin && terminals.stdout { Mode::Interactive } else { Mode::Unknown },
            prompt: Prompt::None,
            asked: Asked::New,
            model: None,
            directory: None,
            kept: false,
            doubtful: None,
        }
    }

    fn resume(&self, _: &Call<'_>, _: &SessionRef, _: &str) -> Result<Rewritten, Unable> {
        Err(Unable::new("how it resumes a session is not known"))
    }

    fn fresh(&self, _: &Call<'_>, _: &str, _: &str) -> Result<Rewritten, Unable> {
        Err(Unable::new("how it is given a prompt is not known"))
    }
}
