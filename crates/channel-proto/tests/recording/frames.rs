//! WebSocket frames, written and read by plain means.

use bytes::Bytes;

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// The key that stands in for those of the recorded client, which were not kept.
const KEY: [u8; 4] = [0x5a, 0x00, 0xff, 0x31];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) opcode: u8,
    pub(crate) fin: bool,
    /// RSV1 is 4, RSV2 is 2, RSV3 is 1.
    pub(crate) rsv: u8,
    pub(crate) masked: bool,
    pub(crate) payload: Bytes,
}

/// The opcode that a recording names so.
pub(crate) fn opcode(name: &str) -> u8 {
    let names = [("continuation", 0), ("text", 1), ("binary", 2), ("close", 8), ("ping", 9), ("pong", 10)];
    let known = names.into_iter().find(|(known, _)| *known == name);
    known.map_or_else(|| name.parse().unwrap(), |(_, opcode)| opcode)
}

impl Frame {
    /// A whole frame as a client sends it.
    pub(crate) fn from_client(opcode: u8, payload: impl AsRef<[u8]>) -> Self {
        let payload = Bytes::copy_from_slice(payload.as_ref());
        Self { opcode, fin: true, rsv: 0, masked: true, payload }
    }

    /// A whole frame as a server sends it.
    pub(crate) fn from_server(opcode: u8, payload: impl AsRef<[u8]>) -> Self {
        Self { masked: false, ..Self::from_client(opcode, payload) }
    }

    /// The same with more to come.
    pub(crate) fn unfinished(self) -> Self {
        Self { fin: false, ..self }
    }

    /// A close frame's code and reason.
    pub(crate) fn close(&self) -> (u16, &str) {
        assert_eq!(self.opcode, CLOSE);
        (
            u16::from_be_bytes([self.payload[0], self.payload[1]]),
            std::str::from_utf8(&self.payload[2..]).unwrap(),
        )
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mask = u8::from(self.masked) << 7;
        let mut out = vec![u8::from(self.fin) << 7 | self.rsv << 4 | self.opcode];
        match self.payload.len() {
            len @ ..126 => out.push(mask | u8::try_from(len).unwrap()),
            len @ ..0x1_0000 => {
                out.push(mask | 126);
                out.extend(u16::try_from(len).unwrap().to_be_bytes());
            }
            len => {
                out.push(mask | 127);
                out.extend((len as u64).to_be_bytes());
            }
        }
        let long = self.payload.len() > 1 << 20;
        if self.masked && !long {
            out.extend(KEY);
            out.extend(self.payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
        } else {
            // A key of zeros changes nothing, and takes no time.
            out.resize(out.len() + if self.masked { 4 } else { 0 }, 0);
            out.extend_from_slice(&self.payload);
        }
        out
    }
}

/// The frames in `bytes`, which have to be whole, and without the payloads' masks.
pub(crate) fn decode(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        let (len, rest) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes(rest[..2].try_into().unwrap())), &rest[2..]),
            127 => (u64::from_be_bytes(rest[..8].try_into().unwrap()), &rest[8..]),
            len => (u64::from(len), rest),
        };
        let masked = second & 0x80 != 0;
        let (key, rest) = if masked { rest.split_at(4) } else { (&[0; 4][..], rest) };
        let (payload, rest) = rest.split_at(usize::try_from(len).unwrap());
        frames.push(Frame {
            opcode: first & 0x0f,
            fin: first & 0x80 != 0,
            rsv: first >> 4 & 7,
            masked,
            payload: payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect(),
        });
        bytes = rest;
    }
    assert!(bytes.is_empty(), "half a frame");
    frames
}
