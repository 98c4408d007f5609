//! Header blocks: ours are read by other implementations of zlib, and theirs by us.

#![cfg(feature = "spdy")]
#![allow(clippy::unwrap_used)] // In the helpers of tests too.

mod spdy_support;

use std::{
    io::Write,
    process::{Command, Stdio},
    time::Instant,
};

use bytes::Bytes;
use channel_proto::{
    ErrorKind, Fault, Limits, Role, SpdyViolation,
    spdy::{
        Connection, ControlFrame, Decoder, Event, HeaderEncoder, HeaderError, Headers, Item, Priority,
        ResetStatus,
    },
};
use spdy_support::{
    Writer, assert_violation, control, dictionary, headers, id, judge, plain_block, rst, written,
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn syn_stream(encoder: &mut HeaderEncoder, number: u32, headers: &Headers) -> Vec<u8> {
    let mut out = Vec::new();
    let frame = ControlFrame::SynStream {
        id: id(number),
        associated: 0,
        priority: Priority::HIGHEST,
        fin: false,
        unidirectional: false,
        headers: headers.clone(),
    };
    frame.encode(encoder, &mut out);
    out
}

fn samples() -> Vec<Headers> {
    let long = "v".repeat(7_000);
    vec![
        headers([("streamtype", "error"), ("port", "8081"), ("requestid", "0")]),
        headers([("streamtype", "data"), ("port", "8081"), ("requestid", "0")]),
        Headers::new(),
        headers([("empty", ""), ("several", "a\0b"), ("ünïcode", "Größe")]),
        headers([("long", &long), ("long-too", &long)]),
    ]
}

// Holds SPD-6.
#[test]
fn our_blocks_are_these_bytes() {
    let mut encoder = HeaderEncoder::new();
    let first = syn_stream(&mut encoder, 1, &headers([("streamtype", "data")]));
    let second = syn_stream(&mut encoder, 3, &Headers::new());
    // The zlib header, the dictionary's Adler-32; a stored block; the empty one of a sync flush.
    assert_eq!(
        hex(&first),
        "800300010000003400000001000000000000\
         78f9e3c6a7c2001a00e5ff000000010000000a73747265616d7479706500000004646174610000\
         00ffff"
    );
    assert_eq!(
        hex(&second),
        "8003000100000018000000030000000000000004 00fbff00000000000000ffff".replace(' ', "")
    );
}

const PYTHON: &str = "
import sys, zlib
dictionary = bytes.fromhex(sys.stdin.readline())
assert len(dictionary) == 1423 and zlib.adler32(dictionary) == 0xe3c6a7c2
stream = zlib.decompressobj(zdict=dictionary)
for line in sys.stdin:
    out = stream.decompress(bytes.fromhex(line))
    assert not stream.unused_data and not stream.unconsumed_tail and not stream.eof
    print(out.hex())
";

/// What Python's zlib makes of the blocks of one direction, one by one. `None` where `NO_PYTHON` is set, for machines without a python3.
fn read_by_python(blocks: &[Vec<u8>]) -> Option<Vec<String>> {
    if std::env::var_os("NO_PYTHON").is_some() {
        return None;
    }
    let mut python = Command::new("python3")
        .args(["-c", PYTHON])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a python3 to read our header blocks; NO_PYTHON=1 does without");
    let lines: Vec<String> = [dictionary()].iter().chain(blocks).map(|bytes| hex(bytes)).collect();
    python.stdin.take().unwrap().write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect())
}

fn plain(headers: &Headers) -> String {
    hex(&plain_block(&headers.iter().collect::<Vec<_>>()))
}

// Holds SPD-6.
#[test]
fn pythons_zlib_reads_the_blocks_of_every_frame_one_by_one() {
    let whole = |kind: usize, number: u32, headers: Headers, encoder: &mut HeaderEncoder| {
        let (id, fin, mut out) = (id(number), false, Vec::new());
        // Behind the header of a frame and what its type has before the block.
        match kind {
            0 => return syn_stream(encoder, number, &headers)[18..].to_vec(),
            1 => ControlFrame::SynReply { id, fin, headers }.encode(encoder, &mut out),
            _ => ControlFrame::Headers { id, fin, headers }.encode(encoder, &mut out),
        }
        out[12..].to_vec()
    };
    for first in 0..3 {
        let mut encoder = HeaderEncoder::new();
        let numbered = (0..).zip([samples(), samples()].concat());
        let blocks: Vec<_> = numbered
            .map(|(at, headers)| {
                whole((first + at) % 3, 1 + 2 * u32::try_from(at).unwrap(), headers, &mut encoder)
            })
            .collect();
        let expected: Vec<_> = [samples(), samples()].iter().flatten().map(plain).collect();
        assert!(read_by_python(&blocks).is_none_or(|read| read == expected), "from kind {first}");
    }
}

