//! The status on channel 3, collected until it is whole.

use bytes::Bytes;

use crate::{
    error::{ChannelViolation, ErrorKind},
    outcome::Outcome,
    status::Status,
    subprotocol::{StatusForm, Subprotocol},
};

/// Collects what comes on channel 3.
pub(super) struct StatusReader {
    form: StatusForm,
    limit: usize,
    text: Vec<u8>,
    outcome: Option<Outcome>,
}

impl StatusReader {
    pub(super) fn new(subprotocol: Subprotocol, limit: usize) -> Self {
        Self { form: subprotocol.status_form(), limit, text: Vec::new(), outcome: None }
    }

    /// The outcome that the status states, if it came whole.
    pub(super) fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// Takes a piece, the last of its message if `end`, and tells whether there is a status now.
    pub(super) fn push(&mut self, piece: &Bytes, end: bool) -> Result<bool, ErrorKind> {
        if self.form == StatusForm::Json && self.outcome.is_some() && !piece.is_empty() {
            return Err(ChannelViolation::StatusTwice.into());
        }
        if self.text.len() + piece.len() > self.limit {
            return Err(ErrorKind::Limit { what: "bytes of the status", limit: self.limit as u64 });
        }
        self.text.extend_from_slice(piece);
        if !end {
            return Ok(false);
        }
        self.outcome = match self.form {
            StatusForm::TextOnFailure => {
                let status = Status::from_text(String::from_utf8_lossy(&self.text));
                Some(Outcome::Failed(Box::new(status)))
            }
            StatusForm::Json => match serde_json::from_slice::<Status>(&self.text) {
                Ok(status) => Some(status.into_outcome()),
                // More of it may come in another message.
                Err(error) if error.is_eof() => None,
                Err(_) => return Err(ChannelViolation::StatusNotJson.into()),
            },
        };
        if self.form == StatusForm::Json && self.outcome.is_some() {
            self.text = Vec::new();
        }
        Ok(self.outcome.is_some())
    }
}
