//! Header blocks (SPDY/3.1 §2.6.10): a count, then names and values with their lengths, in one zlib stream per
//! direction of the connection.
//!
//! We read every kind of zlib stream, and write stored blocks only. Compressing would save some fifty bytes for each
//! stream, and cost 370 KiB of state for each connection.

use flate2::{Decompress, FlushDecompress, Status};

use super::{
    HeaderError, Headers,
    dictionary::{DICTIONARY, DICTIONARY_ID},
};
use crate::{
    error::{ErrorKind, SpdyViolation},
    limits::Limits,
};

/// The beginning of a zlib stream: a window of 32 KiB, best compression, a preset dictionary. The same bytes as every
/// peer's seen.
const ZLIB_HEADER: [u8; 2] = [0x78, 0xf9];

/// An empty stored block, which is what zlib ends a sync flush with. Go's `compress/flate`, which all peers read with, holds back what came
/// before until it sees one (SPD-6).
const SYNC: [u8; 5] = [0, 0, 0, 0xff, 0xff];

/// Bytes inflated at a time.
const STEP: usize = 2 << 10;

/// Writes the header blocks of one direction of a connection.
#[derive(Debug, Default)]
pub struct HeaderEncoder {
    stream: ZlibStream,
}

/// Whether the zlib stream's own header went out.
#[derive(Debug, Default)]
enum ZlibStream {
    #[default]
    New,
    Begun,
}

impl HeaderEncoder {
    /// One on which nothing was encoded.
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn encode(&mut self, headers: &Headers, out: &mut Vec<u8>) {
        if let ZlibStream::New = std::mem::replace(&mut self.stream, ZlibStream::Begun) {
            out.extend_from_slice(&ZLIB_HEADER);
            out.extend_from_slice(&DICTIONARY_ID.to_be_bytes());
        }
        let mut block = Vec::new();
        put_number(&mut block, headers.len());
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            put_number(&mut block, text.len());
            block.extend_from_slice(text.as_bytes());
        }
        for part in block.chunks(usize::from(u16::MAX)) {
            let len = u16::try_from(part.len()).unwrap_or(u16::MAX);
            out.push(0);
            out.extend_from_slice(&len.to_le_bytes());
            out.extend_from_slice(&(!len).to_le_bytes());
            out.extend_from_slice(part);
        }
        out.extend_from_slice(&SYNC);
    }
}

/// [`Headers`] hold less than fits into 32 bits.
fn put_number(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
}

/// Reads the header blocks of one direction of a connection.
#[derive(Default)]
pub(super) struct HeaderDecoder {
    /// Since the first block; it takes 47 KiB.
    inflate: Option<Box<Decompress>>,
}

/// What a header block that could be read holds.
pub(super) enum Block {
    Sound(Headers),
    /// It breaks a rule that concerns its stream only (SPD-9).
    Unsound(SpdyViolation),
}

impl HeaderDecoder {
    /// Reads one block. What is wrong with the whole connection is an error.
    pub(super) fn decode(&mut self, compressed: &[u8], limits: &Limits) -> Result<Block, ErrorKind> {
        parse(&self.inflate(compressed, limits.spdy_header_block)?, limits)
    }

    /// Inflates all of `compressed`, and stops as soon as it comes to more than `limit` bytes (SPD-8).
    fn inflate(&mut self, mut compressed: &[u8], limit: usize) -> Result<Vec<u8>, ErrorKind> {
        let zlib = self.inflate.get_or_insert_with(|| Box::new(Decompress::new(true)));
        let (mut inflated, mut step) = (Vec::new(), [0; STEP]);
        loop {
            let before = (zlib.total_in(), zlib.total_out());
            let result = zlib.decompress(compressed, &mut step, FlushDecompress::Sync);
            let taken = usize::try_from(zlib.total_in() - before.0).unwrap_or(usize::MAX);
            let given = usize::try_from(zlib.total_out() - before.1).unwrap_or(usize::MAX);
            compressed = compressed.get(taken..).unwrap_or_default();
            inflated.extend_from_slice(step.get(..given).unwrap_or_default());
            if inflated.len() > limit {
                let what = "bytes of an inflated SPDY header block";
                return Err(ErrorKind::Limit { what, limit: limit as u64 });
            }
            match result {
                Ok(Status::Ok | Status::BufError) if taken > 0 || given > 0 => {}
                Ok(Status::Ok | Status::BufError) if compressed.is_empty() => return Ok(inflated),
                Err(error) if error.needs_dictionary() == Some(DICTIONARY_ID) => {
                    zlib.set_dictionary(DICTIONARY).map_err(|_| SpdyViolation::Zlib)?;
                }
                // The stream has no end as long as the connection has none (SPD-7).
                Ok(_) | Err(_) => return Err(SpdyViolation::Zlib.into()),
            }
        }
    }
}

fn parse(mut block: &[u8], limits: &Limits) -> Result<Block, ErrorKind> {
    let count = take_number(&mut block)?;
    if count > limits.spdy_headers {
        let limit = limits.spdy_headers as u64;
        return Err(ErrorKind::Limit { what: "headers in one SPDY header block", limit });
    }
    let mut headers = Headers::new();
    let mut unsound = None;
    for _ in 0..count {
        let name = take_text(&mut block, limits)?;
        let value = take_text(&mut block, limits)?;
        let inserted = match (str::from_utf8(name), str::from_utf8(value)) {
            (Ok(name), Ok(value)) => headers.insert(name, value).map_err(HeaderError::violation),
            _ => Err(SpdyViolation::HeaderText),
        };
        unsound = unsound.or(inserted.err());
    }
    if !block.is_empty() {
        return Err(SpdyViolation::HeaderBlock.into());
    }
    Ok(unsound.map_or(Block::Sound(headers), Block::Unsound))
}

fn take_number(block: &mut &[u8]) -> Result<usize, ErrorKind> {
    let (number, rest) = block.split_first_chunk().ok_or(SpdyViolation::HeaderBlock)?;
    *block = rest;
    Ok(u32::from_be_bytes(*number) as usize)
}

fn take_text<'a>(block: &mut &'a [u8], limits: &Limits) -> Result<&'a [u8], ErrorKind> {
    let len = take_number(block)?;
    if len > limits.spdy_header_field {
        let limit = limits.spdy_header_field as u64;
        return Err(ErrorKind::Limit { what: "bytes of a name or value in a SPDY header block", limit });
    }
    let (text, rest) = block.split_at_checked(len).ok_or(SpdyViolation::HeaderBlock)?;
    *block = rest;
    Ok(text)
}
