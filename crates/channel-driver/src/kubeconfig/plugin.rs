//! Credential plugins: programs that print a token or a certificate.
//!
//! A plugin is run by `std::process` on a thread of the `blocking` pool, which is there for any runtime. However many sessions start at once, it runs
//! once: whoever comes first starts it, everybody waits for that run, and it goes on when they no longer do.

use std::{
    collections::HashMap,
    error, fmt,
    io::{self, IsTerminal, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use blocking::Task;
use kube_client::config::{Cluster, ExecAuthCluster, ExecConfig, ExecInteractiveMode};

use super::exec_credential::{self, Credential, Info};
use crate::{AfterRejection, Credentials, Error, Identity, IdentityFuture};

/// No plugin prints more than this.
const LONGEST_ANSWER: u64 = 1 << 20;

/// Why a plugin gave no credentials.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PluginError {
    /// The user of the kubeconfig.
    pub user: String,
    /// The program.
    pub command: String,
    /// What went wrong.
    pub problem: PluginProblem,
    /// What the kubeconfig says to do where there is no such program.
    pub install_hint: Option<String>,
}

/// What can go wrong with a plugin. Nothing that it printed is in here.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum PluginProblem {
    /// It cannot be run.
    Start(Arc<io::Error>),
    /// It failed. What it says about that it says on stderr.
    Failed(ExitStatus),
    /// What it prints is nothing that can be used.
    Answer(&'static str),
    /// It wants to ask somebody, and there is no terminal.
    NoTerminal,
}

impl fmt::Display for PluginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, command, problem, install_hint } = self;
        write!(f, "the user {user:?}: the plugin {command:?} ")?;
        match problem {
            PluginProblem::Start(error) => {
                write!(f, "cannot be run: {error}")?;
                match install_hint {
                    Some(hint) if error.kind() == io::ErrorKind::NotFound => write!(f, "\n{hint}"),
                    _ => Ok(()),
                }
            }
            PluginProblem::Failed(status) => write!(f, "failed: {status}"),
            PluginProblem::Answer(why) => write!(f, "does not answer as it should: {why}"),
            PluginProblem::NoTerminal => {
                f.write_str("wants to ask somebody, and there is no terminal on stdin")
            }
        }
    }
}

impl error::Error for PluginError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match &self.problem {
            PluginProblem::Start(error) => Some(error),
            _ => None,
        }
    }
}

/// A plugin as a source of credentials.
pub(super) struct Plugin {
    spec: Arc<PluginSpec>,
    /// What is good until it expires or is rejected.
    good: Mutex<Option<Credential>>,
    flight: async_lock::Mutex<Flight>,
    /// How many runs have come to their end.
    runs: AtomicU64,
}

/// The one run of a plugin.
#[derive(Default)]
struct Flight {
    /// It is kept here and not by who waits for it, so that the next one in line goes on with it.
    running: Option<Task<Result<Credential, PluginProblem>>>,
    /// Why the last one failed: the answer for everybody who asked before it did.
    failed: Option<PluginProblem>,
}

impl Plugin {
    pub(super) fn new(user: &str, exec: &ExecConfig, cluster: &Cluster) -> Result<Self, Error> {
        let spec = Arc::new(PluginSpec::new(user, exec, cluster)?);
        Ok(Self {
            spec,
            good: Mutex::default(),
            flight: async_lock::Mutex::default(),
            runs: AtomicU64::new(0),
        })
    }

    fn good(&self) -> Option<Identity> {
        let good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        let good = good.as_ref()?;
        let is_good = good.expires.is_none_or(|expires| SystemTime::now() < expires);
        is_good.then(|| good.identity.clone())
    }

    async fn ask(&self) -> Result<Identity, PluginProblem> {
        if let Some(identity) = self.good() {
            return Ok(identity);
        }
        let asked_after = self.runs.load(Ordering::Acquire);
        let mut flight = self.flight.lock().await;
        if let Some(identity) = self.good() {
            return Ok(identity);
        }
        if let Some(problem) = &flight.failed
            && self.runs.load(Ordering::Acquire) > asked_after
        {
            return Err(problem.clone());
        }
        let spec = self.spec.clone();
        let result = flight.running.get_or_insert_with(|| blocking::unblock(move || spec.run())).await;
        flight.running = None;
        // Never 0, which is what an identity has that no plugin gave.
        let run = self.runs.fetch_add(1, Ordering::AcqRel) + 1;
        flight.failed = result.as_ref().err().cloned();
        let mut credential = result?;
        credential.identity.run = run;
        let identity = credential.identity.clone();
        *self.good.lock().unwrap_or_else(PoisonError::into_inner) = Some(credential);
        Ok(identity)
    }
}

