//! Every recorded exec and attach over SPDY, replayed to our client.

#![cfg(feature = "spdy")]
#![allow(clippy::unwrap_used)] // In the helpers of tests too.

mod spdy_exec_support;
mod spdy_support;

use std::time::{Duration, Instant};

use bytes::BytesMut;
use channel_proto::{ClientEvent, ClientSession, Error, Outcome, Output, SessionConfig, TerminalSize};
use serde_json::Value;
use spdy_exec_support::{
    Frame, Recorded, Recording, Sender, all, decoder, named, outcome, sent_on, told, written,
};
use spdy_support::{CUTS, Cut};

/// What came of a recording.
#[derive(Debug, Default, PartialEq)]
struct Played {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    connected: usize,
    closed: Vec<Output>,
    ended: Option<Outcome>,
}

impl Played {
    fn hear(&mut self, event: ClientEvent) {
        assert!(self.ended.is_none(), "{event:?} after the last");
        match event {
            ClientEvent::Connected => self.connected += 1,
            ClientEvent::Output(Output::Stdout, data) => self.stdout.extend_from_slice(&data),
            ClientEvent::Output(Output::Stderr, data) => self.stderr.extend_from_slice(&data),
            ClientEvent::OutputClosed(output) => self.closed.push(output),
            ClientEvent::Ended(outcome) => self.ended = Some(outcome),
            other => panic!("{other:?}"),
        }
    }
}

fn client(recording: &Recording, now: Instant) -> ClientSession {
    ClientSession::client_over_spdy(
        recording.streams,
        recording.version,
        &SessionConfig::client([7; 32]),
        now,
    )
}

/// Feeds `stream`, then its end.
fn play(recording: &Recording, stream: &[u8], cut: Cut) -> Played {
    let (played, error) = attempt(recording, stream, cut);
    assert_eq!(error, None, "{}", recording.name);
    assert!(played.ended.is_some());
    played
}

/// The same for a stream that may be broken.
fn attempt(recording: &Recording, stream: &[u8], cut: Cut) -> (Played, Option<Error>) {
    let now = Instant::now();
    let mut session = client(recording, now);
    let (mut input, mut played) = (BytesMut::new(), Played::default());
    for chunk in cut.chunks(stream) {
        input.extend_from_slice(&chunk);
        loop {
            match session.next_event(now, &mut input) {
                Ok(Some(event)) => played.hear(event),
                Ok(None) => break,
                Err(error) => return (played, Some(error)),
            }
        }
        assert!(input.is_empty());
    }
    session.handle_eof();
    std::iter::from_fn(|| session.poll_event()).for_each(|event| played.hear(event));
    assert!(session.is_ended());
    (played, None)
}

// Holds SPE-3, SPE-8, SPE-9, SPE-10, SPE-12, SPE-13, SPE-14, EXE-14, EXE-15, EXE-17.
#[test]
fn every_recording_ends_as_it_did() {
    let (recordings, refusals) = all();
    assert_eq!((recordings.len(), refusals), (33, 11));
    for recording in recordings {
        let name = &recording.name;
        let stream = recording.stream(Sender::Server);
        let frames = recording.frames(Sender::Server);
        let played = play(&recording, &stream, Cut::Whole);
        assert_eq!(told(played.ended.as_ref().unwrap()), outcome(&recording, &frames), "{name}");
        for (kind, output, came) in
            [("stdout", Output::Stdout, &played.stdout), ("stderr", Output::Stderr, &played.stderr)]
        {
            let (sent, ended) = sent_on(&recording, &frames, kind);
            assert_eq!((came, played.closed.contains(&output)), (&sent, ended), "{name}: {kind}");
        }
        let replies = frames.iter().filter(|frame| matches!(frame, Frame::Reply(_))).count();
        let asked = 1 + recording.types.values().filter(|kind| is_asked(&recording, kind)).count();
        assert_eq!(played.connected, usize::from(replies == asked), "{name}");
        for cut in CUTS {
            assert_eq!(play(&recording, &stream, cut), played, "{name} {cut:?}");
        }
    }
}

