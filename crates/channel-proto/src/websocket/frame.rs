//! Frame headers (RFC 6455 §5.2), read and written.

use super::mask::extend_masked;

/// The longest payload of a control frame, in bytes (RFC 6455 §5.5).
pub(crate) const MAX_CONTROL: usize = 125;

/// The longest header, in bytes: two, a length of eight, and a masking key.
const MAX_HEADER: usize = 14;

/// An opcode, of four bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Opcode(u8);

impl Opcode {
    pub(crate) const CONTINUATION: Self = Self(0);
    pub(crate) const TEXT: Self = Self(1);
    pub(crate) const BINARY: Self = Self(2);
    pub(crate) const CLOSE: Self = Self(8);
    pub(crate) const PING: Self = Self(9);
    pub(crate) const PONG: Self = Self(10);

    pub(super) fn is_control(self) -> bool {
        self.0 >= 8
    }

    pub(super) fn is_reserved(self) -> bool {
        matches!(self.0, 3..=7 | 11..=15)
    }
}

/// A frame header as it stands on the wire. Nothing is judged here; [`Decoder`](super::Decoder) does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) fin: bool,
    pub(super) reserved_bits: bool,
    pub(super) opcode: Opcode,
    pub(super) mask: Option<[u8; 4]>,
    pub(super) len: u64,
    /// Whether the length stood in the shortest of its three forms (RFC 6455 §5.2).
    pub(super) minimal: bool,
}

impl Header {
    /// Reads a header and tells how many bytes it took; `None` when `bytes` ends inside it.
    #[inline]
    pub(super) fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let &[first, second, ref rest @ ..] = bytes else { return None };
        let (len, minimal, extended) = match second & 0x7f {
            126 => {
                let len = u16::from_be_bytes(*rest.first_chunk()?);
                (u64::from(len), len > 125, 2)
            }
            127 => {
                let len = u64::from_be_bytes(*rest.first_chunk()?);
                (len, len > 0xffff, 8)
            }
            len => (u64::from(len), true, 0),
        };
        let (mask, key_len) = match second & 0x80 {
            0 => (None, 0),
            _ => (Some(*rest[extended..].first_chunk()?), 4),
        };
        let header = Self {
            fin: first & 0x80 != 0,
            reserved_bits: first & 0x70 != 0,
            opcode: Opcode(first & 0x0f),
            mask,
            len,
            minimal,
        };
        Some((header, 2 + extended + key_len))
    }
}

/// Appends the header of an unfragmented frame of `len` bytes.
#[inline]
pub(super) fn put_header(out: &mut Vec<u8>, opcode: Opcode, len: usize, mask: Option<[u8; 4]>) {
    let mut header = [0; MAX_HEADER];
    header[0] = 0x80 | opcode.0;
    let mut end = match (u8::try_from(len), u16::try_from(len)) {
        (Ok(len @ ..126), _) => {
            header[1] = len;
            2
        }
        (_, Ok(len)) => {
            header[1] = 126;
            header[2..4].copy_from_slice(&len.to_be_bytes());
            4
        }
        _ => {
            header[1] = 127;
            header[2..10].copy_from_slice(&(len as u64).to_be_bytes());
            10
        }
    };
    if let Some(key) = mask {
        header[1] |= 0x80;
        header[end..end + 4].copy_from_slice(&key);
        end += 4;
    }
    // All of it, then less: a copy of constant length is a few instructions, one of any other is a call.
    let before = out.len();
    out.extend_from_slice(&header);
    out.truncate(before + end);
}

/// Appends a control frame. `payload` beyond [`MAX_CONTROL`] is left out.
pub(super) fn put_control(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>) {
    let payload = &payload[..payload.len().min(MAX_CONTROL)];
    put_header(out, opcode, payload.len(), mask);
    match mask {
        Some(key) => extend_masked(out, payload, key),
        None => out.extend_from_slice(payload),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Holds WSF-5.
    #[test]
    fn headers_read_back_as_written_at_the_edges_of_every_length_form() {
        for len in [0usize, 1, 125, 126, 127, 65_535, 65_536, 1 << 30] {
            for mask in [None, Some([1, 2, 3, 4])] {
                let mut out = Vec::new();
                put_header(&mut out, Opcode::BINARY, len, mask);
                for cut in 0..out.len() {
                    assert!(Header::parse(&out[..cut]).is_none(), "{cut} of {}", out.len());
                }
                let (header, used) = Header::parse(&out).expect("whole");
                assert_eq!((used, header.len, header.mask), (out.len(), len as u64, mask));
                assert!(header.fin && header.minimal && !header.reserved_bits);
                assert_eq!(header.opcode, Opcode::BINARY);
            }
        }
    }

    // Holds WSF-5.
    #[test]
    fn lengths_in_more_bytes_than_needed_are_told_apart() {
        for bytes in [&[0x82, 126, 0, 125][..], &[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff]] {
            let (header, _) = Header::parse(bytes).expect("whole");
            assert!(!header.minimal);
        }
    }
}
