//! The signals that ask this program to end.

use std::{ffi::c_int, future::poll_fn, io, task::Poll};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Failure;

/// Listens from when it is made.
pub(crate) struct Signals(Vec<(SignalKind, Signal)>);

impl Signals {
    pub(crate) fn listen() -> Result<Self, Failure> {
        let kinds =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()];
        let kinds = kinds.into_iter().filter(|kind| !is_ignored(kind.as_raw_value()));
        kinds
            .map(|kind| Ok((kind, signal(kind)?)))
            .collect::<io::Result<_>>()
            .map(Self)
            .map_err(cannot_listen)
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> c_int {
        poll_fn(|cx| {
            for (kind, signal) in &mut self.0 {
                if signal.poll_recv(cx).is_ready() {
                    return Poll::Ready(kind.as_raw_value());
                }
            }
            Poll::Pending
        })
        .await
    }
}

pub(crate) fn cannot_listen(error: io::Error) -> Failure {
    Failure::local(format!("cannot listen for signals: {error}"))
}

/// Whether whoever started us told us to ignore it, as `nohup` does, or a shell that puts us in the background.
fn is_ignored(signal: c_int) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}
