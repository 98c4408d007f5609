//! What to run or attach to, in which pod: the path and query of the API, written by a client and read by a server.

use std::{borrow::Cow, fmt};

use http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::subprotocol::Service;

/// One exec, attach or port-forward (REQ-1, ATT-1, PFW-1).
///
/// [`path_and_query`](Self::path_and_query) and [`parse`](Self::parse) are each other's inverse, except that stderr
/// asked for beside a terminal is dropped by both, that an exec or attach without any stream is refused by `parse`, and that
/// a port-forward has neither container nor streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodRequest {
    /// The namespace of the pod.
    pub namespace: String,
    /// The name of the pod.
    pub pod: String,
    /// The container; `None` lets the server choose, which it can when there is but one.
    pub container: Option<String>,
    /// Run a command, attach to what runs, or forward ports.
    pub action: Action,
    /// The streams wanted.
    pub streams: Streams,
}

/// What to do in the container.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Run this command: the program, then its arguments. Empty is accepted here; a server then answers with an
    /// `InternalError` on channel 3, not with a refusal (EXE-11).
    Exec {
        /// The program and its arguments (REQ-2); no shell is between.
        command: Vec<String>,
    },
    /// Attach to the container's own process.
    Attach,
    /// Connect to ports of the pod.
    PortForward {
        /// The ports, of which WebSocket channels need at least one; port *i* gets the channels 2*i* and 2*i* + 1, and one that
        /// comes twice gets two pairs (PFW-2). The tunnel and SPDY name the port of each connection later and need none.
        ///
        /// A server may find a 0 here: whether that matters depends on the subprotocol, and
        /// [`accept_port_forward`](crate::upgrade::Incoming::accept_port_forward) knows.
        ports: Vec<u16>,
    },
}

impl Action {
    /// Which service this is a request to.
    pub fn service(&self) -> Service {
        match self {
            Self::Exec { .. } | Self::Attach => Service::RemoteCommand,
            Self::PortForward { .. } => Service::PortForward,
        }
    }
}

/// The streams of a session. The default is none of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Streams {
    /// Channel 0, client to server.
    pub stdin: bool,
    /// Channel 1, server to client.
    pub stdout: bool,
    /// Channel 2, server to client. Not served on a terminal, see [`Streams::served`].
    pub stderr: bool,
    /// Run on a terminal, and take sizes on channel 4.
    pub tty: bool,
}

impl PodRequest {
    /// `/api/v1/namespaces/{ns}/pods/{pod}/exec?command=..&container=..&stdin=true&stdout=true&stderr=true&tty=true`, or
    /// `/api/v1/namespaces/{ns}/pods/{pod}/portforward?ports=..&ports=..`.
    ///
    /// Only what is true is sent, and of the streams only those that are [served](Streams::served) (REQ-3). The result is ASCII
    /// whatever the fields hold.
    pub fn path_and_query(&self) -> String {
        let mut target = String::from("/api/v1/namespaces/");
        target.extend(utf8_percent_encode(&self.namespace, ENCODED));
        target.push_str("/pods/");
        target.extend(utf8_percent_encode(&self.pod, ENCODED));

        let mut query = Query { target, separator: '?' };
        match &self.action {
            Action::Exec { command } => {
                query.target.push_str("/exec");
                command.iter().for_each(|argument| query.push("command", argument));
            }
            Action::Attach => query.target.push_str("/attach"),
            Action::PortForward { ports } => {
                query.target.push_str("/portforward");
                ports.iter().for_each(|port| query.push("ports", &port.to_string()));
                return query.target;
            }
        }
        if let Some(container) = &self.container {
            query.push("container", container);
        }
        let streams = self.streams.served();
        let flags = [
            ("stdin", streams.stdin),
            ("stdout", streams.stdout),
            ("stderr", streams.stderr),
            ("tty", streams.tty),
        ];
        flags.into_iter().filter(|(_, on)| *on).for_each(|(name, _)| query.push(name, "true"));
        query.target
    }

    /// The request that a URI stands for: `None` when its path is not that of an exec, an attach or a port-forward.
    ///
    /// Anything may stand before `/api/v1/` (gateways mount clusters below a prefix). Parameters that are not known are
    /// ignored, and of one that should come once the first counts, as in kube-apiserver.
    ///
    /// # Errors
    ///
    /// [`RequestError`], to be answered with 400 and its text.
    pub fn parse(uri: &Uri) -> Result<Option<Self>, RequestError> {
        let mut segments = uri.path().rsplit('/');
        let mut segment = || segments.next().unwrap_or_default();
        let (action, pod, pods, namespace, namespaces, v1, api) =
            (segment(), segment(), segment(), segment(), segment(), segment(), segment());
        if [pods, namespaces, v1, api] != ["pods", "namespaces", "v1", "api"]
            || pod.is_empty()
            || namespace.is_empty()
        {
            return Ok(None);
        }
        let action = match action {
            "exec" => Action::Exec { command: Vec::new() },
            "attach" => Action::Attach,
            "portforward" => Action::PortForward { ports: Vec::new() },
            _ => return Ok(None),
        };
        let mut request = Self {
            namespace: decode(namespace)?,
            pod: decode(pod)?,
            container: None,
            action,
            streams: Streams::default(),
        };
        request.read_query(uri.query().unwrap_or_default())?;
        Ok(Some(request))
    }