fn is_asked(recording: &Recording, kind: &str) -> bool {
    match kind {
        "stdin" => recording.streams.stdin,
        "stdout" => recording.streams.stdout,
        "stderr" => recording.streams.stderr,
        "resize" => recording.streams.tty,
        _ => false,
    }
}

// Holds SPE-10.
#[test]
fn a_status_behind_a_reset_counts() {
    let recording = named("spdy-exec-channel-not-found");
    let played = play(&recording, &recording.stream(Sender::Server), Cut::Bytewise);
    let Some(Outcome::Failed(status)) = played.ended else { panic!("{played:?}") };
    assert!(status.message.starts_with("Internal error occurred: "), "{status}");
}

// Holds SPE-9, SPE-13, EXE-14, EXE-15, EXE-17.
#[test]
fn a_connection_lost_at_any_byte_gives_what_had_arrived_and_no_success() {
    let mut cuts = 0;
    for name in [
        "spdy-exec-v4-echo",
        "spdy-exec-v4-tty-resize",
        "spdy-exec-v4-not-found",
        "spdy-exec-v3-stdin-fin",
        "spdy-exec-v2-exit7",
        "spdy-exec-v2-echo",
        "spdy-exec-channel-echo",
        "spdy-exec-channel-not-found",
        "cri-exec-spdy-v4",
        "kubectl-attach-spdy",
    ] {
        let recording = named(name);
        let stream = recording.stream(Sender::Server);
        for cut in 0..=stream.len() {
            let frames = arrived(&recording, cut);
            let played = play(&recording, &stream[..cut], Cut::Whole);
            let ended = played.ended.unwrap();
            assert_eq!(told(&ended), outcome(&recording, &frames), "{name} cut at {cut}");
            assert_eq!(ended.success(), told(&ended)["exited"] == 0);
            assert_eq!(played.stdout, sent_on(&recording, &frames, "stdout").0, "{name} cut at {cut}");
            assert_eq!(played.stderr, sent_on(&recording, &frames, "stderr").0, "{name} cut at {cut}");
            cuts += 1;
        }
    }
    assert_eq!(cuts, 3_292);
}

/// What of the server's frames lies before `cut`: of a DATA frame some of the payload.
fn arrived(recording: &Recording, cut: usize) -> Vec<Frame> {
    let (mut frames, mut left) = (Vec::new(), cut);
    for event in recording.sent_by(Sender::Server) {
        let whole = left >= event.bytes.len();
        match &event.frame {
            Frame::Data(id, payload, fin) => {
                let came = left.saturating_sub(8).min(payload.len());
                frames.push(Frame::Data(*id, payload[..came].to_vec(), *fin && whole));
            }
            frame if whole => frames.push(frame.clone()),
            _ => {}
        }
        left = left.saturating_sub(event.bytes.len());
    }
    frames
}

/// Does what made the recorded client send this frame; `None` if ours cannot be brought to do so.
fn issue(recording: &Recording, event: &Recorded, session: &mut ClientSession, begin: Instant) -> Option<()> {
    match &event.frame {
        Frame::Open(_, kind) => (kind == "error" || is_asked(recording, kind)).then_some(()),
        Frame::Data(id, payload, fin) => match recording.kind(*id) {
            "stdin" => {
                assert_eq!(session.write_stdin(payload), Ok(payload.len()));
                if *fin { session.close_stdin().ok() } else { Some(()) }
            }
            "resize" => {
                let size: Value = serde_json::from_slice(payload).unwrap();
                let side = |name: &str| u16::try_from(size[name].as_u64().unwrap()).unwrap();
                session.resize(TerminalSize { width: side("Width"), height: side("Height") }).ok()
            }
            _ => None,
        },
        Frame::Ping(_) => {
            let due = session.poll_timeout().unwrap();
            // One recorded client pinged when it was told to, kubectl every 5 s.
            let early = event.at.abs_diff(due - begin);
            assert!(early < Duration::from_millis(500) || recording.name == "spdy-exec-ping", "{early:?}");
            session.handle_timeout(due).ok()
        }
        // How it left, if it was in time.
        Frame::Reset(..) | Frame::GoAway(..) => Some(()),
        Frame::Reply(_) => panic!("a client replies to nothing"),
    }
}

