//! What a peer may not do: on one stream it resets that stream, otherwise it ends the connection.

#![cfg(feature = "spdy")]
#![allow(clippy::unwrap_used)] // In the helpers of tests too.

mod spdy_support;

use std::time::Instant;

use channel_proto::{
    Limits, Role, SpdyViolation,
    spdy::{Connection, Event, GoAwayStatus, OpenError, Priority, ResetStatus, StreamError},
};
use spdy_support::{
    Cut, FIN, UNIDIRECTIONAL, Writer, assert_violation, control, data, feed, headers, id, judge, numbers,
    ping, rst, with_stream, written,
};

fn judge_default(
    role: Role,
    prepare: impl Fn(&mut Connection),
    bytes: &[u8],
) -> (Vec<Event>, Option<channel_proto::Error>, Vec<u8>) {
    judge(role, &Limits::default(), prepare, bytes)
}

// Holds SPD-2, SPD-3.
#[test]
fn what_breaks_the_framing_ends_the_connection_with_goaway() {
    let cases = [
        (SpdyViolation::Version, vec![0x80, 2, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1]),
        (SpdyViolation::FrameLength, control(1, 0, &[0; 9])),
        (SpdyViolation::FrameLength, control(2, 0, &[0; 3])),
        (SpdyViolation::FrameLength, control(3, 0, &[0; 12])),
        (SpdyViolation::FrameLength, control(4, 0, &[0; 5])),
        (SpdyViolation::FrameLength, control(6, 0, &[0; 8])),
        (SpdyViolation::FrameLength, control(7, 0, &[0; 4])),
        (SpdyViolation::FrameLength, control(8, 0, &[0; 2])),
        (SpdyViolation::FrameLength, control(9, 0, &[0; 7])),
        (SpdyViolation::FrameFlags, numbers(6, 1, &[1])),
        (SpdyViolation::FrameFlags, numbers(7, 1, &[1, 0])),
        (SpdyViolation::FrameFlags, numbers(9, 4, &[1, 1])),
        (SpdyViolation::StreamZero, data(0, 0, b"x")),
        (SpdyViolation::StreamZero, Writer::new().syn_stream(0, 0, &[])),
        (SpdyViolation::StreamZero, Writer::new().syn_reply(0x8000_0000, 0, &[])),
        (SpdyViolation::StreamZero, Writer::new().headers(0, 0, &[("a", "b")])),
        (SpdyViolation::StreamZero, rst(0, 1)),
        (SpdyViolation::ResetStatus, rst(1, 0)),
        (SpdyViolation::PingZero, ping(0)),
        (SpdyViolation::SettingsCount, numbers(4, 0, &[2, 1, 1])),
        (SpdyViolation::SettingsCount, numbers(4, 0, &[u32::MAX])),
        (SpdyViolation::WindowDelta, numbers(9, 0, &[1, 0])),
    ];
    for (violation, bytes) in cases {
        for role in [Role::Client, Role::Server] {
            let bytes = [&ping(u32::from(role == Role::Client) + 1)[..], &bytes].concat();
            let (events, error, answer) = judge_default(role, |_| {}, &bytes);
            assert_eq!(events, [], "{violation}");
            assert_violation(error, violation, 12);
            let goaway = numbers(7, 0, &[0, GoAwayStatus::PROTOCOL_ERROR.code()]);
            assert_eq!(answer, [&bytes[..12], &goaway].concat(), "{violation}");
        }
    }
}

#[test]
fn nothing_goes_on_after_an_error() {
    let mut server = Connection::new(Role::Server, &Limits::default());
    with_stream(Role::Server)(&mut server);
    server.send(id(1), b"lost").unwrap();
    let (_, error) = feed(&mut server, Instant::now(), Cut::Whole.chunks(&ping(0)));
    assert_eq!(server.handle_eof(), Err(error.unwrap()));
    assert_eq!(server.send(id(1), b"x"), Err(StreamError::Ended));
    assert_eq!(server.finish(id(1)), Err(StreamError::Ended));
    assert_eq!(server.reply(id(1)), Err(StreamError::Ended));
    assert_eq!(server.open(headers([]), Priority::HIGHEST), Err(OpenError::Ended));
    assert!(!server.wants_input());
    server.reset(id(1), ResetStatus::CANCEL);
    server.abort(id(1), ResetStatus::CANCEL);
    server.goaway(GoAwayStatus::OK);
    server.ping();
    let sent = written(&mut server);
    assert!(sent.ends_with(&numbers(7, 0, &[1, GoAwayStatus::PROTOCOL_ERROR.code()])), "{sent:02x?}");
    assert!(server.is_drained());
}

