//! The table: medians over the rounds, and of each round's ratios, since what disturbs a round disturbs all who are in it.

use benches::bars::{DOWNLOAD, ROUND_TRIP, RUNTIME, TLS_DOWNLOAD, UPLOAD, Verdict};

use crate::{
    CONTENDERS,
    work::{Run, Work},
};

const RAW: usize = 0;
const KUBE: usize = 2;
const OURS: usize = 3;
const ON_SMOL: usize = 4;
const ON_ASYNC_STD: usize = 5;
const RAW_TLS: usize = 6;
const OURS_TLS: usize = 8;

/// What one run came to.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// GiB a second.
    speed: f64,
    /// Seconds of CPU for each GiB, or seconds for the median round trip: what ratios are of.
    cost: f64,
    /// Seconds of CPU for each GiB on the other side, or seconds for the round trip of which one in a hundred is slower.
    beside: f64,
}

impl Sample {
    pub(crate) fn of(work: Work, mut run: Run) -> Self {
        match work {
            Work::Download(bytes) | Work::Upload(bytes) => {
                let gibibytes = bytes as f64 / f64::from(1 << 30);
                Self {
                    speed: gibibytes / run.time.as_secs_f64(),
                    cost: run.client_cpu.as_secs_f64() / gibibytes,
                    beside: run.server_cpu.as_secs_f64() / gibibytes,
                }
            }
            Work::RoundTrips(_) => {
                run.round_trips.sort_unstable();
                let at =
                    |percent: usize| run.round_trips[run.round_trips.len() * percent / 100].as_secs_f64();
                Self { speed: 0.0, cost: at(50), beside: at(99) }
            }
        }
    }
}

type Round = [Sample; CONTENDERS.len()];

#[derive(Default)]
pub(crate) struct Report {
    download: Vec<Round>,
    upload: Vec<Round>,
    round_trips: Vec<Round>,
}

impl Report {
    pub(crate) fn add(&mut self, work: Work, round: Round) {
        match work {
            Work::Download(_) => self.download.push(round),
            Work::Upload(_) => self.upload.push(round),
            Work::RoundTrips(_) => self.round_trips.push(round),
        }
    }

    /// Prints the table and tells whether every bar held.
    pub(crate) fn print(&self) -> bool {
        println!("{:18} | {:^35} | {:^35} | {:^28}", "", "download", "upload", "round trip of 64 bytes");
        let flow = format!("{:>6} {:>11} {:>5} {:>10}", "GiB/s", "CPU s/GiB", "×raw", "server's");
        println!("{:18} | {flow} | {flow} | {:>10} {:>5} {:>11}", "", "median µs", "×raw", "p99 µs");
        for (at, name) in CONTENDERS.iter().enumerate() {
            let [down, up, trip] = [&self.download, &self.upload, &self.round_trips].map(|rounds| Row {
                sample: Sample {
                    speed: median(rounds, |round| round[at].speed),
                    cost: median(rounds, |round| round[at].cost),
                    beside: median(rounds, |round| round[at].beside),
                },
                ratio: ratio(rounds, at, RAW),
            });
            let microseconds = |seconds| seconds * 1e6;
            println!(
                "{name:18} | {} | {} | {:>10.1} {:>5.2} {:>11.1}",
                down.flow(),
                up.flow(),
                microseconds(trip.sample.cost),
                trip.ratio,
                microseconds(trip.sample.beside),
            );
        }
        println!();
        let mut held = true;
        for (what, value, bar) in [
            ("download, CPU of raw", ratio(&self.download, OURS, RAW), DOWNLOAD.0),
            ("download, CPU of kube", ratio(&self.download, OURS, KUBE), DOWNLOAD.1),
            ("upload, CPU of raw", ratio(&self.upload, OURS, RAW), UPLOAD.0),
            ("upload, CPU of kube", ratio(&self.upload, OURS, KUBE), UPLOAD.1),
            ("TLS download, CPU of raw", ratio(&self.download, OURS_TLS, RAW_TLS), TLS_DOWNLOAD),
            ("round trip, time of raw", ratio(&self.round_trips, OURS, RAW), ROUND_TRIP),
            ("smol's download, of tokio's", ratio(&self.download, ON_SMOL, OURS), RUNTIME),
            ("smol's upload, of tokio's", ratio(&self.upload, ON_SMOL, OURS), RUNTIME),
            ("async-std's download", ratio(&self.download, ON_ASYNC_STD, OURS), RUNTIME),
            ("async-std's upload", ratio(&self.upload, ON_ASYNC_STD, OURS), RUNTIME),
        ] {
            let verdict = Verdict::at_most(value, bar);
            held &= verdict == Verdict::Pass;
            println!("{what:27} {value:>6.3} × (bar: {bar}): {verdict}");
        }
        held
    }
}

struct Row {
    sample: Sample,
    ratio: f64,
}

impl Row {
    fn flow(&self) -> String {
        let Sample { speed, cost, beside } = self.sample;
        format!("{speed:>6.2} {cost:>11.3} {:>5.2} {beside:>10.3}", self.ratio)
    }
}

fn ratio(rounds: &[Round], one: usize, other: usize) -> f64 {
    median(rounds, |round| round[one].cost / round[other].cost)
}

fn median(rounds: &[Round], of: impl Fn(&Round) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(of).collect();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
