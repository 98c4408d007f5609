//! How a server judges an upgrade: over WebSocket and over SPDY, for exec and attach and for port-forward.

use std::{borrow::Cow, fmt::Write};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};

use super::{
    Incoming,
    head::{ACCEPTED_VERSIONS, STREAM_VERSION, list, single},
    key,
    respond::{status_response, text_response},
};
use crate::{
    status::Status,
    subprotocol::{Subprotocol, Transport},
};

/// An upgrade that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Accepted {
    /// What it is upgraded to.
    pub transport: Transport,
    /// What was chosen.
    pub subprotocol: Subprotocol,
    /// The 101, to be written before anything else.
    pub head: Bytes,
    lines: Vec<Line>,
}

/// A header line of a 101.
type Line = (&'static str, Cow<'static, str>);

impl Accepted {
    fn new(transport: Transport, subprotocol: Subprotocol, lines: Vec<Line>) -> Self {
        let mut head = String::from("HTTP/1.1 101 Switching Protocols\r\n");
        for (name, value) in &lines {
            // Writing to a `String` cannot fail.
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        Self { transport, subprotocol, head: head.into(), lines }
    }

    /// The 101, for somebody else's HTTP server to write.
    pub fn response(&self) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        for (name, value) in &self.lines {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("one of the names in this file");
            let value = HeaderValue::from_str(value).expect("a name of a protocol, or base64");
            response.headers_mut().append(name, value);
        }
        response
    }
}

impl Incoming {
    /// Judges an exec or attach over WebSocket as the real server does, in its order, and chooses the subprotocol: v5 wherever it
    /// stands, else the first of the client's that is `supported` (UPG-6); without an offer
    /// [`Unnamed`](Subprotocol::Unnamed), if that is supported.
    ///
    /// Who asks is not judged here: authenticate first, so that a bad token is a 401 whatever else is wrong.
    ///
    /// # Errors
    ///
    /// The refusal to be written with [`respond`](super::respond):
    ///
    /// | status | body | for |
    /// |---|---|---|
    /// | 400 | Status `Upgrade request required` | no upgrade at all, or one to SPDY |
    /// | 405 | `bad method` | another method than GET (UPG-3) |
    /// | 400 | `mismatch challenge/response` | no key, or one that is not 16 bytes in base64 (UPG-5) |
    /// | 400 | `missing or bad WebSocket Version` | another version than 13 (UPG-4) |
    /// | 400 | `an upgrade request cannot have a body` | a body, whose bytes would be taken for frames |
    /// | 403 | empty | no subprotocol in common (UPG-8) |
    pub fn accept(&self, supported: &[Subprotocol]) -> Result<Accepted, Box<Response<Bytes>>> {
        boxed(self.judge_websocket(|| self.choose(supported)))
    }

    /// Judges an upgrade to SPDY, and chooses the first of the client's versions that is `supported` (UPG-22). v5 never is: it
    /// is for WebSocket messages, and no server was seen to choose it.
    ///
    /// For an exec or attach `supported` is [`spoken`](Subprotocol::spoken) or a part of it; a port-forward may as well be
    /// given to [`accept_port_forward`](Self::accept_port_forward). Authenticate first.
    ///
    /// # Errors
    ///
    /// The refusal to be written with [`respond`](super::respond):
    ///
    /// | status | body | for |
    /// |---|---|---|
    /// | 400 | Status `Upgrade request required` | no upgrade at all, or one to WebSocket |
    /// | 405 | `bad method` | another method than POST and GET (UPG-20) |
    /// | 400 | `an upgrade request cannot have a body` | a body, whose bytes would be taken for frames |
    /// | 400 | `unable to upgrade: X-Stream-Protocol-Version is required` | no version offered (UPG-22) |
    /// | 403 | a text, and the supported ones in `X-Accepted-Stream-Protocol-Versions` | no version in common (UPG-23) |
    pub fn accept_spdy(&self, supported: &[Subprotocol]) -> Result<Accepted, Box<Response<Bytes>>> {
        boxed(self.judge_spdy(supported))
    }

    /// Judges an exec or attach over whichever of the two is asked for, with what of `supported` is [spoken](Subprotocol::spoken) there.
    /// One that asks for neither is refused like one that asks for a WebSocket in a wrong way.
    ///
    /// # Errors
    ///
    /// Those of [`accept`](Self::accept) and [`accept_spdy`](Self::accept_spdy).
    pub fn accept_command(&self, supported: &[Subprotocol]) -> Result<Accepted, Box<Response<Bytes>>> {
        match self.transport() {
            Some(Transport::Spdy) => self.accept_spdy(supported),
            Some(Transport::WebSocket) | None => self.accept(supported),
        }
    }