// Holds SPD-6, SPD-11.
#[test]
fn pythons_zlib_reads_what_a_server_replies() {
    let mut server = Connection::new(Role::Server, &Limits::default());
    let mut writer = Writer::new();
    let mut blocks = Vec::new();
    for number in (1..20).step_by(2) {
        let mut opening = Bytes::from(writer.syn_stream(number, 0, &[("streamtype", "error")]));
        server.next(Instant::now(), &mut opening).unwrap();
        server.reply(id(number)).unwrap();
        let reply = written(&mut server);
        let header = control(2, 0, &[&number.to_be_bytes()[..], &reply[12..]].concat());
        assert_eq!(reply, header, "a SYN_REPLY and nothing else");
        blocks.push(reply[12..].to_vec());
    }
    let expected = vec![plain(&Headers::new()); blocks.len()];
    assert!(read_by_python(&blocks).is_none_or(|read| read == expected));
}

// Holds SPD-6.
#[test]
fn our_blocks_read_back() {
    let mut encoder = HeaderEncoder::new();
    let mut decoder = Decoder::new(&Limits::default());
    for (number, headers) in (1..).step_by(2).zip(samples()) {
        let mut input = Bytes::from(syn_stream(&mut encoder, number, &headers));
        match decoder.decode(&mut input).unwrap() {
            Some(Item::Control(ControlFrame::SynStream { headers: read, .. })) => assert_eq!(read, headers),
            other => panic!("{other:?}"),
        }
    }
}

// Holds SPD-1, SPD-6.
#[test]
fn blocks_of_a_real_compressor_read_in_any_cut() {
    let mut writer = Writer::new();
    let mut bytes = writer.syn_stream(1, 0, &[("streamtype", "error"), ("port", "8081")]);
    bytes.extend(writer.syn_stream(3, 0, &[("streamtype", "data"), ("port", "8081")]));
    bytes.extend(writer.headers(3, 1, &[("several", "a\0b")]));
    let (events, error, answer) = judge(Role::Server, &Limits::default(), |_| {}, &bytes);
    let opened =
        |number, headers| Event::Opened { id: id(number), headers, priority: Priority::HIGHEST, fin: false };
    let expected = [
        opened(1, headers([("streamtype", "error"), ("port", "8081")])),
        opened(3, headers([("streamtype", "data"), ("port", "8081")])),
        Event::Headers { id: id(3), headers: headers([("several", "a\0b")]), fin: true },
    ];
    assert_eq!((&events[..], error, answer), (&expected[..], None, vec![]));
}

/// A SYN_STREAM on 1 with this block, and a sound one on 3.
fn with_block(block: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    let compressed = writer.compress(block);
    let mut bytes = control(1, 0, &[&1u32.to_be_bytes()[..], &[0; 6], &compressed].concat());
    bytes.extend(writer.syn_stream(3, 0, &[("streamtype", "data")]));
    bytes
}

// Holds SPD-9.
#[test]
fn a_header_that_breaks_a_rule_resets_its_stream_only() {
    let cases: [&[(&str, &str)]; 4] = [
        &[("", "x")],
        &[("StreamType", "data")],
        &[("a", "1"), ("b", "2"), ("a", "1")],
        &[("é", "1"), ("É", "2")],
    ];
    let mut blocks: Vec<Vec<u8>> = cases.iter().map(|fields| plain_block(fields)).collect();
    let mut not_text = plain_block(&[("a", "xy")]);
    *not_text.last_mut().unwrap() = 0xff;
    blocks.push(not_text);
    for block in blocks {
        let (events, error, answer) = judge(Role::Server, &Limits::default(), |_| {}, &with_block(&block));
        assert_eq!(error, None);
        let opened: Vec<_> = events.iter().collect();
        assert!(matches!(opened[..], [Event::Opened { id, .. }] if id.get() == 3), "{opened:?}");
        assert_eq!(answer, rst(1, ResetStatus::PROTOCOL_ERROR.code()));
    }
}

// Holds SPD-9.
#[test]
fn a_bad_header_in_a_reply_resets_the_stream_and_is_told() {
    for kind in [2, 8] {
        let block = Writer::new().compress(&plain_block(&[("UPPER", "x")]));
        let bytes = control(kind, 0, &[&1u32.to_be_bytes()[..], &block].concat());
        let prepare = spdy_support::with_stream(Role::Client);
        let (events, error, answer) = judge(Role::Client, &Limits::default(), prepare, &bytes);
        let fault = Event::Faulted { id: id(1), violation: SpdyViolation::HeaderCase };
        assert_eq!((events, error), (vec![fault], None));
        assert_eq!(answer, rst(1, ResetStatus::PROTOCOL_ERROR.code()));
    }
}

// Holds SPD-7.
#[test]
fn a_block_that_does_not_add_up_ends_the_connection() {
    let sound = plain_block(&[("a", "b")]);
    let blocks = [
        vec![],
        sound[..3].to_vec(),
        sound[..sound.len() - 1].to_vec(),
        [&sound[..], b"x"].concat(),
        [&[0, 0, 0, 2][..], &sound[4..]].concat(),
        [&[0, 0, 0, 0][..], &sound[4..]].concat(),
    ];
    for block in blocks {
        let (_, error, _) = judge(Role::Server, &Limits::default(), |_| {}, &with_block(&block));
        assert_violation(error, SpdyViolation::HeaderBlock, 0);
    }
}

