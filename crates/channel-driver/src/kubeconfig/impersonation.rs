//! Acting as somebody else, where the server allows it.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::Error;

/// Whom to act as: `--as` and what belongs to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Impersonation {
    /// The name of the user. Without it nobody is impersonated, and there may be nothing else here.
    pub user: Option<String>,
    /// The groups.
    pub groups: Vec<String>,
    /// The user's UID.
    pub uid: Option<String>,
    /// What else is to be known of the user: the values of each key.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// What of a key needs no `%` in the name of a header (RFC 9110 §5.6.2, without `%` itself).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'*')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

impl Impersonation {
    /// Nobody.
    pub fn none() -> Self {
        Self::default()
    }

    /// Where something is set here it counts, otherwise what is set there.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            user: self.user.or(other.user),
            groups: if self.groups.is_empty() { other.groups } else { self.groups },
            uid: self.uid.or(other.uid),
            extra: if self.extra.is_empty() { other.extra } else { self.extra },
        }
    }

    /// As header lines.
    ///
    /// # Errors
    /// A group, UID or key for no user, or what cannot stand in a header.
    pub(super) fn headers(&self) -> Result<HeaderMap, Error> {
        let Self { user, groups, uid, extra } = self;
        let mut headers = HeaderMap::new();
        if user.is_none() && (!groups.is_empty() || uid.is_some() || !extra.is_empty()) {
            return Err(Error::Usage(
                "groups, a UID or more are to be impersonated, but no user to whom they belong".to_owned(),
            ));
        }
        let of_user = [("impersonate-user", user), ("impersonate-uid", uid)];
        for (name, value) in of_user.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
            headers.append(HeaderName::from_static(name), sendable(value)?);
        }
        for group in groups {
            headers.append(HeaderName::from_static("impersonate-group"), sendable(group)?);
        }
        for (key, values) in extra {
            let name = format!("impersonate-extra-{}", utf8_percent_encode(key, ENCODED)).to_lowercase();
            let name = HeaderName::try_from(name).map_err(|_| unsendable(key))?;
            for value in values {
                headers.append(name.clone(), sendable(value)?);
            }
        }
        Ok(headers)
    }
}

fn sendable(value: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(value).map_err(|_| unsendable(value))
}

fn unsendable(what: &str) -> Error {
    Error::Usage(format!("{what:?}, which is to be impersonated, cannot be sent"))
}