/// What our client sends where the recorded one sent something.
fn reissue(recording: &Recording) -> Option<Vec<Frame>> {
    let begin = Instant::now();
    let opened = |kind: &&str| recording.types.values().any(|opened| opened == kind);
    if !["error", "stdout"].iter().all(opened) {
        return None;
    }
    let mut session = client(recording, begin);
    let (mut ours, mut decoder, mut input) = (Vec::new(), decoder(), BytesMut::new());
    ours.extend(written(&mut session, &mut decoder));
    for event in &recording.events {
        match event.by {
            Sender::Client => issue(recording, event, &mut session, begin)?,
            Sender::Server => {
                input.extend_from_slice(&event.bytes);
                while session.next_event(begin + event.at, &mut input).unwrap().is_some() {}
            }
        }
        ours.extend(written(&mut session, &mut decoder));
    }
    Some(ours)
}

// Holds SPE-1, SPE-2, SPE-6, SPE-7, SPE-16.
#[test]
fn our_client_sends_what_the_recorded_clients_sent() {
    let mut others = Vec::new();
    for recording in all().0 {
        let name = &recording.name;
        let Some(mut ours) = reissue(&recording) else {
            others.push(recording.name);
            continue;
        };
        let mut theirs = recording.frames(Sender::Client);
        let is_leaving = |frame: &Frame| matches!(frame, Frame::Reset(..) | Frame::GoAway(..));
        // A client that is told GOAWAY says it too. The recorded ones closed the socket, and only once it came so far.
        let ended = recording.frames(Sender::Server).iter().any(|frame| matches!(frame, Frame::GoAway(..)));
        if ended {
            assert_eq!(ours.pop(), Some(Frame::GoAway(0, 0)), "{name}");
        }
        theirs.retain(|frame| !is_leaving(frame));
        assert!(!ours.iter().any(is_leaving), "{name}: {ours:?}");
        for frame in &mut theirs {
            if let Frame::Data(id, payload, _) = frame
                && recording.kind(*id) == "resize"
            {
                payload.truncate(payload.trim_ascii_end().len());
            }
        }
        // Ours opens all streams before it sends anything, and does not split up what it is given.
        assert_eq!(ours, theirs, "{name}");
    }
    // They opened too few streams, or too many, or finished those that they only read.
    let unlike = [
        "spdy-exec-client-fin-output",
        "spdy-exec-stream-extra",
        "spdy-exec-stream-missing-33s",
        "spdy-exec-streams-33s-none",
    ];
    assert_eq!(others, unlike);
}

// Holds EXE-14, SPD-1.
#[test]
fn a_changed_byte_means_the_same_in_every_cut_and_turns_no_failure_into_success() {
    let mut random = 7;
    for name in
        ["spdy-exec-v4-not-found", "spdy-exec-v3-tty-resize", "spdy-exec-channel-exit7", "cri-exec-spdy-v4"]
    {
        let recording = named(name);
        let stream = recording.stream(Sender::Server);
        for at in 0..stream.len() {
            let mut changed = stream.clone();
            changed[at] ^= 1 << (spdy_support::random(&mut random) % 8);
            let whole = attempt(&recording, &changed, Cut::Whole);
            for cut in [Cut::Bytewise, Cut::Random(at as u64 + 1)] {
                assert_eq!(attempt(&recording, &changed, cut), whole, "{name} changed at {at}, {cut:?}");
            }
            assert!(!whole.0.ended.is_some_and(|ended| ended.success()), "{name} changed at {at}");
        }
    }
}
