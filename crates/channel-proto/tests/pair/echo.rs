//! Bytes in, the same bytes out.

use bytes::Bytes;
use channel_proto::{CloseReason, Outcome};

use crate::harness::{ALL, Command, setups};

// Holds EXE-1, EXE-2, EXE-12, FRM-1, FRM-3, ATT-2.
#[test]
fn a_mebibyte_comes_back_in_every_subprotocol_over_every_entry() {
    let data: Bytes = (0..1u32 << 20).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    for setup in setups(&ALL) {
        let mut pair = setup.start();
        let half_close = setup.can_half_close();
        let bytes = if half_close { usize::MAX } else { data.len() };
        pair.serve(Command::Echo { bytes, outcome: Outcome::Exited(0) });
        pair.type_in(data.clone(), half_close);
        pair.drive_bounded();
        assert!(pair.stdin == data && pair.stdout == data, "{setup:?}");
        assert!(pair.stderr.is_empty());
        let expected = match setup.subprotocol.has_exit_code() {
            true => Outcome::Exited(0),
            // Success has no words there (EXE-16).
            false => Outcome::EndedWithoutStatus(Some(CloseReason { code: Some(1000), reason: "".into() })),
        };
        assert_eq!(pair.outcome(), Some(&expected), "{setup:?}");
    }
}

// Holds FRM-17.
#[test]
fn a_server_takes_input_before_its_first_message_went_out() {
    for setup in setups(&ALL) {
        let mut pair = setup.start_cold();
        pair.to_client.capacity = 0;
        pair.type_in("early", setup.can_half_close());
        pair.drive_bounded();
        assert_eq!((&pair.stdin[..], &pair.client_events[..]), (&b"early"[..], &[][..]), "{setup:?}");
    }
}
