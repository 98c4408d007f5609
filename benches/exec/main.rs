//! Exec from end to end on loopback: bytes down, bytes up, and round trips, beside a raw TCP copy and two peers; and over TLS beside a
//! raw copy through it.

#![expect(clippy::print_stdout, reason = "a report")]

mod bytes;
mod kube_rs;
mod ours;
mod pod;
mod raw;
mod report;
mod tls;
mod websocket;
mod work;

use std::{env, io, process::ExitCode};

use benches::machine;
use report::{Report, Sample};
use work::{Contender, Work};

/// The names, in the order of the table; the first is what the others are compared with.
pub(crate) const CONTENDERS: [&str; 9] = [
    "raw TCP",
    "tokio-tungstenite",
    "kube",
    "channel-tokio",
    "channel-smol",
    "channel-async-std",
    "raw rustls",
    "kube, TLS",
    "channel-tokio, TLS",
];

fn main() -> io::Result<ExitCode> {
    let quick = env::args().any(|argument| argument == "--quick");
    let (rounds, mebibytes, round_trips) = if quick { (3, 128, 2_000) } else { (7, 2048, 20_000) };
    let machine = machine::describe();
    let bytes = mebibytes << 20;
    let mut report = Report::default();
    let all = [Work::Download(bytes), Work::Upload(bytes), Work::RoundTrips(round_trips)];
    for _ in 0..rounds {
        for work in all {
            let samples = [
                sample(raw::Raw, work)?,
                sample(websocket::WebSocket, work)?,
                sample(kube_rs::Kube, work)?,
                sample(ours::Ours, work)?,
                sample(ours::OnSmol, work)?,
                sample(ours::OnAsyncStd, work)?,
                sample(tls::RawTls, work)?,
                sample(tls::KubeTls, work)?,
                sample(tls::OursTls, work)?,
            ];
            report.add(work, samples);
        }
    }
    println!("{rounds} rounds of {mebibytes} MiB each way and {round_trips} round trips, medians");
    println!("{machine}\n");
    let held = report.print();
    Ok(if held || quick { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn sample(contender: impl Contender, work: Work) -> io::Result<Sample> {
    Ok(Sample::of(work, work::run(contender, work)?))
}
