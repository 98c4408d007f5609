//! The table of a run, out of what criterion measured.

use std::{fs, path::Path};

use benches::bars::{DECODE_OVER_TUNGSTENITE, Verdict};

use crate::{OURS, OURS_AND_READ, OURS_SHARED, SIZES, TUNGSTENITE};

/// Prints nanoseconds per message, and the bar.
#[expect(clippy::print_stdout, reason = "a report")]
pub(crate) fn print(measured: &Path) {
    for (group, what) in [
        ("decode", "a client takes messages out of what it read"),
        ("encode", "a client sends messages, masked"),
        ("serve", "a server sends messages"),
        ("spdy decode", "either end takes DATA frames out of what it read"),
        ("spdy encode", "either end sends DATA frames"),
    ] {
        println!("\n{group}: {what}; ns per message");
        print!("{:22}", "payload, bytes");
        SIZES.iter().for_each(|size| print!("{size:>12}"));
        println!();
        for who in [OURS, OURS_AND_READ, OURS_SHARED, TUNGSTENITE, "memcpy"] {
            let row = SIZES.map(|size| nanoseconds(measured, group, who, size));
            if row.iter().any(Option::is_some) {
                print!("{who:22}");
                row.iter().for_each(|time| match time {
                    Some(time) => print!("{time:>12.1}"),
                    None => print!("{:>12}", "-"),
                });
                println!();
            }
        }
    }
    let time = |who| nanoseconds(measured, "decode", who, 32 << 10);
    if let (Some(ours), Some(and_read), Some(theirs)) = (time(OURS), time(OURS_AND_READ), time(TUNGSTENITE)) {
        let (times, with_read) = (theirs / ours, theirs / and_read);
        let verdict = Verdict::at_least(times, DECODE_OVER_TUNGSTENITE);
        println!(
            "\ndecode 32 KiB: {times:.0} times as fast as tungstenite (bar: {DECODE_OVER_TUNGSTENITE}): {verdict}; \
             {with_read:.1} times when the copy out of the socket is counted, which tungstenite's always is"
        );
    }
}

fn nanoseconds(measured: &Path, group: &str, who: &str, size: usize) -> Option<f64> {
    let path = measured.join(group).join(who).join(size.to_string()).join("new/estimates.json");
    let estimates: serde_json::Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    estimates["median"]["point_estimate"].as_f64()
}
