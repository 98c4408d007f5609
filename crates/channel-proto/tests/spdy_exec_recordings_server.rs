//! Every recorded exec and attach over SPDY, replayed to our server: the frames of the recorded client go in, our application does
//! what the recorded process did, and our server has to answer as the real one did, up to the listed deviations.

#![cfg(feature = "spdy")]
#![allow(clippy::unwrap_used)] // In the helpers of tests too.

mod spdy_exec_support;
mod spdy_support;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use channel_proto::{
    ChannelViolation, Error, ErrorKind, Outcome, Output, ServerEvent, ServerSession, SessionConfig, Status,
    StatusForm, spdy::Decoder,
};
use serde_json::Value;
use spdy_exec_support::{
    Frame, Recording, Sender, all, decoder,
    deviations::{Aspect, DEVIATIONS, matches},
    named, outcome, sent_on, written,
};
use spdy_support::Cut;

/// What the process was given.
#[derive(Debug, Default, PartialEq)]
struct Received {
    stdin: Vec<u8>,
    stdin_closed: bool,
    sizes: Vec<(u16, u16)>,
}

/// What the recorded client sent to it.
fn received(recording: &Recording) -> Received {
    let frames = recording.frames(Sender::Client);
    // A stream that was not asked for is none of the session's.
    let (stdin, fin) =
        if recording.streams.stdin { sent_on(recording, &frames, "stdin") } else { Default::default() };
    let (sizes, _) = sent_on(recording, &frames, "resize");
    let sizes = serde_json::Deserializer::from_slice(&sizes).into_iter::<Value>().map(|size| {
        let size = size.unwrap();
        let side = |name: &str| u16::try_from(size[name].as_u64().unwrap()).unwrap();
        (side("Width"), side("Height"))
    });
    Received { stdin, stdin_closed: fin, sizes: sizes.collect() }
}

struct Run {
    session: ServerSession,
    begin: Instant,
    received: Received,
    decoder: Decoder,
    sent: Vec<Frame>,
    error: Option<Error>,
    ended: bool,
}

impl Run {
    fn new(recording: &Recording, begin: Instant) -> Self {
        let config = SessionConfig::server();
        Self {
            session: ServerSession::server_over_spdy(recording.streams, recording.version, &config, begin),
            begin,
            received: Received::default(),
            decoder: decoder(),
            sent: Vec::new(),
            error: None,
            ended: false,
        }
    }

    fn hear(&mut self, bytes: &[u8], at: Duration, cut: Cut) {
        let mut input = BytesMut::new();
        for chunk in cut.chunks(bytes) {
            input.extend_from_slice(&chunk);
            loop {
                match self.session.next_event(self.begin + at, &mut input) {
                    Ok(Some(event)) => self.take(event),
                    Ok(None) => break,
                    Err(error) => return self.error = Some(error),
                }
            }
        }
        assert!(input.is_empty());
    }

    fn take(&mut self, event: ServerEvent) {
        assert!(!self.ended, "{event:?} after the last");
        match event {
            ServerEvent::Stdin(data) => self.received.stdin.extend_from_slice(&data),
            ServerEvent::StdinClosed => self.received.stdin_closed = true,
            ServerEvent::Resize(size) => self.received.sizes.push((size.width, size.height)),
            ServerEvent::Ended(_) => self.ended = true,
            other => panic!("{other:?}"),
        }
    }

    /// Does what made the recorded server send this frame, unless it came by itself.
    fn act(&mut self, recording: &Recording, frame: &Frame, at: Duration) {
        match frame {
            Frame::Data(id, payload, _) if !payload.is_empty() => {
                let output = match recording.kind(*id) {
                    "error" => {
                        return self.session.finish(self.begin + at, &ending(recording));
                    }
                    "stdout" => Output::Stdout,
                    _ => Output::Stderr,
                };
                let payload = payload.clone().into();
                assert_eq!(self.session.write_output_bytes(output, &payload), Ok(()), "{}", recording.name);
            }
            // Before v4 success is said by ending.
            Frame::GoAway(..) => self.session.finish(self.begin + at, &ending(recording)),
            _ => {}
        }
    }