// Holds SPD-21.
#[test]
fn the_end_of_the_stream_inside_a_frame_is_an_error() {
    let mut writer = Writer::new();
    let bytes = [writer.syn_stream(1, 0, &[("a", "b")]), data(1, FIN, b"abc")].concat();
    for end in 0..=bytes.len() {
        let mut server = Connection::new(Role::Server, &Limits::default());
        let (events, _) = feed(&mut server, Instant::now(), Cut::Whole.chunks(&bytes[..end]));
        if let Some(came) = end.checked_sub(bytes.len() - 3).filter(|came| *came > 0) {
            let payload = b"abc"[..came].to_vec().into();
            assert_eq!(events.last(), Some(&Event::Data { id: id(1), payload, fin: came == 3 }));
        }
        let ended = server.handle_eof();
        let whole = [0, bytes.len() - 11, bytes.len()].contains(&end);
        assert_eq!(ended.is_ok(), whole, "{end}");
        if !whole {
            assert_violation(ended.err(), SpdyViolation::Truncated, end as u64);
        }
    }
}

// Holds SPD-10.
#[test]
fn ids_of_the_peer_rise() {
    let mut writer = Writer::new();
    let bytes: Vec<u8> =
        [5, 3].iter().flat_map(|id| writer.syn_stream(*id, FIN | UNIDIRECTIONAL, &[])).collect();
    let at = bytes.len() as u64 / 2 + 3;
    let (events, error, _) = judge_default(Role::Server, |_| {}, &bytes);
    assert_eq!(events.len(), 1);
    assert_eq!(
        error.as_ref().and_then(channel_proto::Error::offset).map(|offset| offset.abs_diff(at) < 8),
        Some(true)
    );
    assert_eq!(error.unwrap().kind(), &SpdyViolation::StreamOrder.into());
}

// Holds SPD-10, SPD-11, SPD-13.
#[test]
fn what_concerns_one_stream_resets_it_and_the_others_go_on() {
    let (in_use, closed, wrong) =
        (ResetStatus::STREAM_IN_USE, ResetStatus::STREAM_ALREADY_CLOSED, ResetStatus::PROTOCOL_ERROR);
    let mut writer = Writer::new();
    let replies = [writer.syn_reply(1, 0, &[]), writer.syn_reply(1, 0, &[])].concat();
    let cases = [
        (Role::Client, data(1, 0, b"early"), SpdyViolation::DataBeforeReply, wrong),
        (Role::Client, Writer::new().headers(1, 0, &[("a", "b")]), SpdyViolation::DataBeforeReply, wrong),
        (Role::Client, replies, SpdyViolation::ReplyTwice, in_use),
        (Role::Client, Writer::new().syn_stream(1, 0, &[]), SpdyViolation::StreamParity, wrong),
        (Role::Server, [data(1, FIN, b""), data(1, 0, b"x")].concat(), SpdyViolation::DataAfterFin, closed),
    ];
    for (role, bytes, violation, status) in cases {
        // A ping behind it is answered.
        let after = ping(u32::from(role == Role::Client) + 1);
        let (events, error, answer) = judge_default(role, with_stream(role), &[&bytes[..], &after].concat());
        assert_eq!(error, None, "{violation}");
        assert_eq!(events.last(), Some(&Event::Faulted { id: id(1), violation }));
        assert_eq!(answer, [rst(1, status.code()), after].concat(), "{violation}");
    }
}

