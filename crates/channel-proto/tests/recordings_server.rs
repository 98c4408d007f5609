//! Every recorded exec and attach over WebSocket, of the API server, a kubelet and a container runtime, replayed to our server: the
//! request and the frames of the recorded client go in, our application does what the recorded process did, and our server has to
//! answer as the real one did, up to the listed deviations.

#![allow(clippy::unwrap_used)] // In the helpers of tests too.

mod recording;

use std::collections::BTreeSet;

use channel_proto::{ErrorKind, Fault, StatusForm, Strictness};
use recording::{
    COUNT, Recording, Sender, all,
    cut::Cut,
    deviations::{Aspect, DEVIATIONS, Deviation, matches},
    frames::{self, Frame},
    process::{fits, received},
    server::{Answer, Served, answer, read_request, serve},
};
use serde_json::Value;

/// What differs from the recording; empty if nothing does.
type Difference = BTreeSet<Aspect>;

fn judge_answer(recording: &Recording) -> Difference {
    let mut differs = Difference::new();
    let theirs = Answer::new(&recording.response);
    for cut in [Cut::Whole, Cut::Every(1), Cut::Random(11)] {
        let incoming = read_request(&recording.request(), cut);
        let ours = match answer(recording, &incoming) {
            Ok(accepted) => {
                assert_eq!(accepted.subprotocol.name(), recording.chosen, "{}", recording.name);
                accepted.head
            }
            Err(refusal) => refusal,
        };
        if Answer::new(&ours) != theirs {
            differs.insert(Aspect::Answer);
        }
    }
    differs
}

/// What a server sent, in a form that does not show how outputs were cut into messages.
#[derive(Debug, Default, PartialEq)]
struct Sent {
    items: Vec<Item>,
    status: Vec<u8>,
    closes: Vec<u16>,
}

#[derive(Debug, PartialEq)]
enum Item {
    /// A channel and all that was sent on it until something else was.
    Output(u8, Vec<u8>),
    Pong(Vec<u8>),
}

impl Sent {
    fn new<'a>(recording: &Recording, frames: impl Iterator<Item = &'a Frame>) -> Self {
        let mut sent = Self::default();
        for frame in frames {
            match (frame.opcode, recording.split(frame)) {
                (frames::PONG, _) => sent.items.push(Item::Pong(frame.payload.to_vec())),
                (frames::CLOSE, _) => sent.closes.push(frame.close().0),
                (_, Some((3, status))) => sent.status.extend(status),
                (_, Some((channel, data))) => match sent.items.last_mut() {
                    Some(Item::Output(last, joined)) if *last == channel => joined.extend(data),
                    _ => sent.items.push(Item::Output(channel, data)),
                },
                other => panic!("{}: {other:?}", recording.name),
            }
        }
        sent
    }
}

fn judge_session(recording: &Recording, strictness: Strictness, cut: Cut) -> Difference {
    let name = &recording.name;
    let served = serve(recording, strictness, cut);
    well_formed(recording, &served);
    let ours = Sent::new(recording, served.sent.iter());
    let theirs = Sent::new(recording, recording.sent_by(Sender::Server));
    let differences = [
        (Aspect::Received, served.received != received(recording)),
        (Aspect::Process, fits(recording, &served.received) == Some(false)),
        (Aspect::Sent, ours.items != theirs.items),
        (Aspect::Status, gist(recording, &ours.status) != gist(recording, &theirs.status)),
        (Aspect::Wording, meaning(&ours.status) != meaning(&theirs.status)),
        (Aspect::Close, ours.closes != theirs.closes),
    ];
    if let Some(error) = &served.error {
        assert_eq!(served.ended, None, "{name}: an error takes the place of the end");
        assert_eq!(error.fault() == Fault::Limit, matches!(error.kind(), ErrorKind::Limit { .. }));
        assert_eq!(ours.closes, [if error.fault() == Fault::Limit { 1009 } else { 1002 }], "{name}");
    } else {
        let close = recording.sent_by(Sender::Client).find(|frame| frame.opcode == frames::CLOSE);
        let code = close.filter(|frame| frame.payload.len() > 1).map(|frame| frame.close().0);
        assert_eq!(served.ended, Some(code), "{name}: the client's close frame");
    }
    differences.into_iter().filter_map(|(aspect, differs)| differs.then_some(aspect)).collect()
}

/// How to cut what the client sent: byte by byte too, unless it is long.
fn cuts(recording: &Recording) -> Vec<Cut> {
    match recording.sent_by(Sender::Client).map(|frame| frame.payload.len()).sum() {
        0 => vec![Cut::Whole],
        1..0x1_0000 => vec![Cut::Whole, Cut::Every(1), Cut::Random(99)],
        _ => vec![Cut::Whole, Cut::Random(99)],
    }
}