    fn read_query(&mut self, query: &str) -> Result<(), RequestError> {
        let (mut container, mut stdin, mut stdout, mut stderr, mut tty) = (None, None, None, None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let first = match (&*decode_form(name)?, &mut self.action) {
                ("command", Action::Exec { command }) => {
                    command.push(decode_form(value)?);
                    continue;
                }
                ("ports", Action::PortForward { ports }) => {
                    read_ports(&decode_form(value)?, ports)?;
                    continue;
                }
                (_, Action::PortForward { .. }) => continue,
                ("container", _) => &mut container,
                ("stdin", _) => &mut stdin,
                ("stdout", _) => &mut stdout,
                ("stderr", _) => &mut stderr,
                ("tty", _) => &mut tty,
                _ => continue,
            };
            if first.is_none() {
                *first = Some(decode_form(value)?);
            }
        }
        if self.action.service() == Service::PortForward {
            return Ok(());
        }
        self.container = container.filter(|name| !name.is_empty());
        self.streams = Streams {
            stdin: is_true(stdin),
            stdout: is_true(stdout),
            stderr: is_true(stderr),
            tty: is_true(tty),
        }
        .served();
        if self.streams.any() { Ok(()) } else { Err(RequestError::NoStreams) }
    }
}

impl Streams {
    /// What a server serves when it is asked for these: on a terminal there is no stderr of its own (REQ-5). A server
    /// drops it; a client that sends it anyway was seen to lose output (`exec-v4-tty-and-stderr`).
    #[must_use]
    pub fn served(self) -> Self {
        Self { stderr: self.stderr && !self.tty, ..self }
    }

    /// Whether stdin, stdout or stderr is served. A request without any is refused (UPG-13).
    pub fn any(self) -> bool {
        let served = self.served();
        served.stdin || served.stdout || served.stderr
    }

    /// The channel of the server's first, empty message: the lowest output served, or else the status channel
    /// (FRM-8).
    pub fn first_message_channel(self) -> u8 {
        let served = self.served();
        match (served.stdout, served.stderr) {
            (true, _) => 1,
            (false, true) => 2,
            (false, false) => 3,
        }
    }
}

/// Why a request is refused. Its text is the body of the 400 answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// Neither stdin, stdout nor stderr is asked for (UPG-13).
    NoStreams,
    /// A part of the path or the query is not percent-encoded UTF-8. Go's servers drop such a parameter; a command that
    /// lost an argument on its way is worse than none.
    Encoding,
    /// `ports` is not a list of numbers up to 65535, separated by commas (PFW-3); a 0 passes. The subprotocol does not matter.
    Ports,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoStreams => "you must specify at least 1 of stdin, stdout, stderr",
            Self::Encoding => "the path or the query is not percent-encoded UTF-8",
            Self::Ports => "query parameter \"ports\" is not a list of port numbers",
        })
    }
}

impl std::error::Error for RequestError {}

/// All but the unreserved characters of RFC 3986, so that one set serves path segments and query values, and a `+`
/// never stands for a space by accident.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

struct Query {
    target: String,
    separator: char,
}

impl Query {
    fn push(&mut self, name: &str, value: &str) {
        self.target.push(self.separator);
        self.target.push_str(name);
        self.target.push('=');
        self.target.extend(utf8_percent_encode(value, ENCODED));
        self.separator = '&';
    }
}

/// A boolean as the API server converts it (REQ-4, `Convert_Slice_string_To_bool`): `0` and `false` in any case are false, and
/// so is absence; anything else is true, the empty value included (`exec-v5-stdout-1`, `exec-v5-stdout-bad`).
fn is_true(value: Option<String>) -> bool {
    value.is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
}

/// A comma-separated list of ports, as `strconv.ParseUint` takes each: digits only, but zeros in front of them as one likes.
fn read_ports(list: &str, ports: &mut Vec<u16>) -> Result<(), RequestError> {
    for item in list.split(',') {
        // `parse` alone would take a sign.
        let port = item.parse().ok().filter(|_| item.bytes().all(|byte| byte.is_ascii_digit()));
        ports.push(port.ok_or(RequestError::Ports)?);
    }
    Ok(())
}

/// A value of `application/x-www-form-urlencoded`: percent-encoded, with `+` for a space.
fn decode_form(raw: &str) -> Result<String, RequestError> {
    if raw.contains('+') { decode(&raw.replace('+', " ")) } else { decode(raw) }
}

fn decode(raw: &str) -> Result<String, RequestError> {
    // `percent_decode_str` passes a stray `%` through.
    let mut after_percent = raw.split('%').skip(1);
    let is_hex = |digits: &[u8]| digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit);
    if !after_percent.all(|rest| rest.as_bytes().get(..2).is_some_and(is_hex)) {
        return Err(RequestError::Encoding);
    }
    percent_decode_str(raw).decode_utf8().map(Cow::into_owned).map_err(|_| RequestError::Encoding)
}
