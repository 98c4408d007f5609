//! The status on channel 3, collected until it is whole.

use bytes::Bytes;

use crate::{
    error::{ChannelViolation, ErrorKind},
    outcome::Outcome,
    status::Status,
    subprotocol::{StatusForm, Subprotocol},
};

/// In how many messages a status in JSON may come. The real servers send one.
const MESSAGES: u8 = 16;

/// Collects what comes on channel 3.
pub(super) struct StatusReader {
    form: StatusForm,
    limit: usize,
    text: Vec<u8>,
    /// How much of `text` came in whole messages.
    whole: usize,
    messages: u8,
    /// What the JSON says.
    outcome: Option<Outcome>,
}

impl StatusReader {
    pub(super) fn new(subprotocol: Subprotocol, limit: usize) -> Self {
        Self {
            form: subprotocol.status_form(),
            limit,
            text: Vec::new(),
            whole: 0,
            messages: 0,
            outcome: None,
        }
    }

    /// The outcome that the status states, if it came whole.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        match (self.form, &self.text[..self.whole]) {
            (StatusForm::Json, _) => self.outcome.clone(),
            // A message without payload is no status (FRM-16).
            (StatusForm::TextOnFailure, []) => None,
            (StatusForm::TextOnFailure, text) => {
                Some(Outcome::Failed(Box::new(Status::from_text(String::from_utf8_lossy(text)))))
            }
        }
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
        self.whole = self.text.len();
        match self.form {
            StatusForm::TextOnFailure => Ok(self.whole > 0),
            StatusForm::Json => self.parse().map_err(Into::into),
        }
    }

    fn parse(&mut self) -> Result<bool, ChannelViolation> {
        match self.text.trim_ascii_start().first() {
            Some(b'{') => {}
            // Serde would take an array for a status, too.
            Some(_) => return Err(ChannelViolation::StatusNotJson),
            None => return Ok(self.outcome.is_some()),
        }
        match serde_json::from_slice::<Status>(&self.text) {
            Ok(status) => self.outcome = Some(status.into_outcome()),
            // More of it may come in another message. Not in many: each is read from the start again.
            Err(error) if error.is_eof() && self.messages < MESSAGES => {
                self.messages += 1;
                return Ok(false);
            }
            Err(_) => return Err(ChannelViolation::StatusNotJson),
        }
        (self.text, self.whole) = (Vec::new(), 0);
        Ok(true)
    }
}