impl Credentials for Plugin {
    fn identity(&self) -> IdentityFuture<'_> {
        Box::pin(async move {
            let identity = self.ask().await;
            identity.map_err(|problem| {
                let PluginSpec { user, command, install_hint, .. } = &*self.spec;
                let (user, command, install_hint) = (user.clone(), command.clone(), install_hint.clone());
                PluginError { user, command, problem, install_hint }.into()
            })
        })
    }

    fn rejected(&self, identity: &Identity) -> AfterRejection {
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        // What another session has asked for since is not what was rejected.
        good.take_if(|good| good.identity.run == identity.run);
        AfterRejection::AskAgain
    }
}

/// How a plugin is run.
struct PluginSpec {
    user: String,
    command: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    version: &'static str,
    interaction: ExecInteractiveMode,
    cluster: Option<ExecAuthCluster>,
    install_hint: Option<String>,
}

impl PluginSpec {
    fn new(user: &str, exec: &ExecConfig, cluster: &Cluster) -> Result<Self, Error> {
        let wrong = |why: &str| Error::Usage(format!("the plugin of the user {user:?} {why}"));
        let command = exec.command.clone().filter(|command| !command.is_empty());
        let command = command.ok_or_else(|| wrong("has no command"))?;
        let version = exec_credential::version(exec.api_version.as_deref());
        let version = version.ok_or_else(|| wrong("is of a version (apiVersion) that is not spoken here"))?;
        let cluster = match exec.provide_cluster_info {
            true => Some(ExecAuthCluster::try_from(cluster).map_err(|_| {
                wrong("is to be told of the cluster, whose certificate authority cannot be read")
            })?),
            false => None,
        };
        let variable = |entry: &HashMap<String, String>| {
            Some((entry.get("name")?.clone(), entry.get("value").cloned().unwrap_or_default()))
        };
        Ok(Self {
            user: user.to_owned(),
            command,
            arguments: exec.args.clone().unwrap_or_default(),
            environment: exec.env.iter().flatten().filter_map(variable).collect(),
            version,
            interaction: exec.interactive_mode.clone().unwrap_or(ExecInteractiveMode::IfAvailable),
            cluster,
            install_hint: exec.install_hint.clone(),
        })
    }

    /// Runs it to its end.
    fn run(&self) -> Result<Credential, PluginProblem> {
        let terminal = io::stdin().is_terminal();
        let interactive = match self.interaction {
            ExecInteractiveMode::Never => false,
            ExecInteractiveMode::IfAvailable => terminal,
            ExecInteractiveMode::Always if terminal => true,
            ExecInteractiveMode::Always => return Err(PluginProblem::NoTerminal),
        };
        let info = Info::new(self.version, interactive, self.cluster.as_ref());
        let info = serde_json::to_string(&info).map_err(|error| start(error.into()))?;
        let mut command = Command::new(&self.command);
        command.args(&self.arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.env("KUBERNETES_EXEC_INFO", info);
        command.stdin(if interactive { Stdio::inherit() } else { Stdio::null() });
        // Where to go and which code to type there is for people to read, and not for us to keep.
        command.stderr(Stdio::inherit()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(start)?;
        let answer = read_answer(&mut child);
        if !matches!(&answer, Ok(answer) if answer.len() as u64 <= LONGEST_ANSWER) {
            // It may have gone already.
            let _ = child.kill();
        }
        let status = child.wait().map_err(start)?;
        let answer = answer.map_err(start)?;
        if answer.len() as u64 > LONGEST_ANSWER {
            return Err(PluginProblem::Answer("it is endless"));
        }
        if !status.success() {
            return Err(PluginProblem::Failed(status));
        }
        Credential::read(&answer, self.version)
    }
}

fn start(error: io::Error) -> PluginProblem {
    PluginProblem::Start(Arc::new(error))
}

fn read_answer(child: &mut Child) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(LONGEST_ANSWER + 1).read_to_end(&mut answer)?;
    }
    Ok(answer)
}
