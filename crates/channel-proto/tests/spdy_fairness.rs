//! Streams take turns, what is urgent goes first, and what is sent on one stream keeps its order.

#![cfg(feature = "spdy")]
#![allow(clippy::unwrap_used)] // In the helpers of tests too.

mod spdy_support;

use bytes::Bytes;
use channel_proto::{
    Limits, Role,
    spdy::{Connection, ControlFrame, Decoder, GoAwayStatus, Item, Priority, ResetStatus, StreamId},
};
use spdy_support::{headers, id, written};

/// What a connection has to write, frame by frame.
fn frames(connection: &mut Connection) -> Vec<String> {
    let mut decoder = Decoder::new(&Limits::default());
    let mut input = Bytes::from(written(connection));
    let mut frames = Vec::new();
    while let Some(item) = decoder.decode(&mut input).unwrap() {
        frames.push(match item {
            Item::Data(piece) => {
                assert!(piece.start && piece.end);
                format!("DATA {} {}{}", piece.id, piece.payload.len(), if piece.fin { " fin" } else { "" })
            }
            Item::Control(ControlFrame::SynStream { id, .. }) => format!("SYN {id}"),
            Item::Control(ControlFrame::RstStream { id, status }) => format!("RST {id} {}", status.code()),
            Item::Control(ControlFrame::Ping { id }) => format!("PING {id}"),
            Item::Control(ControlFrame::GoAway { last, .. }) => format!("GOAWAY {last}"),
            other => panic!("{other:?}"),
        });
    }
    frames
}

fn with_streams(count: u32) -> Connection {
    let mut client = Connection::new(Role::Client, &Limits::default());
    for _ in 0..count {
        client.open(headers([]), Priority::HIGHEST).unwrap();
    }
    client
}

// Holds SPD-17.
#[test]
fn a_small_stream_waits_for_one_frame_of_each_other() {
    let mut client = with_streams(3);
    client.send(id(1), &[1; 40_000]).unwrap();
    client.send(id(3), &[3; 40_000]).unwrap();
    client.send(id(5), b"small").unwrap();
    let expected = [
        "SYN 1",
        "SYN 3",
        "SYN 5",
        "DATA 1 16384",
        "DATA 3 16384",
        "DATA 5 5",
        "DATA 1 16384",
        "DATA 3 16384",
        "DATA 1 7232",
        "DATA 3 7232",
    ];
    assert_eq!(frames(&mut client), expected);
}

#[test]
fn a_stream_alone_sends_large_frames() {
    let mut client = with_streams(1);
    client.send(id(1), &[1; 60_000]).unwrap();
    assert_eq!(frames(&mut client), ["SYN 1", "DATA 1 60000"]);
}

// Holds SPD-17.
#[test]
fn a_stream_that_comes_later_is_not_behind_all_that_waits() {
    let mut client = with_streams(2);
    client.send_bytes(id(1), &vec![1; 1 << 20].into()).unwrap();
    let laid = bytes::Buf::remaining(client.transmit());
    client.send(id(3), b"urgent").unwrap();
    client.ping();
    let mut out = written(&mut client);
    let at = out.windows(6).position(|window| window == b"urgent").unwrap();
    assert!(at < laid + (64 << 10) + (16 << 10) + 64, "{at}");
    out.truncate(at);
    assert!(out.ends_with(&[0, 0, 0, 3, 0, 0, 0, 6]));
}

// Holds SPD-17.
#[test]
fn control_frames_go_before_data() {
    let mut client = with_streams(1);
    client.send(id(1), b"data").unwrap();
    client.ping();
    client.open(headers([]), Priority::HIGHEST).unwrap();
    assert_eq!(frames(&mut client), ["SYN 1", "PING 1", "SYN 3", "DATA 1 4"]);
}

// Holds SPD-17, SPD-19.
#[test]
fn data_then_fin_then_reset_then_goaway() {
    let mut client = with_streams(2);
    client.goaway(GoAwayStatus::OK);
    client.send(id(1), &[1; 20_000]).unwrap();
    client.send(id(3), &[3; 20_000]).unwrap();
    client.finish(id(1)).unwrap();
    client.reset(id(1), ResetStatus::CANCEL);
    client.reset(id(3), ResetStatus::INTERNAL_ERROR);
    let expected = [
        "SYN 1",
        "SYN 3",
        "DATA 1 16384",
        "DATA 3 16384",
        "DATA 1 3616 fin",
        "RST 1 5",
        "DATA 3 3616",
        "RST 3 6",
        "GOAWAY 0",
    ];
    assert_eq!(frames(&mut client), expected);
    assert!(client.is_drained());
}

#[test]
fn an_abort_drops_what_waits_and_nothing_else() {
    let mut client = with_streams(3);
    client.send(id(1), b"dropped").unwrap();
    client.send(id(3), b"kept").unwrap();
    client.send(id(5), b"dropped").unwrap();
    client.finish(id(5)).unwrap();
    client.abort(id(1), ResetStatus::CANCEL);
    client.abort(id(5), ResetStatus::CANCEL);
    assert_eq!(frames(&mut client), ["SYN 1", "SYN 3", "SYN 5", "RST 1 5", "RST 5 5", "DATA 3 4"]);
    assert_eq!(client.open_streams(), 1);
}

// Holds SPD-13.
#[test]
fn a_fin_goes_with_the_last_data_or_alone() {
    let mut client = with_streams(2);
    client.send(id(1), b"last").unwrap();
    client.finish(id(1)).unwrap();
    client.finish(id(1)).unwrap();
    client.finish(id(3)).unwrap();
    assert_eq!(frames(&mut client), ["SYN 1", "SYN 3", "DATA 1 4 fin", "DATA 3 0 fin"]);
}

// Holds SPD-17.
#[test]
fn copied_and_shared_data_keep_their_order() {
    let mut client = with_streams(1);
    let mut expected = Vec::new();
    for nth in 0..40u8 {
        let part = vec![nth; if nth % 3 == 0 { 700 } else { 30 }];
        if nth % 2 == 0 {
            client.send_bytes(id(1), &part.clone().into()).unwrap();
        } else {
            client.send(id(1), &part).unwrap();
        }
        expected.extend(part);
    }
    let out = written(&mut client);
    assert!(out.ends_with(&expected));
}

// Holds SPD-17.
#[test]
fn every_stream_gets_its_share() {
    let mut client = with_streams(8);
    let ids: Vec<StreamId> = (0..8).map(|nth| id(2 * nth + 1)).collect();
    let mut sent = [0usize; 8];
    let mut decoder = Decoder::new(&Limits::default());
    // All want to send without end; the wire takes 10,000 bytes at a time.
    for _ in 0..1_000 {
        for id in &ids {
            while client.send(*id, &[0; 5_000]).is_ok() {}
        }
        let transmit = client.transmit();
        let len = bytes::Buf::remaining(transmit).min(10_000);
        let mut chunk = bytes::Buf::copy_to_bytes(transmit, len);
        while let Some(item) = decoder.decode(&mut chunk).unwrap() {
            if let Item::Data(piece) = item {
                sent[usize::try_from(piece.id.get()).unwrap() / 2] += piece.payload.len();
            }
        }
    }
    let (least, most) = (sent.iter().min().unwrap(), sent.iter().max().unwrap());
    assert!(most - least <= 2 * (16 << 10), "{sent:?}");
}
