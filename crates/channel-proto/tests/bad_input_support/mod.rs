//! A session of either end, fed with good data, something odd, and good data again.

#![allow(dead_code)] // Not every test file uses all of it.

use std::time::Instant;

use bytes::{Buf, BytesMut};
use channel_proto::{
    ClientEvent, ClientSession, Error, ErrorKind, Fault, Limits, Output, Role, ServerEvent, ServerSession,
    SessionConfig, Streams, Strictness, Subprotocol, TerminalSize,
    session::{Session, Side},
};

use crate::recording::{
    cut::Cut,
    frames::{BINARY, Frame, TEXT, decode},
};

pub(crate) const ENDS: [Role; 2] = [Role::Client, Role::Server];
const CUTS: [Cut; 3] = [Cut::Whole, Cut::Every(1), Cut::Random(5)];

/// A session to be fed.
#[derive(Clone)]
pub(crate) struct Setup {
    /// The end that is fed.
    pub(crate) role: Role,
    pub(crate) subprotocol: Subprotocol,
    pub(crate) strictness: Strictness,
    pub(crate) limits: Limits,
}

/// What came of it.
#[derive(Debug, PartialEq)]
pub(crate) struct Fed {
    /// Output or stdin, joined.
    pub(crate) data: Vec<u8>,
    pub(crate) sizes: Vec<TerminalSize>,
    pub(crate) error: Option<Error>,
    pub(crate) sent: Vec<Frame>,
}

pub(crate) fn v5(role: Role) -> Setup {
    let (strictness, limits) = (Strictness::Strict, Limits::default());
    Setup { role, subprotocol: Subprotocol::V5, strictness, limits }
}

impl Setup {
    /// A frame as this end's peer sends it.
    pub(crate) fn frame(&self, opcode: u8, payload: impl AsRef<[u8]>) -> Frame {
        match self.role {
            Role::Client => Frame::from_server(opcode, payload),
            _ => Frame::from_client(opcode, payload),
        }
    }

    /// A message that every session takes: the data `hi`.
    pub(crate) fn hi(&self) -> Vec<u8> {
        let base64 = matches!(self.subprotocol, Subprotocol::V1Base64 | Subprotocol::V4Base64);
        let channel = u8::from(self.role == Role::Client);
        let (opcode, payload) = if base64 { (TEXT, b"aGk=".as_slice()) } else { (BINARY, b"hi".as_slice()) };
        self.frame(opcode, [&[if base64 { b'0' + channel } else { channel }], payload].concat()).encode()
    }

    pub(crate) fn feed(&self, stream: &[u8], cut: Cut) -> Fed {
        let streams = Streams { stdin: true, stdout: true, stderr: false, tty: true };
        let mut config = SessionConfig::client([3; 32]);
        (config.strictness, config.limits) = (self.strictness, self.limits.clone());
        let (now, subprotocol) = (Instant::now(), self.subprotocol);
        let (mut data, mut sizes) = (Vec::new(), Vec::new());
        let (error, sent) = match self.role {
            Role::Client => {
                let session = ClientSession::client(streams, subprotocol, &config, now);
                drive(session, stream, cut, |event| match event {
                    ClientEvent::Output(Output::Stdout, bytes) => data.extend_from_slice(&bytes),
                    other => assert_eq!(other, ClientEvent::Connected),
                })
            }
            _ => drive(ServerSession::server(streams, subprotocol, &config, now), stream, cut, |event| {
                match event {
                    ServerEvent::Stdin(bytes) => data.extend_from_slice(&bytes),
                    ServerEvent::Resize(size) => sizes.push(size),
                    other => assert_eq!(other, ServerEvent::StdinClosed),
                }
            }),
        };
        Fed { data, sizes, error, sent }
    }

    /// `hi`, then `bad`, then `hi` again, in several cuts: an error at the first byte of `bad`, and nothing after it.
    pub(crate) fn refuses(&self, bad: &[u8], kind: impl Into<ErrorKind>) {
        let (kind, hi) = (kind.into(), self.hi());
        let limit = matches!(kind, ErrorKind::Limit { .. });
        for cut in CUTS {
            let fed = self.feed(&[&hi, bad, &hi].concat(), cut);
            let shown = bad.get(..40).unwrap_or(bad);
            let error = fed.error.unwrap_or_else(|| panic!("{:?} takes {shown:?}", self.role));
            assert_eq!(*error.kind(), kind, "{:?} {cut:?} {shown:?}", self.role);
            assert_eq!(error.fault(), if limit { Fault::Limit } else { Fault::Peer });
            assert_eq!(error.offset(), Some(hi.len() as u64), "{cut:?} {shown:?}");
            assert_eq!(fed.data, b"hi", "what came before it");
            let close = fed.sent.last().unwrap();
            assert_eq!(
                (close.close().0, close.masked),
                (if limit { 1009 } else { 1002 }, self.role == Role::Client)
            );
        }
    }

    /// The whole is taken, in several cuts, with `hi` on both sides.
    pub(crate) fn takes(&self, odd: &[u8]) -> Fed {
        let hi = self.hi();
        let stream = [&hi, odd, &hi].concat();
        let whole = self.feed(&stream, Cut::Whole);
        assert_eq!((whole.error.as_ref(), &whole.data[..2]), (None, &b"hi"[..]));
        assert!(whole.data[2..].ends_with(b"hi"), "what came after it");
        for cut in CUTS {
            assert_eq!(self.feed(&stream, cut), whole, "{cut:?}");
        }
        whole
    }
}

fn drive<S: Side>(
    mut session: Session<S>,
    stream: &[u8],
    cut: Cut,
    mut on_event: impl FnMut(S::Event),
) -> (Option<Error>, Vec<Frame>) {
    let (now, mut input) = (Instant::now(), BytesMut::new());
    let mut failed = None;
    'fed: for piece in cut.pieces(stream) {
        input.extend_from_slice(piece);
        loop {
            if let Err(error) = session.handle_input(now, &mut input) {
                failed = Some(error);
                break 'fed;
            }
            match session.poll_event() {
                Some(event) => on_event(event),
                None => break,
            }
        }
    }
    if let Some(error) = &failed {
        assert_eq!(session.handle_input(now, &mut input), Err(error.clone()), "errors stick");
        assert_eq!(session.handle_timeout(now), Err(error.clone()), "errors stick");
        session.handle_eof();
        assert!(session.poll_event().is_none() && session.poll_timeout().is_none(), "an error is the end");
    }
    let transmit = session.transmit().unwrap();
    (failed, decode(&transmit.copy_to_bytes(transmit.remaining())))
}
