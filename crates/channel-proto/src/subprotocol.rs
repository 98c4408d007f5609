//! The WebSocket subprotocols of exec and attach: what each can do, how one is chosen, and the bearer token that may travel beside them.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// A channel subprotocol. What they differ in is in the getters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Subprotocol {
    /// None offered, none chosen: frames as [`V1`](Self::V1) (UPG-9).
    Unnamed,
    /// `channel.k8s.io`
    V1,
    /// `base64.channel.k8s.io`
    V1Base64,
    /// `v4.channel.k8s.io`
    V4,
    /// `v4.base64.channel.k8s.io`
    V4Base64,
    /// `v5.channel.k8s.io`: the first with an end of stdin.
    V5,
}

/// How a channel frame lies in a WebSocket message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encoding {
    /// A channel byte, then the payload, in a binary message.
    Binary,
    /// An ASCII digit for the channel, then the payload in padded standard base64, in a text message.
    Base64,
}

/// What channel 3 carries at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatusForm {
    /// Text when the command failed; nothing when it succeeded, so that success cannot be told from a lost connection.
    TextOnFailure,
    /// A `metav1.Status` in JSON, always.
    Json,
}

impl Subprotocol {
    /// Every subprotocol with a name, best first. The order in which a client of ours offers.
    pub const NAMED: [Self; 5] = [Self::V5, Self::V4, Self::V1, Self::V4Base64, Self::V1Base64];

    /// What [`Client`](crate::upgrade::ClientUpgrade) offers unless told otherwise: what a client wants that needs exit codes.
    pub const DEFAULT_OFFER: [Self; 2] = [Self::V5, Self::V4];

    /// The name on the wire; empty for [`Unnamed`](Self::Unnamed). Names are case-sensitive (UPG-7).
    pub fn name(self) -> &'static str {
        match self {
            Self::Unnamed => "",
            Self::V1 => "channel.k8s.io",
            Self::V1Base64 => "base64.channel.k8s.io",
            Self::V4 => "v4.channel.k8s.io",
            Self::V4Base64 => "v4.base64.channel.k8s.io",
            Self::V5 => "v5.channel.k8s.io",
        }
    }

    /// The subprotocol of that exact name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMED.into_iter().find(|subprotocol| subprotocol.name() == name)
    }

    /// How frames are encoded (FRM-1, FRM-3).
    pub fn encoding(self) -> Encoding {
        match self {
            Self::V1Base64 | Self::V4Base64 => Encoding::Base64,
            Self::Unnamed | Self::V1 | Self::V4 | Self::V5 => Encoding::Binary,
        }
    }

    /// What the status looks like (EXE-9, EXE-10).
    pub fn status_form(self) -> StatusForm {
        match self {
            Self::Unnamed | Self::V1 | Self::V1Base64 => StatusForm::TextOnFailure,
            Self::V4 | Self::V4Base64 | Self::V5 => StatusForm::Json,
        }
    }

    /// Whether stdin can be ended while the output goes on (FRM-9). Only v5 can.
    pub fn can_half_close(self) -> bool {
        self == Self::V5
    }

    /// Whether the exit code of the command arrives.
    pub fn has_exit_code(self) -> bool {
        self.status_form() == StatusForm::Json
    }

    /// The server's choice among a client's offers (UPG-6): v5 wherever it stands, else the first known one.
    /// No offer at all gives [`Unnamed`](Self::Unnamed); offers without a known one give `None`.
    pub fn choose<'a>(offers: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut none_offered = true;
        let mut first_known = None;
        for offer in offers.into_iter().filter(|offer| !offer.is_empty()) {
            none_offered = false;
            match Self::from_name(offer) {
                Some(Self::V5) => return Some(Self::V5),
                known => first_known = first_known.or(known),
            }
        }
        if none_offered { Some(Self::Unnamed) } else { first_known }
    }
}

impl fmt::Display for Subprotocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unnamed => f.write_str("(no subprotocol)"),
            named => f.write_str(named.name()),
        }
    }
}

/// A bearer token. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct BearerToken(String);

/// The prefix of the subprotocol that carries a bearer token (UPG-11).
const BEARER_PREFIX: &str = "base64url.bearer.authorization.k8s.io.";

impl BearerToken {
    /// A token as it stands in an `Authorization: Bearer` header.
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// The token itself, to compare or to send. Never log it.
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// The subprotocol that carries this token: for clients, such as browsers, that can set no `Authorization` header.
    pub fn to_subprotocol(&self) -> String {
        format!("{BEARER_PREFIX}{}", URL_SAFE_NO_PAD.encode(&self.0))
    }

    /// Whether `offer` claims to carry a token.
    pub(crate) fn is_subprotocol(offer: &str) -> bool {
        offer.starts_with(BEARER_PREFIX)
    }

    /// The token that `offer` carries, if it is unpadded base64url of UTF-8.
    pub(crate) fn from_subprotocol(offer: &str) -> Option<Self> {
        let token = URL_SAFE_NO_PAD.decode(offer.strip_prefix(BEARER_PREFIX)?).ok()?;
        String::from_utf8(token).ok().map(Self)
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(…)")
    }
}