/// What holds for all that a server sends.
fn well_formed(recording: &Recording, served: &Served) {
    let name = &recording.name;
    let first = recording.sent_by(Sender::Server).next().unwrap();
    assert_eq!(served.sent.first(), Some(first), "{name}: the first message");
    let data: Vec<&Frame> = served.sent.iter().filter(|frame| frame.opcode < frames::CLOSE).collect();
    assert!(data.iter().all(|frame| frame.opcode == first.opcode), "{name}: text or binary");
    assert!(served.sent.iter().all(|frame| frame.fin && !frame.masked && frame.rsv == 0), "{name}");
    let close = served.sent.iter().position(|frame| frame.opcode == frames::CLOSE);
    assert!(close.is_none_or(|at| at == served.sent.len() - 1), "{name}: nothing follows the close frame");
    let status = |frame: &&Frame| {
        recording.split(frame).is_some_and(|(channel, data)| channel == 3 && !data.is_empty())
    };
    let statuses = data.iter().filter(|frame| status(frame)).count();
    assert!(statuses == 0 || statuses == 1 && status(data.last().unwrap()), "{name}: the status is last");
    let told = served.sent.last().filter(|frame| frame.opcode == frames::CLOSE).map(Frame::close);
    assert!(told.is_none_or(|(code, reason)| (code == 1000) == reason.is_empty()), "{name}: {told:?}");
}

/// A status but for what is there for people to read.
fn gist(recording: &Recording, status: &[u8]) -> Option<Value> {
    let mut status = meaning(status)?;
    match (recording.subprotocol().status_form(), status.get_mut("message")) {
        (StatusForm::Json, None) => assert_eq!(status["status"], "Success"),
        (StatusForm::Json, Some(message)) => *message = Value::Null,
        _ => status = Value::Null,
    }
    Some(status)
}

fn meaning(status: &[u8]) -> Option<Value> {
    let text = || String::from_utf8(status.to_vec()).unwrap();
    (!status.is_empty()).then(|| serde_json::from_slice(status).unwrap_or_else(|_| text().into()))
}

/// Replays everything, and returns how many recordings that was.
fn replay_all(strictness: Strictness) -> usize {
    let (mut count, mut wrong, mut stale) =
        (0, Vec::new(), DEVIATIONS.iter().flat_map(Deviation::cases).collect::<BTreeSet<_>>());
    for recording in all() {
        count += 1;
        let name = &recording.name;
        stale.retain(|case| !matches(case, name));
        let listed = DEVIATIONS.iter().filter(|deviation| deviation.is_about(name, strictness));
        let expected: Difference = listed.flat_map(|deviation| deviation.what).copied().collect();
        let answer = judge_answer(&recording);
        for cut in cuts(&recording) {
            let mut differs = answer.clone();
            if recording.status == 101 {
                differs.extend(judge_session(&recording, strictness, cut));
            }
            if differs != expected {
                wrong.push(format!("{name} {cut:?}: {differs:?} differ, listed are {expected:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(stale.is_empty(), "no such recording: {stale:?}");
    count
}

// Holds REQ-4, UPG-3, UPG-4, UPG-5, UPG-6, UPG-7, UPG-8, UPG-9, UPG-10, UPG-11, UPG-12, UPG-13, UPG-16.
// Holds WSF-2, WSF-3, WSF-4, WSF-6, WSF-7, WSF-8, WSF-9, WSF-11, WSF-12, WSF-13, WSF-14, WSF-15, WSF-16, WSF-20.
// Holds FRM-1, FRM-2, FRM-3, FRM-4, FRM-5, FRM-8, FRM-9, FRM-10, FRM-11, FRM-12, FRM-15, FRM-16, FRM-17.
// Holds EXE-1, EXE-2, EXE-3, EXE-6, EXE-7, EXE-8, EXE-9, EXE-10, EXE-11, EXE-12, EXE-20, ATT-2, ATT-3, ATT-6.
#[test]
fn a_lax_server_answers_every_recorded_client_as_the_real_one_did() {
    assert_eq!(replay_all(Strictness::Lax), COUNT);
}

// Holds WSF-3, WSF-4, WSF-6, WSF-7, WSF-8, WSF-9, WSF-11, WSF-13.
#[test]
fn a_strict_server_differs_where_the_real_one_lets_broken_frames_pass() {
    assert_eq!(replay_all(Strictness::Strict), COUNT);
}
