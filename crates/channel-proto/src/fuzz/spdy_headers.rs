//! Header blocks: whatever was compressed, however, is read as it was meant, refused for a reason, and never beyond the limits.

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use super::{Cut, small_limits};
use crate::{
    error::{ErrorKind, SpdyViolation},
    limits::Limits,
    spdy::{ControlFrame, DICTIONARY, Decoder, HeaderEncoder, Headers, Item, Priority, StreamId},
};

/// `[making, limits, cut (2 bytes)]`, then `Part`s, each of which becomes a frame with a header block.
pub fn spdy_headers(data: &[u8]) {
    // An input that ends early is no input.
    let _ = run(&mut Unstructured::new(data));
}

/// What the header blocks are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Making {
    /// The parts, as they are.
    Raw,
    /// The same behind the header of a zlib stream, with the dictionary of SPDY.
    Dictionary,
    /// The parts, compressed by somebody else.
    Compressed,
    /// The same with a byte changed.
    Changed,
    /// Headers, by our own encoder.
    Ours,
}

/// How one header block is made.
#[derive(Debug, Arbitrary)]
struct Part {
    kind: u8,
    level: u8,
    /// Of its bytes, from 240 on: a bomb needs few, and most blocks are none.
    doublings: u8,
    change: (u16, u8),
    len: u8,
}

/// Bytes of a block before it is compressed: enough for a bomb, and not so many that fuzzing is slow.
const LONGEST: usize = 80 << 10;

fn run(u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    use Making::*;
    let making = *u.choose(&[Raw, Dictionary, Compressed, Changed, Ours])?;
    let limits = u.choose(&[Limits::default(), small_limits()])?.clone();
    let cuts = Cut::others(u)?;
    if making == Ours {
        return round_trip(u, cuts);
    }
    let mut zlib = Compress::new(Compression::best(), true);
    zlib.set_dictionary(DICTIONARY).expect("a new stream");
    let mut blocks = Vec::new();
    while !u.is_empty() {
        let part = Part::arbitrary(u)?;
        let bytes = u.bytes(usize::from(part.len).min(u.len()))?;
        let mut block = match making {
            Dictionary if blocks.is_empty() => [&[0x78, 0xf9, 0xe3, 0xc6, 0xa7, 0xc2], bytes].concat(),
            Raw | Dictionary | Ours => bytes.to_vec(),
            Compressed | Changed => {
                let times = 1 << part.doublings.saturating_sub(240);
                let times = times.min(LONGEST / bytes.len().max(1));
                compress(&mut zlib, part.level, &bytes.repeat(times))
            }
        };
        if let (Changed, Some(byte)) = (making, block.get_mut(usize::from(part.change.0))) {
            *byte ^= part.change.1;
        }
        blocks.push((part.kind % 3, block));
    }

    let bytes: Vec<u8> =
        blocks.iter().zip(1..).flat_map(|((kind, block), nth)| frame(*kind, nth, block)).collect();
    let whole = decode(&limits, &bytes, Cut::Whole);
    for cut in cuts {
        assert_eq!(decode(&limits, &bytes, cut), whole, "{cut:?}");
    }
    judge(&limits, &blocks, &whole);
    Ok(())
}

fn compress(zlib: &mut Compress, level: u8, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(plain.len() + plain.len() / 100 + 1_024);
    if level % 2 == 1 {
        // Only some implementations can; it is as well if not.
        let _ = zlib.set_level(Compression::new(u32::from(level) % 10));
    }
    let flush = if level < 200 { FlushCompress::Sync } else { FlushCompress::Full };
    zlib.compress_vec(plain, &mut out, flush).expect("room for all of it");
    out
}

/// A SYN_STREAM, SYN_REPLY or HEADERS around a block.
fn frame(kind: u8, stream: u32, block: &[u8]) -> Vec<u8> {
    let (kind, more) = [(1, &[0; 6][..]), (2, &[]), (8, &[])][usize::from(kind)];
    let len =
        u32::try_from(4 + more.len() + block.len()).expect("a block is shorter than 16 MiB").to_be_bytes();
    let id = stream.to_be_bytes();
    [&[0x80, 3, 0, kind, 0], &len[1..], &id, more, block].concat()
}