    /// Judges a port-forward over whichever of the two is asked for, and chooses: `portforward.k8s.io` over SPDY; over WebSocket the tunnel
    /// wherever it stands, else the first of the channels' forms (UPG-24, UPG-25). All of it only if `supported`.
    ///
    /// `ports` are those of the request: of [`Action::PortForward`](crate::Action::PortForward), of a kubelet's `port`
    /// parameters, or of what a token stands for. Only channels need them. Authenticate first.
    ///
    /// # Errors
    ///
    /// Those of [`accept`](Self::accept) and [`accept_spdy`](Self::accept_spdy); and for channels, before all of them:
    ///
    /// | status | body | for |
    /// |---|---|---|
    /// | 400 | `query parameter "port" is required` | no port (PFW-2) |
    /// | 400 | `port "0" must be > 0` | port 0 (PFW-2) |
    /// | 400 | `more than 128 ports` (in base64 `40`) | more ports than there are pairs of channels (PFW-2) |
    pub fn accept_port_forward(
        &self,
        ports: &[u16],
        supported: &[Subprotocol],
    ) -> Result<Accepted, Box<Response<Bytes>>> {
        if self.transport() == Some(Transport::Spdy) {
            let spoken = supported.contains(&Subprotocol::PortForward).then_some(Subprotocol::PortForward);
            return self.accept_spdy(spoken.as_slice());
        }
        boxed(self.judge_forward(ports, supported))
    }

    #[allow(clippy::result_large_err)] // Boxed where it leaves.
    fn judge_forward(&self, ports: &[u16], supported: &[Subprotocol]) -> Result<Accepted, Response<Bytes>> {
        let tunnel = supported.contains(&Subprotocol::Tunnel)
            && self.offers().any(|offer| offer == Subprotocol::Tunnel.name());
        if tunnel {
            return self.judge_websocket(|| Some(Subprotocol::Tunnel));
        }
        let chosen = self.choose_forward(supported);
        // Where nothing is chosen the ports are judged all the same, and first.
        let most = chosen.unwrap_or(Subprotocol::Unnamed).most_ports().unwrap_or(0);
        let bad_ports: Option<Cow<'static, str>> = match ports {
            _ if self.transport().is_none() => None,
            [] => Some("query parameter \"port\" is required".into()),
            ports if ports.contains(&0) => Some("port \"0\" must be > 0".into()),
            ports if ports.len() > most => Some(format!("more than {most} ports").into()),
            _ => None,
        };
        match bad_ports {
            Some(text) => Err(text_response(StatusCode::BAD_REQUEST, text.into_owned())),
            None => self.judge_websocket(|| chosen),
        }
    }

    #[allow(clippy::result_large_err)] // Boxed where it leaves.
    fn judge_websocket(
        &self,
        choose: impl FnOnce() -> Option<Subprotocol>,
    ) -> Result<Accepted, Response<Bytes>> {
        self.check_upgrade(Transport::WebSocket, &[Method::GET], "GET")?;
        let headers = self.headers();
        let key = single(headers, header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
        let Some(key) = key.filter(|key| key::is_key(key)) else {
            return Err(text_response(StatusCode::BAD_REQUEST, "mismatch challenge/response"));
        };
        if single(headers, header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            let mut refusal = text_response(StatusCode::BAD_REQUEST, "missing or bad WebSocket Version");
            refusal.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            return Err(refusal);
        }
        check_no_body(headers)?;
        let subprotocol = choose().ok_or_else(|| text_response(StatusCode::FORBIDDEN, ""))?;
        Ok(Accepted::new(Transport::WebSocket, subprotocol, switching_to_websocket(key, subprotocol)))
    }

    #[allow(clippy::result_large_err)] // Boxed where it leaves.
    fn judge_spdy(&self, supported: &[Subprotocol]) -> Result<Accepted, Response<Bytes>> {
        self.check_upgrade(Transport::Spdy, &[Method::POST, Method::GET], "POST, GET")?;
        check_no_body(self.headers())?;
        let mut versions = self.versions().peekable();
        if versions.peek().is_none() {
            let text = "unable to upgrade: X-Stream-Protocol-Version is required\n";
            return Err(text_response(StatusCode::BAD_REQUEST, text));
        }
        let supported = spoken_over_spdy(supported);
        let Some(subprotocol) = versions.find_map(|name| Subprotocol::named(name, &supported)) else {
            return Err(self.nothing_in_common(&supported));
        };
        let lines = vec![
            ("Connection", "Upgrade".into()),
            ("Upgrade", "SPDY/3.1".into()),
            ("X-Stream-Protocol-Version", subprotocol.name().into()),
        ];
        Ok(Accepted::new(Transport::Spdy, subprotocol, lines))
    }

    /// What every upgrade must be, whatever it is to.
    #[allow(clippy::result_large_err)] // Boxed where it leaves.
    fn check_upgrade(
        &self,
        transport: Transport,
        methods: &[Method],
        allow: &'static str,
    ) -> Result<(), Response<Bytes>> {
        if self.transport() != Some(transport) {
            let status = Status::refusal(400, "BadRequest", "Upgrade request required");
            return Err(status_response(&status));
        }
        if !methods.contains(self.request().method()) {
            let mut refusal = text_response(StatusCode::METHOD_NOT_ALLOWED, "bad method");
            refusal.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
            return Err(refusal);
        }
        Ok(())
    }

    fn choose(&self, supported: &[Subprotocol]) -> Option<Subprotocol> {
        if self.offers_nothing() {
            return supported.contains(&Subprotocol::Unnamed).then_some(Subprotocol::Unnamed);
        }
        let is_supported =
            |name: &&str| Subprotocol::from_name(name).is_some_and(|offer| supported.contains(&offer));
        Subprotocol::choose(self.offers().filter(is_supported))
            .filter(|chosen| *chosen != Subprotocol::Unnamed)
    }

    /// The choice among the forms of channels (UPG-25).
    fn choose_forward(&self, supported: &[Subprotocol]) -> Option<Subprotocol> {
        use Subprotocol::{Unnamed, V4, V4Base64};
        let is_supported = |subprotocol: &Subprotocol| supported.contains(subprotocol);
        if self.offers_nothing() {
            return Some(Unnamed).filter(is_supported);
        }
        self.offers().filter_map(|name| Subprotocol::named(name, &[V4, V4Base64])).find(is_supported)
    }

    /// The refusal that tells what could have been offered (UPG-23). The text is that of the real server.
    fn nothing_in_common(&self, supported: &[Subprotocol]) -> Response<Bytes> {
        let mut text = String::from("unable to upgrade: unable to negotiate protocol: client supports ");
        push_list(&mut text, self.versions());
        text.push_str(", server accepts ");
        push_list(&mut text, supported.iter().map(|version| version.name()));
        text.push('\n');
        let mut refusal = text_response(StatusCode::FORBIDDEN, text);
        for version in supported {
            refusal.headers_mut().append(ACCEPTED_VERSIONS, HeaderValue::from_static(version.name()));
        }
        refusal
    }

    /// The versions offered for SPDY, in order, all header lines together.
    pub fn versions(&self) -> impl Iterator<Item = &str> {
        list(self.headers(), STREAM_VERSION)
    }
}

