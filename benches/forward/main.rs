//! Port-forward from end to end on loopback: bytes down and up on one stream and on a hundred, and connections that come and go, beside a
//! raw TCP proxy, kubectl and kube. Each forwards in a process of its own, whose CPU is told; all are there at once and work in turns.

#![expect(clippy::print_stdout, reason = "a report")]

mod contender;
mod kube_rs;
mod kubectl;
mod ours;
mod process;
mod proxy;
mod report;
mod server;
mod work;

use std::{env, io, process::ExitCode};

use benches::machine;
use contender::{Contender, Who};
use report::Report;
use server::{Access, Server};
use work::Work;

fn main() -> io::Result<ExitCode> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    if let [flag, who, access @ ..] = &arguments[..]
        && flag == process::FORWARD
    {
        let who = Who::from_name(who).ok_or(io::ErrorKind::InvalidInput)?;
        return runtime()?.block_on(forward(who, Access::parse(access)?)).map(|()| ExitCode::SUCCESS);
    }
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let (rounds, bytes, connections) = if quick { (3, 64 << 20, 200) } else { (7, 256 << 20, 1000) };
    let mut works = vec![
        Work::Download { streams: 1, bytes },
        Work::Upload { streams: 1, bytes },
        Work::Download { streams: 100, bytes },
        Work::Upload { streams: 100, bytes },
        Work::Connections { at_once: 1, count: connections },
        Work::Connections { at_once: 16, count: 2 * connections },
    ];
    // As criterion does it: a word picks the works that have it in their names.
    for word in arguments.iter().filter(|argument| !argument.starts_with("--")) {
        works.retain(|work| work.to_string().contains(word.as_str()));
    }
    println!("{}\n", machine::describe());
    rlimit::increase_nofile_limit(u64::MAX)?;

    let server = server::start()?;
    let mut contenders = start(&server)?;
    for contender in &mut contenders {
        // Whatever is made once is not measured.
        contender.measure(Work::Connections { at_once: 1, count: 5 })?;
    }
    let mut report = Report::new(contenders.iter().map(|contender| contender.who).collect(), &works);
    for _ in 0..rounds {
        for &work in &works {
            let round = contenders.iter_mut().map(|contender| contender.measure(work));
            report.add(work, round.collect::<io::Result<_>>()?);
        }
    }
    println!("{rounds} rounds of {} MiB each way and {connections} connections, medians", bytes >> 20);
    let held = report.print();
    Ok(if held || quick { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All of them, but for kubectl if there is none to be had.
fn start(server: &Server) -> io::Result<Vec<Contender>> {
    let access = &server.access;
    let kubectl = kubectl::install();
    if let Err(why) = &kubectl {
        println!("SKIPPED: kubectl cannot be installed, and nothing is compared with it: {why}\n");
    }
    let started = Who::ALL.into_iter().filter_map(|who| match (who, &kubectl) {
        (Who::Kubectl, Err(_)) => None,
        (Who::Kubectl, Ok(path)) => Some(kubectl::start(path, access)),
        (Who::KubectlChannel, _) => Some(kubectl::start_ours(access)),
        (who, _) if who.is_over_tls() => Some(Contender::start_here(who, &server.over_tls)),
        (who, _) => Some(Contender::start_here(who, access)),
    });
    started.collect()
}

/// What a process does that forwards.
async fn forward(who: Who, access: Access) -> io::Result<()> {
    match who {
        Who::Raw => proxy::run(access).await,
        Who::Kube | Who::KubeTls => kube_rs::listen(access).await,
        Who::KubeApi | Who::KubeApiTls => kube_rs::connect(access).await,
        Who::Listen | Who::ListenTls => ours::listen(access).await,
        Who::Connect | Who::ConnectTls => ours::connect(access).await,
        Who::Kubectl | Who::KubectlChannel => Err(io::ErrorKind::InvalidInput.into()),
    }
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
