//! The subprotocols, over WebSocket and over SPDY: what each can do, where it is spoken, how one is chosen, and the bearer token
//! that may travel beside them.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// A subprotocol. What they differ in is in the getters; which of them can be spoken where, best first:
///
/// | | [`WebSocket`](Transport::WebSocket) | [`Spdy`](Transport::Spdy) |
/// |---|---|---|
/// | [`RemoteCommand`](Service::RemoteCommand) | `V5` `V4` `V1` `V4Base64` `V1Base64` `Unnamed` | `V5` (offered, never chosen) `V4` `V3` `V2` `V1` |
/// | [`PortForward`](Service::PortForward) | `Tunnel` `V4` `V4Base64` `Unnamed` | `PortForward` |
///
/// An upgrade neither offers, nor accepts, nor chooses anything else (UPG-26).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Subprotocol {
    /// None offered, none chosen: frames as [`V1`](Self::V1) (UPG-9).
    Unnamed,
    /// `channel.k8s.io`
    V1,
    /// `base64.channel.k8s.io`
    V1Base64,
    /// `v2.channel.k8s.io`: as [`V1`](Self::V1). Over SPDY only.
    V2,
    /// `v3.channel.k8s.io`: the first with sizes of the terminal over SPDY, where alone it is spoken.
    V3,
    /// `v4.channel.k8s.io`
    V4,
    /// `v4.base64.channel.k8s.io`
    V4Base64,
    /// `v5.channel.k8s.io`: the first with an end of stdin in WebSocket messages.
    V5,
    /// `portforward.k8s.io`: the streams of a port-forward. Over SPDY only.
    PortForward,
    /// `SPDY/3.1+portforward.k8s.io`: a port-forward's SPDY connection inside WebSocket messages.
    Tunnel,
}

/// What an HTTP connection is upgraded to. Exhaustive: a third one would be another protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// `websocket`: channels, or a tunnel, in messages.
    WebSocket,
    /// `SPDY/3.1`: a stream for each channel.
    Spdy,
}

