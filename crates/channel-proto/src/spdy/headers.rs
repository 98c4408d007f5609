//! What a stream is opened with: names and values.

use std::fmt;

use crate::error::SpdyViolation;

/// The headers of a stream, in their order. Names are in lower case and there once; several values of a name are joined by NUL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    fields: Vec<(String, String)>,
    len: usize,
}

/// Bytes of names and values that go into one block: a frame has to be below 16 MiB.
const MOST: usize = 1 << 20;

impl Headers {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a header.
    ///
    /// # Errors
    /// The name is empty, not in lower case, or there already; or it is too much for one frame (1 MiB in all).
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<String>) -> Result<(), HeaderError> {
        let (name, value) = (name.into(), value.into());
        if name.is_empty() {
            return Err(HeaderError::Empty);
        }
        if name.chars().any(|char| !char.to_lowercase().eq([char])) {
            return Err(HeaderError::NotLowerCase);
        }
        if self.get(&name).is_some() {
            return Err(HeaderError::Duplicate);
        }
        let len = self.len + name.len() + value.len() + 8;
        if len > MOST {
            return Err(HeaderError::TooLong);
        }
        self.len = len;
        self.fields.push((name, value));
        Ok(())
    }

    /// The value of this name; several are joined by NUL.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find_map(|(known, value)| (known == name).then_some(value))
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

impl<const N: usize> TryFrom<[(&str, &str); N]> for Headers {
    type Error = HeaderError;

    fn try_from(fields: [(&str, &str); N]) -> Result<Self, HeaderError> {
        let mut headers = Self::new();
        for (name, value) in fields {
            headers.insert(name, value)?;
        }
        Ok(headers)
    }
}

/// Why a header was not appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderError {
    /// Its name is empty.
    Empty,
    /// Its name is not in lower case.
    NotLowerCase,
    /// Its name is there already.
    Duplicate,
    /// It is too much for one frame.
    TooLong,
}

impl HeaderError {
    /// What a peer does that sends it.
    pub(super) fn violation(self) -> SpdyViolation {
        match self {
            Self::Empty => SpdyViolation::HeaderName,
            Self::NotLowerCase => SpdyViolation::HeaderCase,
            Self::Duplicate => SpdyViolation::HeaderTwice,
            Self::TooLong => SpdyViolation::HeaderBlock,
        }
    }
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "a header needs a name",
            Self::NotLowerCase => "the name of a header has to be in lower case",
            Self::Duplicate => "there is a header of this name already",
            Self::TooLong => "the headers do not fit into one frame",
        })
    }
}

impl std::error::Error for HeaderError {}