    fn collect(&mut self) {
        self.sent.extend(written(&mut self.session, &mut self.decoder));
    }
}

/// How the recorded process ended, as its server was told.
fn ending(recording: &Recording) -> Outcome {
    let told = outcome(recording, &recording.frames(Sender::Server));
    if let Some(code) = told["exited"].as_i64() {
        return Outcome::Exited(i32::try_from(code).unwrap());
    }
    let Some(message) = told["failed"][0].as_str() else { return Outcome::Exited(0) };
    let internal = message.strip_prefix("Internal error occurred: ");
    Outcome::Failed(Box::new(
        match internal.filter(|_| recording.version.status_form() == StatusForm::Json) {
            Some(error) => Status::internal_error(error),
            None => Status::from_text(message),
        },
    ))
}

fn serve(recording: &Recording, cut: Cut) -> Run {
    let begin = Instant::now();
    let mut run = Run::new(recording, begin);
    for event in &recording.events {
        match event.by {
            Sender::Client => run.hear(&event.bytes, event.at, cut),
            Sender::Server => run.act(recording, &event.frame, event.at),
        }
        run.collect();
    }
    let late = Duration::from_secs(80);
    if let Err(error) = run.session.handle_timeout(begin + late) {
        run.error = Some(error);
        run.collect();
    } else {
        run.session.handle_eof();
        while let Some(event) = run.session.poll_event() {
            run.take(event);
        }
    }
    run
}

/// What a server sent, in a form that does not show how outputs were cut, nor in which order streams end that have none.
#[derive(Debug, Default, PartialEq)]
struct Sent {
    accepted: BTreeSet<u32>,
    items: Vec<(u32, Vec<u8>)>,
    status: Vec<u8>,
    /// Streams, and `FIN` or the status of a reset.
    output_ends: BTreeSet<(u32, String)>,
    error_end: BTreeSet<(u32, String)>,
    input_ends: BTreeSet<(u32, String)>,
    goaway: Vec<(u32, u32)>,
}

impl Sent {
    fn new(recording: &Recording, frames: &[Frame]) -> Self {
        let mut sent = Self::default();
        for frame in frames {
            let mut end = |id: u32, how: String| match recording.kind(id) {
                "error" => sent.error_end.insert((id, how)),
                "stdout" | "stderr" => sent.output_ends.insert((id, how)),
                _ => sent.input_ends.insert((id, how)),
            };
            match frame {
                Frame::Reply(id) => drop(sent.accepted.insert(*id)),
                Frame::Reset(id, status) => drop(end(*id, status.to_string())),
                Frame::GoAway(last, status) => sent.goaway.push((*last, *status)),
                Frame::Ping(id) => sent.items.push((0, id.to_be_bytes().to_vec())),
                Frame::Data(id, payload, fin) => {
                    if *fin {
                        end(*id, "FIN".into());
                    }
                    match sent.items.last_mut() {
                        _ if payload.is_empty() => {}
                        _ if recording.kind(*id) == "error" => sent.status.extend_from_slice(payload),
                        Some((last, joined)) if last == id => joined.extend_from_slice(payload),
                        _ => sent.items.push((*id, payload.clone())),
                    }
                }
                Frame::Open(..) => panic!("a server opens nothing"),
            }
        }
        sent
    }
}

/// A status but for what is there for people to read.
fn gist(recording: &Recording, status: &[u8]) -> Value {
    match recording.version.status_form() {
        StatusForm::Json => {
            let mut status: Value = serde_json::from_slice(status).unwrap_or_default();
            if let Some(message) = status.get_mut("message") {
                *message = Value::Null;
            }
            status
        }
        _ => String::from_utf8(status.to_vec()).unwrap().into(),
    }
}

