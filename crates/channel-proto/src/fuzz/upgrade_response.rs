//! A client's upgrade, and any bytes for an answer: cut anywhere they give the same, in bounded memory.

use arbitrary::Unstructured;
use bytes::BytesMut;

use super::{Cut, small_limits, subset};
use crate::{
    limits::Limits,
    subprotocol::Subprotocol,
    upgrade::{ClientUpgrade, Refusal, UpgradeError, UpgradeRequest, Upgraded},
};

/// The nonce of RFC 6455 §1.3, and of the recordings.
const NONCE: [u8; 16] = *b"the sample nonce";

/// `[offers (a bit each), limits, cut (2 bytes)]`, then the answer.
pub fn upgrade_response(data: &[u8]) {
    // An input that ends early is no input.
    let _ = run(&mut Unstructured::new(data));
}

fn run(u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let offers = subset(u.arbitrary()?);
    let limits = u.choose(&[Limits::default(), small_limits()])?.clone();
    let cuts = Cut::others(u)?;
    let bytes = u.bytes(u.len())?;

    let request = UpgradeRequest::new("127.0.0.1:6443", "/").offers(offers.iter().copied());
    let answer = |cut| {
        let upgrade = ClientUpgrade::new(&request, NONCE, &limits).expect("a request that can be written");
        judge(upgrade, &limits, bytes, cut)
    };
    let (whole, left) = answer(Cut::Whole);
    for cut in cuts {
        let (result, same_left) = answer(cut);
        assert_eq!((format!("{result:?}"), &same_left), (format!("{whole:?}"), &left), "{cut:?}");
    }
    match whole {
        Ok(upgraded) if offers.is_empty() => assert_eq!(upgraded.subprotocol, Subprotocol::Unnamed),
        Ok(upgraded) => assert!(offers.contains(&upgraded.subprotocol)),
        Err(UpgradeError::Refused(refusal)) => check_refusal(&refusal, &limits),
        Err(UpgradeError::Failed(error)) => {
            assert!(error.offset().is_some_and(|at| at <= bytes.len() as u64));
        }
    }
    Ok(())
}

/// What comes of `bytes`, and those that were not taken.
fn judge(
    mut upgrade: ClientUpgrade,
    limits: &Limits,
    bytes: &[u8],
    cut: Cut,
) -> (Result<Upgraded, UpgradeError>, BytesMut) {
    let mut input = BytesMut::new();
    let mut pieces = cut.pieces(bytes).into_iter();
    for piece in &mut pieces {
        input.extend_from_slice(piece);
        let result = match upgrade.handle_input(&mut input) {
            Ok(None) => {
                assert!(input.len() <= limits.head, "more waits than a head may have");
                continue;
            }
            Ok(Some(upgraded)) => Ok(upgraded),
            Err(error) => Err(sticky(&mut upgrade, error)),
        };
        pieces.for_each(|piece| input.extend_from_slice(piece));
        return (result, input);
    }
    let error = upgrade.handle_eof();
    (Err(sticky(&mut upgrade, error)), input)
}

fn sticky(upgrade: &mut ClientUpgrade, error: UpgradeError) -> UpgradeError {
    let again = upgrade.handle_input(&mut BytesMut::from("x")).expect_err("errors stick");
    assert_eq!(format!("{again:?}"), format!("{error:?}"));
    error
}

fn check_refusal(refusal: &Refusal, limits: &Limits) {
    assert!(refusal.body.len() <= limits.refusal_body);
    assert!(!refusal.status.is_informational());
    let _ = refusal.fallback();
    let line = refusal.to_string();
    assert!(!line.contains(char::is_control), "{line:?} is no line for a terminal");
}
