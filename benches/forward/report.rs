//! The tables: medians over the rounds, and of each round's ratios, since what disturbs a round disturbs all who are in it.

use benches::bars::{CONNECTIONS, FORWARD, Verdict};

use crate::{
    contender::{Sample, Who},
    work::Work,
};

/// What each took, if it took part.
type Round = Vec<Option<Sample>>;

pub(crate) struct Report {
    who: Vec<Who>,
    works: Vec<(Work, Vec<Round>)>,
}

impl Report {
    pub(crate) fn new(who: Vec<Who>, works: &[Work]) -> Self {
        Self { who, works: works.iter().map(|work| (*work, Vec::new())).collect() }
    }

    pub(crate) fn add(&mut self, work: Work, round: Round) {
        self.works
            .iter_mut()
            .filter(|(known, _)| *known == work)
            .for_each(|(_, rounds)| rounds.push(round.clone()));
    }

    /// Prints the tables and tells whether every bar held.
    pub(crate) fn print(&self) -> bool {
        for (work, rounds) in &self.works {
            let (title, rate, cost) = match work {
                Work::Download { streams, .. } => {
                    (format!("download, streams: {streams}"), "GiB/s", "CPU s/GiB")
                }
                Work::Upload { streams, .. } => (format!("upload, streams: {streams}"), "GiB/s", "CPU s/GiB"),
                Work::Connections { at_once, .. } => {
                    (format!("connections, at once: {at_once}"), "per s", "CPU µs")
                }
            };
            println!("\n{title:28} {rate:>9} {:>7} {cost:>11} {:>7}", "× raw", "× raw");
            for (at, who) in self.who.iter().enumerate().filter(|(_, who)| who.does(*work)) {
                println!(
                    "{:28} {:>9.2} {:>7.2} {:>11.3} {:>7.2}",
                    who.name(),
                    median(rounds, |round| work.rate(round[at])),
                    median(rounds, |round| Some(work.rate(round[at])? / work.rate(round[0])?)),
                    median(rounds, |round| work.cost(round[at])),
                    median(rounds, |round| Some(work.cost(round[at])? / work.cost(round[0])?)),
                );
            }
        }
        println!();
        let held: Vec<_> = self.works.iter().map(|(work, rounds)| self.judge(*work, rounds)).collect();
        held.into_iter().all(|held| held)
    }

    /// Process beside process: the command with kubectl, and with the others what runs as they do.
    fn judge(&self, work: Work, rounds: &[Round]) -> bool {
        let bars: &[_] = match work {
            Work::Download { streams: 1, .. } | Work::Upload { streams: 1, .. } => {
                &[(Who::Listen, Who::Raw, FORWARD.0), (Who::KubectlChannel, Who::Kubectl, FORWARD.1)]
            }
            Work::Connections { .. } => &[
                (Who::Listen, Who::Kube, CONNECTIONS.0),
                (Who::Connect, Who::KubeApi, CONNECTIONS.0),
                (Who::ListenTls, Who::KubeTls, CONNECTIONS.0),
                (Who::ConnectTls, Who::KubeApiTls, CONNECTIONS.0),
                (Who::KubectlChannel, Who::Kubectl, CONNECTIONS.1),
            ],
            Work::Download { .. } | Work::Upload { .. } => return true,
        };
        let mut held = true;
        for &(one, other, bar) in bars {
            let Some((first, second)) = self.place(one).zip(self.place(other)) else {
                println!("SKIPPED: {work}: {} beside {}", one.name(), other.name());
                continue;
            };
            let (verdict, value, what) = if let Work::Connections { .. } = work {
                let value =
                    median(rounds, |round| Some(work.rate(round[first])? / work.rate(round[second])?));
                (Verdict::at_least(value, bar), value, "rate")
            } else {
                let value =
                    median(rounds, |round| Some(work.cost(round[first])? / work.cost(round[second])?));
                (Verdict::at_most(value, bar), value, "CPU")
            };
            held &= verdict == Verdict::Pass;
            let what = format!("{work}: {what} of {} beside {}", one.name(), other.name());
            println!("{what:75} {value:>6.2} × (bar: {bar}): {verdict}");
        }
        held
    }

    fn place(&self, who: Who) -> Option<usize> {
        self.who.iter().position(|there| *there == who)
    }
}

impl Work {
    /// GiB, or connections, in a second.
    fn rate(self, sample: Option<Sample>) -> Option<f64> {
        Some(self.amount() / sample?.time.as_secs_f64())
    }

    /// Seconds of CPU for each GiB, or microseconds for each connection.
    fn cost(self, sample: Option<Sample>) -> Option<f64> {
        let unit = if let Self::Connections { .. } = self { 1e6 } else { 1.0 };
        Some(sample?.cpu.as_secs_f64() * unit / self.amount())
    }

    fn amount(self) -> f64 {
        match self {
            Self::Download { bytes, .. } | Self::Upload { bytes, .. } => bytes as f64 / f64::from(1 << 30),
            Self::Connections { count, .. } => count as f64,
        }
    }
}

fn median(rounds: &[Round], of: impl Fn(&Round) -> Option<f64>) -> f64 {
    let mut values: Vec<f64> = rounds.iter().filter_map(of).collect();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