/// What is asked of a pod. Exhaustive, as [`Transport`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// exec or attach.
    RemoteCommand,
    /// port-forward.
    PortForward,
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
    /// Every named subprotocol of exec and attach over WebSocket, best first. The order in which a client of ours offers.
    pub const NAMED: [Self; 5] = [Self::V5, Self::V4, Self::V1, Self::V4Base64, Self::V1Base64];

    /// What [`Client`](crate::upgrade::ClientUpgrade) offers unless told otherwise: what a client wants that needs exit codes.
    pub const DEFAULT_OFFER: [Self; 2] = [Self::V5, Self::V4];

    /// What can be spoken, best first: all that a client may offer, and a server name as supported.
    pub const fn spoken(service: Service, transport: Transport) -> &'static [Self] {
        use Subprotocol::{PortForward, Tunnel, Unnamed, V1, V1Base64, V2, V3, V4, V4Base64, V5};
        match (service, transport) {
            (Service::RemoteCommand, Transport::WebSocket) => &[V5, V4, V1, V4Base64, V1Base64, Unnamed],
            (Service::RemoteCommand, Transport::Spdy) => &[V5, V4, V3, V2, V1],
            (Service::PortForward, Transport::WebSocket) => &[Tunnel, V4, V4Base64, Unnamed],
            (Service::PortForward, Transport::Spdy) => &[PortForward],
        }
    }

    /// What a client offers unless told otherwise: over SPDY what kubectl does, over WebSocket
    /// [`DEFAULT_OFFER`](Self::DEFAULT_OFFER) or the tunnel.
    pub const fn default_offer(service: Service, transport: Transport) -> &'static [Self] {
        match (service, transport) {
            (Service::RemoteCommand, Transport::WebSocket) => &Self::DEFAULT_OFFER,
            (Service::PortForward, Transport::WebSocket) => &[Self::Tunnel],
            (_, Transport::Spdy) => Self::spoken(service, transport),
        }
    }

    /// The name on the wire; empty for [`Unnamed`](Self::Unnamed). Names are case-sensitive (UPG-7).
    pub fn name(self) -> &'static str {
        match self {
            Self::Unnamed => "",
            Self::V1 => "channel.k8s.io",
            Self::V1Base64 => "base64.channel.k8s.io",
            Self::V2 => "v2.channel.k8s.io",
            Self::V3 => "v3.channel.k8s.io",
            Self::V4 => "v4.channel.k8s.io",
            Self::V4Base64 => "v4.base64.channel.k8s.io",
            Self::V5 => "v5.channel.k8s.io",
            Self::PortForward => "portforward.k8s.io",
            Self::Tunnel => "SPDY/3.1+portforward.k8s.io",
        }
    }

    /// The one of `these` with that exact name.
    pub(crate) fn named(name: &str, these: &[Self]) -> Option<Self> {
        these.iter().copied().find(|subprotocol| !name.is_empty() && subprotocol.name() == name)
    }

    /// The subprotocol of exec and attach over WebSocket of that exact name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::named(name, &Self::NAMED)
    }

    /// How frames are encoded in WebSocket messages (FRM-1, FRM-3).
    pub fn encoding(self) -> Encoding {
        match self {
            Self::V1Base64 | Self::V4Base64 => Encoding::Base64,
            Self::Unnamed | Self::V1 | Self::V2 | Self::V3 | Self::V4 | Self::V5 => Encoding::Binary,
            Self::PortForward | Self::Tunnel => Encoding::Binary,
        }
    }

    /// How many ports a port-forward in channels can have: two channels each, and a channel is one byte. In base64 it is a character, of
    /// which ASCII has 80 from `0` on. `None` where there are no such channels (PFW-2).
    pub(crate) fn most_ports(self) -> Option<usize> {
        match self {
            Self::Unnamed | Self::V4 => Some(128),
            Self::V4Base64 => Some(40),
            Self::V1 | Self::V1Base64 | Self::V2 | Self::V3 | Self::V5 => None,
            Self::PortForward | Self::Tunnel => None,
        }
    }

    /// What the status of an exec or attach looks like (EXE-9, EXE-10). A port-forward has none; the errors of its ports
    /// are text.
    pub fn status_form(self) -> StatusForm {
        match self {
            Self::Unnamed | Self::V1 | Self::V1Base64 | Self::V2 | Self::V3 => StatusForm::TextOnFailure,
            Self::PortForward | Self::Tunnel => StatusForm::TextOnFailure,
            Self::V4 | Self::V4Base64 | Self::V5 => StatusForm::Json,
        }
    }

    /// Whether stdin can be ended in WebSocket messages while the output goes on (FRM-9). Only v5 can.
    /// [`can_half_close_over`](Self::can_half_close_over) answers it for SPDY too.
    pub fn can_half_close(self) -> bool {
        self == Self::V5
    }

    /// Whether one direction can be ended while the other goes on. It is a matter of the column: SPDY streams always
    /// can, those inside a tunnel too; in WebSocket messages only v5 can.
    pub fn can_half_close_over(self, transport: Transport) -> bool {
        transport == Transport::Spdy || matches!(self, Self::V5 | Self::Tunnel)
    }

    /// Whether sizes of a terminal can be sent: over WebSocket always, over SPDY from v3 on.
    pub fn can_resize_over(self, transport: Transport) -> bool {
        match transport {
            Transport::WebSocket => !matches!(self, Self::PortForward | Self::Tunnel),
            Transport::Spdy => matches!(self, Self::V3 | Self::V4 | Self::V5),
        }
    }

    /// Whether the exit code of an exec's command arrives.
    pub fn has_exit_code(self) -> bool {
        self.status_form() == StatusForm::Json
    }

    /// A server's choice among a client's offers for exec and attach over WebSocket (UPG-6): v5 wherever it stands, else the first known one.
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

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WebSocket => "WebSocket",
            Self::Spdy => "SPDY/3.1",
        })
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
