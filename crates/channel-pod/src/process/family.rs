//! All processes that descend from a command, as far as they can be told from others.

use std::io;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

/// The processes of one command, by the id of their leader.
///
/// A process that starts a session of its own (a daemon) leaves the family, as it leaves a shell's.
///
/// An id stays taken as long as one process has it as its own, its group's or its session's, and the system
/// hands ids out in turn. So signalling is safe while the leader has not been waited for, and for a short
/// time after the family was last seen alive.
#[derive(Debug, Clone, Copy)]
pub(super) enum Family {
    /// A process group: a command on pipes.
    Group(Pid),
    /// A session, with the groups that an interactive shell makes of its jobs: a command on a terminal.
    Session(Pid),
}

impl Family {
    /// Signals every member.
    pub(super) fn signal(self, signal: Signal) {
        for group in self.groups() {
            // Gone meanwhile, or another user's (sudo): nothing that could be done about either.
            let _ = kill_process_group(group, signal);
        }
    }

    /// Whether anyone is left. Meant for after the leader was waited for: a group counts one that has ended,
    /// too.
    pub(super) fn is_alive(self) -> bool {
        match self {
            Self::Group(leader) => test_kill_process_group(leader).is_ok(),
            Self::Session(_) => !self.groups().is_empty(),
        }
    }

    fn groups(self) -> Vec<Pid> {
        match self {
            Self::Group(leader) => vec![leader],
            // Without a process table to look in, the leader's group is all that is known.
            Self::Session(leader) => groups_of_session(leader).unwrap_or_else(|_| vec![leader]),
        }
    }
}

/// The groups of a session that have a living member, each once.
#[cfg(target_os = "linux")]
fn groups_of_session(session: Pid) -> io::Result<Vec<Pid>> {
    let mut groups = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(member) =
            std::fs::read_to_string(entry.path().join("stat")).ok().and_then(|stat| Member::parse(&stat))
        else {
            continue;
        };
        if member.session == session && !groups.contains(&member.group) {
            groups.push(member.group);
        }
    }
    Ok(groups)
}

#[cfg(not(target_os = "linux"))]
fn groups_of_session(_: Pid) -> io::Result<Vec<Pid>> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
struct Member {
    group: Pid,
    session: Pid,
}

#[cfg(target_os = "linux")]
impl Member {
    /// Reads a line of `/proc/PID/stat`: `pid (name) state parent group session …`. The name may contain
    /// anything, parentheses too. Nothing for a process that has ended and waits to be waited for.
    fn parse(stat: &str) -> Option<Self> {
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_ascii_whitespace();
        if matches!(fields.next()?, "Z" | "X") {
            return None;
        }
        let mut id = || Pid::from_raw(fields.next()?.parse().ok()?);
        let (_parent, group, session) = (id(), id()?, id()?);
        Some(Self { group, session })
    }
}
