//! `metav1.Status`: what a server says on channel 3 at the end, and in the body of a refusal.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;

/// The parts of a `metav1.Status` that these protocols use. Unknown fields are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// Always `{}` from servers; kept so that the JSON looks like theirs.
    pub metadata: Metadata,
    /// `Success` or `Failure`.
    pub status: String,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// For programs: `NonZeroExitCode`, `InternalError`, `Forbidden`, `NotFound`, …
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The exit code is in here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
    /// The HTTP status code, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
}

/// `metav1.ListMeta`, of which nothing is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {}

/// `metav1.StatusDetails`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    /// The name of what was asked for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The kind of what was asked for: `pods`, …
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Why: for an exit code, one cause with the reason `ExitCode` and the code as its message.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub causes: Vec<Cause>,
}

/// `metav1.StatusCause`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cause {
    /// For programs: `ExitCode`, …
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// For people; for the reason `ExitCode`, the code in decimal.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl Status {
    /// `{"metadata":{},"status":"Success"}`
    pub fn success() -> Self {
        Self { status: "Success".into(), ..Self::default() }
    }

    /// The status of a command that ended with `code`, worded as kubelet words it (EXE-10).
    pub fn exited(code: i32) -> Self {
        if code == 0 {
            return Self::success();
        }
        let cause = Cause { reason: "ExitCode".into(), message: code.to_string() };
        Self {
            status: "Failure".into(),
            message: format!(
                "command terminated with non-zero exit code: command terminated with exit code {code}"
            ),
            reason: "NonZeroExitCode".into(),
            details: Some(Details { causes: vec![cause], ..Details::default() }),
            ..Self::default()
        }
    }

    /// The status of a command that could not be started: `InternalError`, code 500, the message also as its cause (EXE-11).
    pub fn internal_error(message: impl fmt::Display) -> Self {
        let cause = Cause { message: message.to_string(), ..Cause::default() };
        Self {
            status: "Failure".into(),
            message: format!("Internal error occurred: {message}"),
            reason: "InternalError".into(),
            details: Some(Details { causes: vec![cause], ..Details::default() }),
            code: Some(500),
            ..Self::default()
        }
    }

    /// The status of a refused upgrade: an HTTP status code (400, 401, 403, 404, …), a reason for programs
    /// (`BadRequest`, `Unauthorized`, `Forbidden`, `NotFound`, …) and a message for people.
    pub fn refusal(code: u16, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status: "Failure".into(),
            message: message.into(),
            reason: reason.into(),
            code: Some(code),
            ..Self::default()
        }
    }

    /// A failure with a text and nothing else: the status of v1 and base64, where channel 3 carries text.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self { status: "Failure".into(), message: text.into(), ..Self::default() }
    }

    /// Whether it says success.
    pub fn is_success(&self) -> bool {
        self.status == "Success"
    }

    /// The outcome that this status states: an exit code where it has one (EXE-10), else a failure.
    /// A "success" is exit code 0; a `NonZeroExitCode` without a code that can be read is a failure, not a guess.
    pub fn into_outcome(self) -> Outcome {
        if self.is_success() {
            return Outcome::Exited(0);
        }
        let code = (self.reason == "NonZeroExitCode")
            .then(|| self.details.iter().flat_map(|details| &details.causes))
            .and_then(|mut causes| causes.find(|cause| cause.reason == "ExitCode"))
            .and_then(|cause| cause.message.parse::<i32>().ok())
            .filter(|code| *code != 0);
        match code {
            Some(code) => Outcome::Exited(code),
            None => Outcome::Failed(Box::new(self)),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.message.is_empty(), self.reason.is_empty()) {
            (false, _) => f.write_str(&self.message),
            (true, false) => f.write_str(&self.reason),
            (true, true) => write!(f, "status {:?} without a message", self.status),
        }
    }
}