/// These need the writer that opened stream 1.
// Holds SPD-10.
#[test]
fn a_second_opening_and_a_reply_to_itself_reset_the_stream() {
    for (bytes, violation) in [
        (
            Writer::syn_stream as fn(&mut Writer, u32, u8, &[(&str, &str)]) -> Vec<u8>,
            SpdyViolation::StreamTwice,
        ),
        (Writer::syn_reply, SpdyViolation::ReplyUnasked),
    ] {
        let mut writer = Writer::new();
        let both = [writer.syn_stream(1, 0, &[]), bytes(&mut writer, 1, 0, &[])].concat();
        let (events, error, answer) = judge_default(Role::Server, |_| {}, &both);
        assert_eq!((&events[1..], error), (&[Event::Faulted { id: id(1), violation }][..], None));
        assert_eq!(answer, rst(1, ResetStatus::PROTOCOL_ERROR.code()));
    }
}

// Holds SPD-15.
#[test]
fn frames_for_streams_that_never_were_are_answered_with_invalid_stream() {
    let unknown = [
        data(7, 0, b"some payload"),
        data(7, FIN, b""),
        Writer::new().syn_reply(7, 0, &[]),
        Writer::new().headers(7, 0, &[("a", "b")]),
    ];
    for role in [Role::Client, Role::Server] {
        for bytes in &unknown {
            let (events, error, answer) = judge_default(role, |_| {}, bytes);
            assert_eq!((events, error, answer), (vec![], None, rst(7, ResetStatus::INVALID_STREAM.code())));
        }
        assert_eq!(
            judge_default(role, |_| {}, &rst(7, 1)),
            (vec![], None, vec![]),
            "a reset is not answered"
        );
    }
}

// Holds SPD-4, SPD-5.
#[test]
fn what_is_not_known_or_not_needed_is_ignored() {
    let ignored = [
        control(10, 3, b"CREDENTIAL"),
        control(5, 0, b""),
        control(0x7fff, 0xff, &[0xff; 3_000]),
        numbers(4, 1, &[0]),
        numbers(4, 0, &[2, 0x0100_0004, 100, 7, 65_536]),
        numbers(9, 0, &[0, 65_536]),
        numbers(9, 0, &[1, 0x7fff_ffff]),
        numbers(9, 0, &[12_345, 1]),
        data(1, 0, b""),
    ]
    .concat();
    for role in [Role::Client, Role::Server] {
        let prepare = |connection: &mut Connection| {
            with_stream(role)(connection);
            if role == Role::Client {
                feed(connection, Instant::now(), Cut::Whole.chunks(&Writer::new().syn_reply(1, 0, &[])));
            }
        };
        assert_eq!(judge_default(role, prepare, &ignored), (vec![], None, vec![]));
    }
}

// Holds SPD-18.
#[test]
fn answers_to_pings_that_were_not_sent_are_ignored() {
    for (role, ours, theirs) in [(Role::Client, 1, 2), (Role::Server, 2, 1)] {
        let bytes = [ping(ours), ping(theirs), ping(ours + 1_000), ping(theirs + 1_000)].concat();
        let answer = [ping(theirs), ping(theirs + 1_000)].concat();
        assert_eq!(judge_default(role, |_| {}, &bytes), (vec![], None, answer));
        let asked = judge_default(role, |connection| _ = connection.ping(), &bytes.repeat(2));
        assert_eq!(asked.0, [Event::Pong { id: ours }], "once");
    }
}

// Holds SPD-19.
#[test]
fn a_peer_that_went_away_opens_nothing_for_us_and_we_nothing_for_it() {
    let mut client = Connection::new(Role::Client, &Limits::default());
    let twice = numbers(7, 0, &[0, 0]).repeat(2);
    let (events, _) = feed(&mut client, Instant::now(), Cut::Bytewise.chunks(&twice));
    assert_eq!(events, [Event::GoAway { last: 0, status: GoAwayStatus::OK }]);
    assert_eq!(client.open(headers([]), Priority::HIGHEST), Err(OpenError::GoingAway));

    let mut server = Connection::new(Role::Server, &Limits::default());
    server.goaway(GoAwayStatus::OK);
    let mut writer = Writer::new();
    let late = [writer.syn_stream(1, 0, &[("a", "b")]), data(1, 0, b"late")].concat();
    let (events, error) = feed(&mut server, Instant::now(), Cut::Bytewise.chunks(&late));
    assert_eq!((events, error), (vec![], None));
    assert_eq!(written(&mut server), numbers(7, 0, &[0, 0]));
    assert_eq!(server.open_streams(), 0);
}