fn boxed<T>(judged: Result<T, Response<Bytes>>) -> Result<T, Box<Response<Bytes>>> {
    judged.map_err(Box::new)
}

/// Those of `supported` that a server may choose over SPDY.
fn spoken_over_spdy(supported: &[Subprotocol]) -> Vec<Subprotocol> {
    use Subprotocol::{PortForward, V1, V2, V3, V4};
    let spoken = [V4, V3, V2, V1, PortForward];
    supported.iter().copied().filter(|version| spoken.contains(version)).collect()
}

/// As Go prints a list of strings: `[a b]`.
fn push_list<'a>(text: &mut String, items: impl Iterator<Item = &'a str>) {
    text.push('[');
    for (index, item) in items.enumerate() {
        let separator = if index == 0 { "" } else { " " };
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{separator}{item}");
    }
    text.push(']');
}

#[allow(clippy::result_large_err)] // Boxed where it leaves.
fn check_no_body(headers: &HeaderMap) -> Result<(), Response<Bytes>> {
    let has_body = headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get_all(header::CONTENT_LENGTH).iter().any(|length| length != "0");
    match has_body {
        true => Err(text_response(StatusCode::BAD_REQUEST, "an upgrade request cannot have a body")),
        false => Ok(()),
    }
}

/// The 101. The real server answers "nothing offered" (UPG-9) with an empty `Sec-WebSocket-Protocol` line; we send none, because
/// RFC 6455 §11.3.4 has no empty value, and browsers fail a connection that answers what they did not ask.
fn switching_to_websocket(key: &[u8], subprotocol: Subprotocol) -> Vec<Line> {
    let mut lines = vec![
        ("Upgrade", "websocket".into()),
        ("Connection", "Upgrade".into()),
        ("Sec-WebSocket-Accept", key::accept(key).into()),
    ];
    if subprotocol != Subprotocol::Unnamed {
        lines.push(("Sec-WebSocket-Protocol", subprotocol.name().into()));
    }
    lines
}