// Holds SPD-7.
#[test]
fn what_is_no_zlib_stream_ends_the_connection() {
    let other_dictionary = [0x78, 0xf9, 1, 2, 3, 4, 0, 0, 0, 0xff, 0xff];
    // The last block of a stream, though the connection goes on.
    let ended =
        [&[0x78, 0xf9, 0xe3, 0xc6, 0xa7, 0xc2, 1, 4, 0, 0xfb, 0xff, 0, 0, 0, 0][..], &[0; 4]].concat();
    for block in
        [&b"not zlib at all"[..], &other_dictionary, &ended, &[0x78, 0xf9, 0xe3, 0xc6, 0xa7, 0xc2, 6]]
    {
        let bytes = control(1, 0, &[&1u32.to_be_bytes()[..], &[0; 6], block].concat());
        let (_, error, _) = judge(Role::Server, &Limits::default(), |_| {}, &bytes);
        assert_violation(error, SpdyViolation::Zlib, 0);
    }
}

#[track_caller]
fn assert_limit(limits: &Limits, bytes: &[u8], what: &str) {
    let (events, error, _) = judge(Role::Server, limits, |_| {}, bytes);
    assert_eq!(events, []);
    let error = error.expect("an error");
    assert!(matches!(error.kind(), ErrorKind::Limit { what: told, .. } if *told == what), "{error}");
    assert_eq!((error.fault(), error.offset()), (Fault::Limit, Some(0)));
}

// Holds SPD-8.
#[test]
fn a_bomb_is_not_inflated() {
    // 8 MiB of zeros in some 8 KiB.
    let block = Writer::new().compress(&vec![0; 8 << 20]);
    assert!(block.len() < 10_000, "{}", block.len());
    let bytes = control(1, 0, &[&1u32.to_be_bytes()[..], &[0; 6], &block].concat());
    assert_limit(&Limits::default(), &bytes, "bytes of an inflated SPDY header block");
    let mut tighter = Limits::default();
    tighter.spdy_frame = 1 << 10;
    assert_limit(&tighter, &bytes, "bytes of one SPDY control frame");
}

// Holds SPD-8.
#[test]
fn counts_and_lengths_are_checked_before_anything_is_kept() {
    let limits = Limits::default();
    let most: Vec<String> = (0..128).map(|at| at.to_string()).collect();
    let fields: Vec<_> = most.iter().map(|name| (name.as_str(), "")).collect();
    let (events, error, _) = judge(Role::Server, &limits, |_| {}, &with_block(&plain_block(&fields)));
    assert_eq!((events.len(), error), (2, None));
    assert_limit(&limits, &with_block(&129u32.to_be_bytes()), "headers in one SPDY header block");
    assert_limit(&limits, &with_block(&[0xff; 4]), "headers in one SPDY header block");

    let field = "bytes of a name or value in a SPDY header block";
    let longest = "x".repeat(8 << 10);
    let block = plain_block(&[(&longest, &longest)]);
    assert_eq!(judge(Role::Server, &limits, |_| {}, &with_block(&block)).1, None);
    assert_limit(&limits, &with_block(&plain_block(&[("a", &(longest + "x"))])), field);
    assert_limit(&limits, &with_block(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]), field);
}

#[test]
fn our_own_headers_keep_the_rules() {
    let mut sound = headers([("a", "b")]);
    assert_eq!(sound.insert("", "x"), Err(HeaderError::Empty));
    assert_eq!(sound.insert("Port", "x"), Err(HeaderError::NotLowerCase));
    assert_eq!(sound.insert("a", "x"), Err(HeaderError::Duplicate));
    assert_eq!(sound.insert("c", "x".repeat(1 << 20)), Err(HeaderError::TooLong));
    assert_eq!(sound, headers([("a", "b")]));
    assert_eq!((sound.get("a"), sound.get("c"), sound.len()), (Some("b"), None, 1));
}

#[test]
fn the_largest_headers_go_out_whole() {
    let mut client = Connection::new(Role::Client, &Limits::default());
    let value = "x".repeat(1_000_000);
    client.open(headers([("a", &value)]), Priority::HIGHEST).unwrap();
    let mut limits = Limits::default();
    (limits.spdy_frame, limits.spdy_header_block, limits.spdy_header_field) = (2 << 20, 2 << 20, 2 << 20);
    let mut decoder = Decoder::new(&limits);
    match decoder.decode(&mut written(&mut client).into()).unwrap() {
        Some(Item::Control(ControlFrame::SynStream { headers, .. })) => {
            assert_eq!(headers.get("a"), Some(&*value));
        }
        other => panic!("{other:?}"),
    }
}
