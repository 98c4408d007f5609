//! A server's upgrade, and any bytes for a request: cut anywhere they give the same, and a client of ours understands every answer.

use arbitrary::{Arbitrary, Unstructured};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use http::{Uri, header};

use super::{Cut, small_limits, subset};
use crate::{
    error::Error,
    limits::Limits,
    request::{Action, PodRequest, RequestError, Streams},
    subprotocol::{Service, Subprotocol},
    upgrade::{
        Accepted, ClientUpgrade, Incoming, ServerUpgrade, UpgradeError, UpgradeRequest, Upgraded, respond,
    },
};

/// `[supported (a bit each), limits, cut (2 bytes)]`, then the request. All of it is taken for the fields of a
/// [`PodRequest`], too.
pub fn upgrade_request(data: &[u8]) {
    // An input that ends early is no input.
    let _ = run(&mut Unstructured::new(data));
    let _ = written(&mut Unstructured::new(data)).map(|pod| assert_reads_back(&pod));
}

fn run(u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let supported = subset(u.arbitrary()?);
    let limits = u.choose(&[Limits::default(), small_limits()])?.clone();
    let cuts = Cut::others(u)?;
    let bytes = u.bytes(u.len())?;

    let (whole, left) = read(&limits, bytes, Cut::Whole);
    for cut in cuts {
        let (result, same_left) = read(&limits, bytes, cut);
        assert_eq!((format!("{result:?}"), &same_left), (format!("{whole:?}"), &left), "{cut:?}");
    }
    match whole {
        Ok(Some(incoming)) => judge(&incoming, &supported),
        Ok(None) => assert_eq!(bytes, b""),
        Err(error) => {
            assert!(error.offset().is_some_and(|at| at <= bytes.len() as u64));
            assert_refused(&ServerUpgrade::answer_to(&error));
        }
    }
    Ok(())
}

/// What comes of `bytes`, and those that were not taken.
fn read(limits: &Limits, bytes: &[u8], cut: Cut) -> (Result<Option<Incoming>, Error>, BytesMut) {
    let mut upgrade = ServerUpgrade::new(limits);
    let mut input = BytesMut::new();
    let mut pieces = cut.pieces(bytes).into_iter();
    for piece in &mut pieces {
        input.extend_from_slice(piece);
        let result = upgrade.handle_input(&mut input);
        if matches!(result, Ok(None)) {
            assert!(input.len() <= limits.head, "more waits than a head may have");
            continue;
        }
        pieces.for_each(|piece| input.extend_from_slice(piece));
        if let Err(error) = &result {
            assert_eq!(upgrade.handle_eof().as_ref(), Err(error), "errors stick");
        }
        return (result, input);
    }
    (upgrade.handle_eof().map(|()| None), input)
}

fn judge(incoming: &Incoming, supported: &[Subprotocol]) {
    if let Ok(Some(token)) = incoming.bearer() {
        assert!(!token.secret().is_empty());
    }
    if let Ok(Some(pod)) = incoming.pod_request() {
        assert_reads_back(&pod);
    }
    match incoming.accept(supported) {
        Ok(accepted) => assert_upgrades(incoming, supported, &accepted),
        Err(refusal) => assert_refused(&respond(*refusal)),
    }
}

/// The client that sent this request agrees that it was accepted.
fn assert_upgrades(incoming: &Incoming, supported: &[Subprotocol], accepted: &Accepted) {
    let subprotocol = accepted.subprotocol;
    assert!(supported.contains(&subprotocol));
    assert!(
        subprotocol == Subprotocol::Unnamed || incoming.offers().any(|offer| offer == subprotocol.name())
    );
    let key = &incoming.request().headers()[header::SEC_WEBSOCKET_KEY];
    let nonce = STANDARD.decode(key).expect("a key that was accepted");
    let nonce = nonce.try_into().expect("a key of 16 bytes");
    let upgraded = answered(&accepted.head, [subprotocol], nonce).expect("our own 101");
    assert_eq!(upgraded.map(|upgraded| upgraded.subprotocol), Some(subprotocol));
}

/// A client of ours sees that this refuses.
fn assert_refused(answer: &Bytes) {
    let result = answered(answer, Subprotocol::DEFAULT_OFFER, [0; 16]);
    assert!(matches!(result, Err(UpgradeError::Refused(_))), "{result:?}");
}

fn answered<const N: usize>(
    answer: &Bytes,
    offers: [Subprotocol; N],
    nonce: [u8; 16],
) -> Result<Option<Upgraded>, UpgradeError> {
    let request = UpgradeRequest::new("127.0.0.1:6443", "/").offers(offers);
    let mut client = ClientUpgrade::new(&request, nonce, &Limits::default())?;
    client.handle_input(&mut BytesMut::from(&answer[..]))
}

fn written(u: &mut Unstructured<'_>) -> arbitrary::Result<PodRequest> {
    Ok(PodRequest {
        namespace: u.arbitrary()?,
        pod: u.arbitrary()?,
        container: u.arbitrary()?,
        action: if bool::arbitrary(u)? { Action::Exec { command: u.arbitrary()? } } else { Action::Attach },
        streams: Streams {
            stdin: u.arbitrary()?,
            stdout: u.arbitrary()?,
            stderr: u.arbitrary()?,
            tty: u.arbitrary()?,
        },
    })
}

/// `path_and_query` and `parse` are each other's inverse, but for what their documentation says.
fn assert_reads_back(pod: &PodRequest) {
    // `http` takes no URI beyond 64 KiB.
    let Ok(uri) = pod.path_and_query().parse::<Uri>() else {
        return assert!(pod.path_and_query().len() > usize::from(u16::MAX) - 1);
    };
    let expected = if pod.namespace.is_empty() || pod.pod.is_empty() {
        Ok(None)
    } else if pod.action.service() == Service::RemoteCommand && !pod.streams.any() {
        Err(RequestError::NoStreams)
    } else {
        Ok(Some(PodRequest {
            container: pod.container.clone().filter(|name| !name.is_empty()),
            streams: pod.streams.served(),
            ..pod.clone()
        }))
    };
    assert_eq!(PodRequest::parse(&uri), expected, "{uri}");
}