/// What came of each frame, up to the first that ends the connection.
fn decode(limits: &Limits, bytes: &[u8], cut: Cut) -> Vec<Result<Item, ErrorKind>> {
    let mut decoder = Decoder::new(limits);
    let mut read = Vec::new();
    for piece in cut.pieces(bytes) {
        let mut input = Bytes::copy_from_slice(piece);
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(item)) => read.push(Ok(item)),
                Ok(None) => break,
                Err(error) => {
                    read.push(Err(error.kind().clone()));
                    return read;
                }
            }
        }
    }
    read
}

/// Holds what was read against what zlib makes of the blocks in one go.
fn judge(limits: &Limits, blocks: &[(u8, Vec<u8>)], read: &[Result<Item, ErrorKind>]) {
    let mut zlib = Decompress::new(true);
    for ((kind, block), result) in blocks.iter().zip(read) {
        let len = block.len() + if *kind == 0 { 10 } else { 4 };
        let too_long = len > limits.spdy_frame;
        if too_long {
            return assert!(matches!(result, Err(ErrorKind::Limit { .. })), "{result:?}");
        }
        let plain = inflate(&mut zlib, block, limits.spdy_header_block);
        let Ok(plain) = plain else {
            return assert_eq!(result.as_ref().err(), plain.as_ref().err());
        };
        match result {
            Ok(Item::Control(
                ControlFrame::SynStream { headers, .. }
                | ControlFrame::SynReply { headers, .. }
                | ControlFrame::Headers { headers, .. },
            )) => {
                assert!(plain == plain_block(headers) && is_within(limits, &plain));
            }
            Ok(Item::Unsound { violation, .. }) => {
                assert!(is_within(limits, &plain));
                let fields = fields(&plain).expect("a block that can be read");
                assert!(is_broken(&fields, *violation), "{violation}: {fields:?}");
            }
            Err(ErrorKind::Spdy(SpdyViolation::HeaderBlock)) => {
                assert!(fields(&plain).is_none() && is_within(limits, &plain));
            }
            Err(ErrorKind::Limit { .. }) => assert!(!is_within(limits, &plain)),
            other => panic!("{other:?} of {plain:?}"),
        }
    }
    let all = read.len() == blocks.len();
    assert!(all || read.last().is_some_and(Result::is_err));
}

/// All of a block, or why there is no such block. One byte more than the limit is enough to know that it is too long.
fn inflate(zlib: &mut Decompress, block: &[u8], limit: usize) -> Result<Vec<u8>, ErrorKind> {
    let invalid = || ErrorKind::from(SpdyViolation::Zlib);
    let mut plain = Vec::with_capacity(limit + 1);
    let mut rest = block;
    loop {
        let before = zlib.total_in();
        let result = zlib.decompress_vec(rest, &mut plain, FlushDecompress::Sync);
        rest = &rest[usize::try_from(zlib.total_in() - before).expect("no more than there is")..];
        if plain.len() > limit {
            return Err(ErrorKind::Limit {
                what: "bytes of an inflated SPDY header block",
                limit: limit as u64,
            });
        }
        match result {
            Ok(flate2::Status::StreamEnd) => return Err(invalid()),
            Ok(_) if rest.is_empty() => return Ok(plain),
            Ok(_) => {}
            Err(error) if error.needs_dictionary().is_some() => {
                zlib.set_dictionary(DICTIONARY).map_err(|_| invalid())?;
            }
            Err(_) => return Err(invalid()),
        }
    }
}

/// Names and values, if the block is a list of them and nothing more.
fn fields(plain: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut rest = plain;
    let number = |rest: &mut &[u8]| -> Option<usize> {
        let (number, behind) = rest.split_first_chunk()?;
        *rest = behind;
        usize::try_from(u32::from_be_bytes(*number)).ok()
    };
    let count = number(&mut rest)?;
    let mut fields = Vec::new();
    for _ in 0..count {
        let mut text = || {
            let len = number(&mut rest)?;
            let (text, behind) = rest.split_at_checked(len)?;
            rest = behind;
            Some(text)
        };
        fields.push((text()?, text()?));
    }
    rest.is_empty().then_some(fields)
}

