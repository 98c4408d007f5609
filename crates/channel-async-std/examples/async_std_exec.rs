//! Runs a command in a pod: `cargo run -p channel-async-std --example async_std_exec -- http://127.0.0.1:8001 default web-0 uname -a`, with `kubectl proxy`
//! in front of the cluster.

use std::{env, error::Error, io::Write, process::ExitCode};

use channel_async_std::{Client, Endpoint, Outcome};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(url), Some(namespace), Some(pod)) = (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("usage: async_std_exec URL NAMESPACE POD COMMAND…".into());
    };
    let client = Client::new(Endpoint::new(&url)?);
    let output = async_std::task::block_on(client.exec(namespace, pod).command(arguments).output())?;
    std::io::stdout().write_all(&output.stdout)?;
    std::io::stderr().write_all(&output.stderr)?;
    match output.outcome {
        Outcome::Exited(code) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))),
        other => Err(other.to_string().into()),
    }
}
