//! Answers fed to a client: whole, in pieces of every size, and with trailing data.

#![allow(dead_code)] // Not every test file uses all of it.

use bytes::BytesMut;
use channel_proto::{
    Limits,
    request::{Action, PodRequest, Streams},
    upgrade::{BodyEnd, ClientUpgrade, UpgradeError, UpgradeRequest, Upgraded},
};

/// The nonce of RFC 6455 §1.3.
pub(crate) const NONCE: [u8; 16] = *b"the sample nonce";

pub(crate) type Outcome = Result<Option<Upgraded>, UpgradeError>;

pub(crate) fn pod() -> PodRequest {
    PodRequest {
        namespace: "default".into(),
        pod: "bb".into(),
        container: None,
        action: Action::Exec { command: vec!["sh".into()] },
        streams: Streams { stdout: true, ..Streams::default() },
    }
}

pub(crate) fn request() -> UpgradeRequest {
    UpgradeRequest::for_pod("127.0.0.1:6443", pod())
}

/// Feeds `answer` in pieces of `size` bytes; returns what came of it and what was left over.
pub(crate) fn feed(
    request: &UpgradeRequest,
    limits: &Limits,
    answer: &[u8],
    size: usize,
) -> (Outcome, Vec<u8>) {
    feed_with(request, NONCE, limits, answer, size)
}

fn feed_with(
    request: &UpgradeRequest,
    nonce: [u8; 16],
    limits: &Limits,
    answer: &[u8],
    size: usize,
) -> (Outcome, Vec<u8>) {
    let mut client = ClientUpgrade::new(request, nonce, limits).unwrap();
    let mut input = BytesMut::new();
    let mut pieces = answer.chunks(size);
    let outcome = loop {
        let Some(piece) = pieces.next() else {
            break Ok(None);
        };
        input.extend_from_slice(piece);
        match client.handle_input(&mut input) {
            Ok(None) => {}
            done => break done,
        }
    };
    let outcome = match outcome {
        Ok(None) => Err(client.handle_eof()),
        outcome => outcome,
    };
    if let Err(error) = &outcome {
        let again = client.handle_input(&mut BytesMut::from("x")).unwrap_err();
        assert_eq!(describe(error), describe(&again), "errors stick");
        assert_eq!(describe(error), describe(&client.handle_eof()), "errors stick");
    }
    pieces.for_each(|piece| input.extend_from_slice(piece));
    (outcome, input.to_vec())
}

pub(crate) fn describe(error: &UpgradeError) -> String {
    format!("{error:?}")
}

/// What comes of `answer`, however it is cut. An answer that ends itself must also leave alone what follows.
pub(crate) fn outcome_of(request: &UpgradeRequest, limits: &Limits, answer: &str) -> Outcome {
    outcome_with(request, NONCE, limits, answer)
}

/// As [`outcome_of`], for a client with this nonce.
pub(crate) fn outcome_with(
    request: &UpgradeRequest,
    nonce: [u8; 16],
    limits: &Limits,
    answer: &str,
) -> Outcome {
    let feed = |bytes: &[u8], size| feed_with(request, nonce, limits, bytes, size);
    let (whole, left) = feed(answer.as_bytes(), usize::MAX);
    for size in (1..answer.len().min(40)).chain([answer.len().max(1)]) {
        let (pieces, same_left) = feed(answer.as_bytes(), size);
        assert_eq!((format!("{whole:?}"), &left), (format!("{pieces:?}"), &same_left), "pieces of {size}");
    }
    let ends_itself = match &whole {
        Ok(_) => true,
        Err(UpgradeError::Refused(refusal)) => {
            refusal.headers.contains_key("content-length") && refusal.body_end == BodyEnd::Complete
        }
        Err(error) => !describe(error).contains("Truncated"),
    };
    if ends_itself {
        let longer = [answer.as_bytes(), b"\x82\x01\x01 and more"].concat();
        for size in [1, 7, longer.len()] {
            let (trailed, rest) = feed(&longer, size);
            assert_eq!(format!("{whole:?}"), format!("{trailed:?}"));
            assert_eq!(rest, [&left, &b"\x82\x01\x01 and more"[..]].concat());
        }
    }
    whole
}