/// Whether every number in a block keeps to the limits, as far as it can be read.
fn is_within(limits: &Limits, plain: &[u8]) -> bool {
    let mut numbers = plain;
    let mut next = || {
        let (number, rest) = numbers.split_first_chunk()?;
        let number = u32::from_be_bytes(*number) as usize;
        numbers = rest;
        Some(number)
    };
    let Some(count) = next() else { return true };
    if count > limits.spdy_headers {
        return false;
    }
    let mut rest = &plain[4..];
    for _ in 0..2 * count {
        let Some((number, behind)) = rest.split_first_chunk() else { return true };
        let len = u32::from_be_bytes(*number) as usize;
        if len > limits.spdy_header_field {
            return false;
        }
        let Some((_, behind)) = behind.split_at_checked(len) else { return true };
        rest = behind;
    }
    true
}

/// Whether some header breaks this rule.
fn is_broken(fields: &[(&[u8], &[u8])], violation: SpdyViolation) -> bool {
    let is_lower = |name: &&[u8]| str::from_utf8(name).is_ok_and(|name| name.to_lowercase() == name);
    let mut names = fields.iter().map(|(name, _)| name);
    match violation {
        SpdyViolation::HeaderName => names.any(|name| name.is_empty()),
        SpdyViolation::HeaderCase => !names.all(is_lower),
        SpdyViolation::HeaderTwice => {
            names.enumerate().any(|(at, name)| fields[..at].iter().any(|(before, _)| before == name))
        }
        SpdyViolation::HeaderText => {
            fields.iter().flat_map(|(name, value)| [name, value]).any(|text| str::from_utf8(text).is_err())
        }
        _ => false,
    }
}

fn plain_block(headers: &Headers) -> Vec<u8> {
    let number = |number: usize| u32::try_from(number).expect("below 1 MiB").to_be_bytes();
    let mut block = number(headers.len()).to_vec();
    for text in headers.iter().flat_map(|(name, value)| [name, value]) {
        block.extend(number(text.len()));
        block.extend(text.as_bytes());
    }
    block
}

/// What our encoder writes is what our decoder and any zlib read.
fn round_trip(u: &mut Unstructured<'_>, cuts: [Cut; 2]) -> arbitrary::Result<()> {
    let mut encoder = HeaderEncoder::new();
    let (mut bytes, mut frames) = (Vec::new(), Vec::new());
    let mut zlib = Decompress::new(true);
    let mut ids = (1..).map_while(StreamId::new);
    while !u.is_empty() {
        let (kind, fin, count): (u8, bool, u8) = u.arbitrary()?;
        let mut headers = Headers::new();
        for _ in 0..count % 8 {
            let (name, value): (String, String) = u.arbitrary()?;
            // What breaks a rule is refused, and not there.
            let _ = headers.insert(name, value);
        }
        let id = ids.next().expect("few");
        let frame = match kind % 3 {
            0 => ControlFrame::SynStream {
                id,
                associated: 0,
                priority: Priority::new(kind >> 5).expect("three bits"),
                fin,
                unidirectional: kind & 16 != 0,
                headers: headers.clone(),
            },
            1 => ControlFrame::SynReply { id, fin, headers: headers.clone() },
            _ => ControlFrame::Headers { id, fin, headers: headers.clone() },
        };
        let start = bytes.len() + if kind % 3 == 0 { 18 } else { 12 };
        frame.encode(&mut encoder, &mut bytes);
        assert_eq!(inflate(&mut zlib, &bytes[start..], 1 << 20), Ok(plain_block(&headers)));
        frames.push(Ok(Item::Control(frame)));
    }
    let limits = Limits {
        spdy_frame: 1 << 20,
        spdy_header_block: 1 << 20,
        spdy_header_field: 1 << 20,
        ..Limits::default()
    };
    for cut in [&[Cut::Whole], &cuts[..]].concat() {
        assert_eq!(decode(&limits, &bytes, cut), frames, "{cut:?}");
    }
    Ok(())
}
