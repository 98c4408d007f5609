//! The body of a refusal: as much of it as the limit allows, in whichever of HTTP/1.1's three framings it comes.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, Response, StatusCode, header};

use super::head::list;
use crate::error::HeadViolation;

/// How the body of a [`Refusal`](super::Refusal) ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyEnd {
    /// The body is whole.
    Complete,
    /// The body is longer than `limits.refusal_body`; the rest was dropped.
    OverLimit,
    /// The connection ended inside the body.
    Cut,
    /// The body's framing is wrong: what came before the fault is kept.
    Broken(HeadViolation),
}

/// Reads one body (RFC 9112 §6, §7). It keeps no more than its cap, and stops where the cap is passed: nobody wants the rest
/// of a page that long, and the peer could send it forever.
#[derive(Debug, Clone)]
pub(super) struct BodyReader {
    awaits: Awaits,
    kept: BytesMut,
    cap: usize,
    /// Bytes that chunk extensions and trailers may still have; they share the limit of heads, which they are like.
    spare: usize,
}

#[derive(Debug, Clone, Copy)]
enum Awaits {
    /// This many bytes.
    Length(u64),
    /// The end of the connection.
    Close,
    ChunkSize {
        size: u64,
        digits: u8,
    },
    /// The rest of a size line, which nobody defined anything for.
    ChunkExtension {
        size: u64,
    },
    ChunkData(u64),
    /// The end of the line after a chunk's data, of which the CR has come or not.
    ChunkEnd {
        cr: bool,
    },
    /// A trailer line, of which something has come or not.
    Trailer {
        blank: bool,
    },
    /// Nothing.
    End(BodyEnd),
}

impl BodyReader {
    pub(super) fn new(response: &Response<()>, cap: usize, spare: usize) -> Self {
        Self { awaits: framing(response), kept: BytesMut::new(), cap, spare }
    }

    /// Takes body out of `input`; returns how it ended, once it has. What follows the body stays.
    pub(super) fn handle_input(&mut self, input: &mut BytesMut) -> Option<BodyEnd> {
        loop {
            self.awaits = match self.awaits {
                Awaits::End(end) => return Some(end),
                Awaits::Length(0) => Awaits::End(BodyEnd::Complete),
                Awaits::ChunkData(0) => Awaits::ChunkEnd { cr: false },
                // With a length the excess is known before it comes.
                Awaits::Length(_) | Awaits::ChunkData(_) if self.room() == 0 => {
                    Awaits::End(BodyEnd::OverLimit)
                }
                _ if input.is_empty() => return None,
                Awaits::Length(left) => Awaits::Length(left - self.keep(input, left)),
                Awaits::ChunkData(left) => Awaits::ChunkData(left - self.keep(input, left)),
                Awaits::Close if self.room() == 0 => Awaits::End(BodyEnd::OverLimit),
                Awaits::Close => {
                    self.keep(input, u64::MAX);
                    Awaits::Close
                }
                framing => self.step(framing, input.get_u8()),
            }
        }
    }

    /// How the body ended, now that the connection has.
    pub(super) fn handle_eof(&self) -> BodyEnd {
        match self.awaits {
            Awaits::End(end) => end,
            Awaits::Close | Awaits::Length(0) => BodyEnd::Complete,
            _ => BodyEnd::Cut,
        }
    }

    /// Hands out what was kept, once.
    pub(super) fn take_body(&mut self) -> Bytes {
        std::mem::take(&mut self.kept).freeze()
    }

    fn room(&self) -> usize {
        self.cap - self.kept.len()
    }

    fn keep(&mut self, input: &mut BytesMut, at_most: u64) -> u64 {
        let at_most = usize::try_from(at_most).unwrap_or(usize::MAX);
        let count = at_most.min(input.len()).min(self.room());
        self.kept.extend_from_slice(&input[..count]);
        input.advance(count);
        count as u64
    }

    /// What one byte of chunked framing leads to. Lines may end with LF alone, as in heads.
    fn step(&mut self, awaits: Awaits, byte: u8) -> Awaits {
        let broken = Awaits::End(BodyEnd::Broken(HeadViolation::Chunk));
        match (awaits, byte) {
            (Awaits::ChunkSize { digits: 0, .. }, byte) if !byte.is_ascii_hexdigit() => broken,
            (Awaits::ChunkSize { size: 0, .. } | Awaits::ChunkExtension { size: 0 }, b'\n') => {
                Awaits::Trailer { blank: true }
            }
            (Awaits::ChunkSize { size, .. } | Awaits::ChunkExtension { size }, b'\n') => {
                Awaits::ChunkData(size)
            }
            (Awaits::ChunkSize { size, .. }, b'\r') => Awaits::ChunkExtension { size },
            (Awaits::ChunkSize { size, .. }, b';' | b' ' | b'\t') => {
                self.spend(Awaits::ChunkExtension { size })
            }
            (Awaits::ChunkSize { size, digits }, byte) => match (byte as char).to_digit(16) {
                Some(digit) if digits < 16 => {
                    Awaits::ChunkSize { size: size << 4 | u64::from(digit), digits: digits + 1 }
                }
                _ => broken,
            },
            (Awaits::ChunkEnd { cr: false }, b'\r') => Awaits::ChunkEnd { cr: true },
            (Awaits::ChunkEnd { .. }, b'\n') => Awaits::ChunkSize { size: 0, digits: 0 },
            (Awaits::ChunkEnd { .. }, _) => broken,
            (Awaits::Trailer { blank: true }, b'\n') => Awaits::End(BodyEnd::Complete),
            (Awaits::Trailer { .. }, b'\n') => self.spend(Awaits::Trailer { blank: true }),
            (Awaits::Trailer { blank }, b'\r') => self.spend(Awaits::Trailer { blank }),
            (Awaits::Trailer { .. }, _) => self.spend(Awaits::Trailer { blank: false }),
            (awaits, _) => self.spend(awaits),
        }
    }

    /// Pays for a byte that carries nothing.
    fn spend(&mut self, next: Awaits) -> Awaits {
        match self.spare.checked_sub(1) {
            Some(spare) => {
                self.spare = spare;
                next
            }
            None => Awaits::End(BodyEnd::OverLimit),
        }
    }
}

/// The framing that a response's head announces (RFC 9112 §6.3).
fn framing(response: &Response<()>) -> Awaits {
    if matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return Awaits::Length(0);
    }
    let headers = response.headers();
    if let Some(last) = list(headers, header::TRANSFER_ENCODING).last() {
        let chunked = last.eq_ignore_ascii_case("chunked");
        return if chunked { Awaits::ChunkSize { size: 0, digits: 0 } } else { Awaits::Close };
    }
    match content_length(headers) {
        Ok(Some(length)) => Awaits::Length(length),
        Ok(None) => Awaits::Close,
        Err(violation) => Awaits::End(BodyEnd::Broken(violation)),
    }
}

/// The Content-Length, which may be given several times if it is always the same (RFC 9110 §8.6).
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, HeadViolation> {
    if !headers.contains_key(header::CONTENT_LENGTH) {
        return Ok(None);
    }
    let mut values = list(headers, header::CONTENT_LENGTH);
    let first = values.next().ok_or(HeadViolation::ContentLength)?;
    // `parse` alone would take a sign.
    let digits = first.bytes().all(|byte| byte.is_ascii_digit()) && values.all(|value| value == first);
    let length = first.parse().ok().filter(|_| digits);
    length.map(Some).ok_or(HeadViolation::ContentLength)
}