fn judge(recording: &Recording, cut: Cut) -> BTreeSet<Aspect> {
    let name = &recording.name;
    let run = serve(recording, cut);
    in_order(recording, &run.sent);
    let ours = Sent::new(recording, &run.sent);
    let theirs = Sent::new(recording, &recording.frames(Sender::Server));
    match &run.error {
        None => assert!(run.ended && !ours.goaway.is_empty() || name == "spdy-attach", "{name}"),
        Some(error) => {
            assert_eq!(*error.kind(), ErrorKind::Channel(ChannelViolation::StreamsMissing), "{name}");
            assert!(!run.ended, "{name}: an error takes the place of the end");
        }
    }
    let differences = [
        (Aspect::Accepted, ours.accepted != theirs.accepted),
        (Aspect::Received, run.received != received(recording)),
        (Aspect::Sent, ours.items != theirs.items),
        (Aspect::OutputEnds, ours.output_ends != theirs.output_ends),
        (Aspect::Status, gist(recording, &ours.status) != gist(recording, &theirs.status)),
        (Aspect::ErrorEnd, ours.error_end != theirs.error_end),
        (Aspect::InputEnds, ours.input_ends != theirs.input_ends),
        (Aspect::GoAway, ours.goaway != theirs.goaway),
    ];
    differences.into_iter().filter_map(|(aspect, differs)| differs.then_some(aspect)).collect()
}

/// What holds for the order in which a server sends.
fn in_order(recording: &Recording, frames: &[Frame]) {
    let name = &recording.name;
    let last = |is: &dyn Fn(&Frame) -> bool| frames.iter().rposition(is);
    let output =
        last(&|frame| matches!(frame, Frame::Data(id, ..) if recording.kind(*id).starts_with("std")));
    let error = frames
        .iter()
        .position(|frame| matches!(frame, Frame::Data(id, ..) if recording.kind(*id) == "error"));
    let reset = frames.iter().position(|frame| matches!(frame, Frame::Reset(..)));
    let goaway = frames.iter().position(|frame| matches!(frame, Frame::GoAway(..)));
    if let Some(goaway) = goaway {
        assert_eq!(goaway, frames.len() - 1, "{name}: nothing follows GOAWAY");
    }
    if let (Some(output), Some(error)) = (output, error) {
        assert!(output < error, "{name}: the status follows the outputs and their ends");
    }
    if let (Some(error), Some(reset)) = (error, reset) {
        assert!(error < reset, "{name}: resets follow the status");
    }
}

// Holds SPE-3, SPE-4, SPE-5, SPE-6, SPE-7, SPE-9, SPE-11, SPE-16.
#[test]
fn our_server_answers_every_recorded_client_as_the_real_one_did() {
    let (mut wrong, mut stale) =
        (Vec::new(), DEVIATIONS.iter().flat_map(|one| one.cases).collect::<BTreeSet<_>>());
    for recording in all().0 {
        let name = &recording.name;
        stale.retain(|case| !matches(case, name));
        let listed = DEVIATIONS.iter().filter(|one| one.cases.iter().any(|case| matches(case, name)));
        let expected: BTreeSet<Aspect> =
            listed.inspect(|one| assert!(!one.reason.is_empty())).map(|one| one.what).collect();
        for cut in [Cut::Whole, Cut::Bytewise, Cut::Random(99)] {
            let differs = judge(&recording, cut);
            if differs != expected {
                wrong.push(format!("{name} {cut:?}: {differs:?} differ, listed are {expected:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(stale.is_empty(), "no such recording: {stale:?}");
}

// Holds EXE-20.
#[test]
fn a_connection_lost_at_any_byte_gives_the_command_what_had_arrived() {
    let mut cuts = 0;
    for name in ["spdy-exec-v4-stdin-fin", "spdy-exec-v4-tty-resize", "spdy-exec-channel-tty-resize"] {
        let recording = named(name);
        let stream = recording.stream(Sender::Client);
        let stdin: Vec<u8> = received(&recording).stdin;
        for cut in 0..=stream.len() {
            let mut run = Run::new(&recording, Instant::now());
            run.hear(&stream[..cut], Duration::ZERO, Cut::Whole);
            run.session.handle_eof();
            while let Some(event) = run.session.poll_event() {
                run.take(event);
            }
            assert!(run.ended && run.error.is_none(), "{name} cut at {cut}");
            assert!(stdin.starts_with(&run.received.stdin), "{name} cut at {cut}");
            assert!(cut < stream.len() || run.received == received(&recording), "{name}");
            cuts += 1;
        }
    }
    assert_eq!(cuts, 478);
}
