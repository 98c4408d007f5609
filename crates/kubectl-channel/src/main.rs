//! `kubectl channel`: exec, attach, port-forward and cp with the pods of a cluster, and a pod to try them on.
//!
//! Only the command line is here. The protocol is `channel-proto`, and what drives it `channel-tokio`.

mod cli;
mod cp;
mod endpoint;
mod exec;
mod exit;
mod log;
mod plan;
mod port_forward;
mod resource;
mod serve;
mod signals;
mod streams;
mod target;
mod terminal;
mod tls;

use std::{
    future::Future,
    time::{Duration, Instant},
};

use clap::Parser;
use tokio::runtime::{Builder, Runtime};

use crate::{
    cli::{Cli, Command},
    exit::{Exit, Failure},
};

/// An embedded pod gives its processes two seconds to end before it kills them, and this is a bit more.
const WIND_DOWN: Duration = Duration::from_secs(3);

fn main() {
    terminal::restore_on_panic();
    let cli = Cli::parse();
    log::start(cli.verbose);
    let exit = match cli.command {
        Command::Exec(flags) if flags.embedded => run(Builder::new_multi_thread(), exec::exec(flags)),
        Command::Exec(flags) => run(Builder::new_current_thread(), exec::exec(flags)),
        Command::Attach(flags) => run(Builder::new_current_thread(), exec::attach(flags)),
        Command::PortForward(flags) => run(Builder::new_multi_thread(), port_forward::port_forward(flags)),
        Command::Cp(flags) => run(Builder::new_multi_thread(), cp::cp(flags)),
        Command::Serve(flags) => run(Builder::new_multi_thread(), serve::serve(flags)),
    };
    terminal::restore();
    exit.now()
}

fn run(mut runtime: Builder, command: impl Future<Output = Result<Exit, Failure>>) -> Exit {
    match runtime.enable_all().build() {
        Ok(runtime) => {
            let result = runtime.block_on(command);
            let exit = result.unwrap_or_else(|failure| {
                terminal::restore();
                failure.report()
            });
            wind_down(runtime);
            exit
        }
        Err(error) => Failure::local(format!("cannot start: {error}")).report(),
    }
}

/// Lets an embedded pod end its processes. Nothing here may hang: a stuck write to stdout is left to itself.
fn wind_down(runtime: Runtime) {
    let end = Instant::now() + WIND_DOWN;
    let tasks = runtime.metrics();
    runtime.block_on(async {
        while tasks.num_alive_tasks() > 0 && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    runtime.shutdown_background();
}
