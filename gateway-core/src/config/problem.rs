//! A problem in a configuration: what is wrong, where, and what to write instead.

/// One thing that is wrong, or is hardly what was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The kind of problem, stable and in kebab-case: `unknown-field`.
    pub code: &'static str,
    /// Whether it stops the compilation.
    pub severity: Severity,
    /// Where it is.
    pub at: Span,
    /// The same place as a path in the tree: `routes[3].policies[0].headers`. Empty for the whole file.
    pub path: String,
    /// What is wrong, as a sentence without a full stop.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
    /// Other places that the reader needs to see, each with what it is.
    pub related: Vec<(Span, String)>,
}

impl Problem {
    pub(super) fn error(code: &'static str, at: Span, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            at,
            path: String::new(),
            message: message.into(),
            help: None,
            related: Vec::new(),
        }
    }

    pub(super) fn warning(code: &'static str, at: Span, message: impl Into<String>) -> Self {
        debug_assert!(WARNINGS.iter().any(|warning| warning.code == code), "{code} is not in the list of warnings");
        Self { severity: Severity::Warning, ..Self::error(code, at, message) }
    }

    /// Whether it stops the compilation.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    pub(super) fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }

    pub(super) fn related(mut self, at: Span, what: impl Into<String>) -> Self {
        self.related.push((at, what.into()));
        self
    }
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing can run until it is mended.
    Error,
    /// It runs, but is hardly what was meant; can be allowed by its code.
    Warning,
}

/// A part of a file, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The file, as numbered by [`Sources`](super::Sources).
    pub file: usize,
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl Span {
    /// A part of this span, counted from its start.
    pub(super) fn part(self, start: usize, end: usize) -> Self {
        let start = (self.start + start).min(self.end);
        Self { file: self.file, start, end: (self.start + end).clamp(start, self.end) }
    }

    pub(super) fn first_byte(self) -> Self {
        Self { end: self.end.min(self.start + 1), ..self }
    }
}

/// A kind of warning, for `allow` and for the documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warning {
    /// The code to allow it by.
    pub code: &'static str,
    /// What it warns of.
    pub about: &'static str,
}

/// Every warning that can be allowed.
pub const WARNINGS: &[Warning] = &[
    Warning {
        code: "unreachable-route",
        about: "a route that can never match, because a better-ranked one always does",
    },
    Warning {
        code: "tied-routes",
        about: "two routes that could match one request, and only their order in the file decides",
    },
    Warning { code: "unused-upstream", about: "an upstream that no route forwards to" },
    Warning { code: "unnormalised-path", about: "a path in a form that no request has after normalisation" },
    Warning { code: "cidr-host-bits", about: "a range of addresses with bits set that the range ignores" },
    Warning { code: "short-total", about: "a timeout for one attempt that is longer than the one for all" },
    Warning {
        code: "literal-secret",
        about: "what looks like a key or a password; an error unless it is allowed, or marked as `${test:…}`",
    },
    Warning { code: "no-routes", about: "a configuration without any route" },
    Warning { code: "host-override", about: "a `Host` for the upstream that the platform cannot send" },
    Warning {
        code: "location-unavailable",
        about: "a condition on the client's location where the platform does not know it",
    },
    Warning { code: "target-unavailable", about: "a target that can be reached on one platform only" },
    Warning {
        code: "authorize-without-authenticate",
        about: "rules on who calls, without anything before them that says who that is",
    },
    Warning {
        code: "key-without-authenticate",
        about: "a limit by caller, without anything before it that says who that is",
    },
    Warning {
        code: "keys-without-authenticate",
        about: "idempotency keys by caller, without anything before them that says who that is",
    },
    Warning {
        code: "limit-not-atomic",
        about: "a limit that the platform's store cannot count in one step, and by how much it can be missed",
    },
    Warning { code: "audience-unchecked", about: "an issuer whose tokens are taken whomever they were made for" },
    Warning { code: "clear-text", about: "keys or answers on tokens that are asked for without TLS" },
    Warning { code: "open-endpoint", about: "metrics or the state of upstreams that everybody may see" },
    Warning { code: "binding-unavailable", about: "a queue or a dataset where the platform has none" },
    Warning { code: "one-target", about: "rules on several targets for an upstream that has one" },
    Warning { code: "priority-gap", about: "a number between the priorities of targets that no target has" },
    Warning {
        code: "missing-key",
        about: "an upstream whose target is picked by something that no request of a route has",
    },
    Warning { code: "check-too-slow", about: "checks of targets that take longer than the time between them" },
    Warning { code: "check-unavailable", about: "a check of targets that the platform cannot make" },
    Warning { code: "hedge-never", about: "a second attempt beside the first that is never made" },
    Warning {
        code: "certificate-unavailable",
        about: "a use of clients' certificates where the platform does not report them",
    },
    Warning {
        code: "ignored-keyword",
        about: "a keyword in a JSON Schema that is a slip, or belongs to another draft",
    },
    Warning { code: "unknown-format-name", about: "a `format` that is to be checked and that nobody knows" },
    Warning {
        code: "unchecked-content",
        about: "a part of a message that an OpenAPI document describes and nothing checks",
    },
    Warning {
        code: "unauthenticated-operation",
        about: "an OpenAPI document that wants to know who calls, on a route that asks nobody",
    },
    Warning {
        code: "replays-forgotten",
        about: "a signature that is to be taken once, where the platform's instances soon forget it",
    },
    Warning { code: "unreachable-binding", about: "a way to a gRPC method that no request of its route can take" },
    Warning { code: "raw-stream", about: "a stream of bodies of any type, which JSON clients get as JSON" },
    Warning { code: "client-unavailable", about: "clients of a protocol that the platform cannot answer" },
    Warning { code: "dialect-unavailable", about: "a dialect of gRPC that the platform cannot speak to the upstream" },
    Warning { code: "many-calls", about: "a composition of more calls than some platforms make for one request" },
    Warning { code: "many-connections", about: "more calls at once than a platform has connections for" },
    Warning { code: "unused-step", about: "a step of a composition that nobody looks at" },
    Warning { code: "tool-left-out", about: "an operation that cannot be a tool, for what it needs" },
    Warning { code: "unrouted-tool", about: "a tool that no route answers" },
    Warning {
        code: "unauthenticated-tools",
        about: "tools that say where tokens are to be had, on a route where nobody asks for one",
    },
    Warning { code: "websocket-unavailable", about: "a route that asks for WebSockets where the platform has none" },
];
