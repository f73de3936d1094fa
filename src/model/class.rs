//! The closed vocabularies: class, severity, strategy, origin, basis, level.

use std::fmt;

/// Declares an enum whose variants have one name each on the wire, in settings and in rules.
macro_rules! vocabulary {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
        pub enum $name { $($(#[$vmeta])* #[serde(rename = $text)] $variant,)+ }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Returns the name used on the wire, in settings and in rules.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// Returns the value with this name, if there is one.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.name() == name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

vocabulary! {
    /// What kind of failure. The first eight names are older than this program and kept for its users.
    Class {
        /// The provider rejected the request as malformed (400 other than length).
        Http400 = "http_400",
        /// The context window or the request size is exceeded.
        TokenLimit = "token_limit",
        /// Malformed model or tool-call output: invalid JSON arguments, a schema that does not hold.
        JsonParse = "json_parse",
        /// A request or call did not finish in time.
        Timeout = "timeout",
        /// The agent does the same thing again and again.
        ToolRepeat = "tool_repeat",
        /// Throttling per minute or second (429, ThrottlingException).
        RateLimit = "rate_limit",
        /// 401/403: an invalid or expired key, not logged in, access revoked.
        AuthError = "auth_error",
        /// Money: a spend cap, a credit balance too low, insufficient quota.
        BudgetOver = "budget_over",
        /// A subscription window (5 hours, a day, a week) is used up.
        UsageLimit = "usage_limit",
        /// The provider is out of capacity (529, 503 overloaded).
        Overloaded = "overloaded",
        /// Any other 5xx.
        ServerError = "server_error",
        /// Connection refused or reset, DNS, TLS, a stream cut in the middle.
        Network = "network",
        /// Unknown model, or a plan without it.
        ModelUnavailable = "model_unavailable",
        /// A bad flag, an unknown session id, a missing variable, TLS trust.
        ConfigError = "config_error",
        /// A refusal or a content filter.
        ContentPolicy = "content_policy",
        /// The answer was cut at its own maximum length.
        OutputLimit = "output_limit",
        /// No space left on the device.
        DiskFull = "disk_full",
        /// A limit comes near, or a fallback model is in use.
        UsageWarning = "usage_warning",
        /// The agent stopped at its own turn or budget limit.
        MaxTurns = "max_turns",
        /// A tool call failed; the model was told.
        ToolError = "tool_error",
        /// The agent itself panicked, was killed or ran out of memory.
        Crash = "crash",
        /// No sign of life where life is due.
        Stalled = "stalled",
        /// The agent waits for a person.
        WaitingInput = "waiting_input",
        /// A person or a signal stopped the agent.
        Interrupted = "interrupted",
    }
}

vocabulary! {
    /// How bad a failure of a class is by default.
    Severity {
        /// Passes by itself as a rule.
        Low = "low",
        /// Costs time.
        Medium = "medium",
        /// Ends the run unless something is changed.
        High = "high",
        /// Needs a person.
        Critical = "critical",
    }
}

vocabulary! {
    /// A named recovery.
    Strategy {
        /// Watch, do nothing.
        Monitor = "monitor",
        /// Wait, then let it go on or resume it.
        Backoff = "backoff",
        /// Tell the model what was wrong with its output.
        RetryPromptFix = "retry_prompt_fix",
        /// Make the context smaller.
        CompactContext = "compact_context",
        /// Interrupt and ask for another approach.
        BreakLoop = "break_loop",
        /// Leave the poisoned part of the session behind.
        Reset = "reset",
        /// Start the agent again.
        Restart = "restart",
        /// Continue the same session.
        Resume = "resume",
        /// Stop and call a person.
        Halt = "halt",
    }
}

vocabulary! {
    /// Who can have produced a piece of text.
    Origin {
        /// The model's provider: an API error body, a status field.
        Provider = "provider",
        /// The agent program's own words.
        Agent = "agent",
        /// A tool that the agent ran, where the agent says that it failed.
        Tool = "tool",
        /// Model prose, file contents, successful tool output: never evidence of a failure.
        Content = "content",
        /// The person's (or supervisor's) own words: never evidence either.
        User = "user",
    }
}

vocabulary! {
    /// How a verdict was reached.
    Basis {
        /// A structured field or an exit code says so.
        Asserted = "asserted",
        /// Read from text or timing.
        Inferred = "inferred",
    }
}

vocabulary! {
    /// How much an alert is meant.
    Level {
        /// Look at it.
        Warn = "warn",
        /// Something should be done.
        Act = "act",
    }
}

vocabulary! {
    /// How near the end of the model's window is.
    Pressure {
        /// Below 60 %.
        Normal = "normal",
        /// From 60 % on.
        Elevated = "elevated",
        /// From 80 % on.
        Critical = "critical",
        /// From 90 % on.
        Emergency = "emergency",
    }
}

vocabulary! {
    /// The health of a session, as `status` events tell it.
    Health {
        /// Nothing is known to be wrong.
        Ok = "ok",
        /// Something was seen that may be nothing.
        Warn = "warn",
        /// A failure holds.
        Error = "error",
        /// Only a person can help.
        Halted = "halted",
    }
}

vocabulary! {
    /// How far the run of a wrapped agent is, as `status` events tell it.
    Life {
        /// Not started yet.
        Pending = "pending",
        /// Started, and nothing was heard of it yet.
        Booting = "booting",
        /// It says something.
        Running = "running",
        /// It ended well: its status is 0.
        Done = "done",
        /// It ended with another status, by a signal, or could not be started.
        Failed = "failed",
        /// It is over, and how it ended is not known.
        Exited = "exited",
        /// It was made to end: by a time limit, or by a signal to session-doctor.
        Stopped = "stopped",
    }
}
