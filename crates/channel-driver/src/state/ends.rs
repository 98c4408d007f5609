//! What those who read and write a stream are told once it has ended.

use std::io;

use channel_proto::WriteError;

use super::State;
use crate::machine::Machine;

impl<M: Machine> State<M> {
    /// How reading a stream ends, if it has.
    pub(crate) fn read_end(&mut self, index: usize) -> Option<io::Result<()>> {
        if let Some(end) = self.inbound.end_of(index) {
            return Some(end);
        }
        Some(match self.ended.as_ref()? {
            Err(error) => Err(error.clone().into()),
            Ok(ended) => self.machine.read_end(index, ended),
        })
    }

    /// Whether all that was written was given to the socket, nothing being pending. That the session ended since then is no failure of that.
    pub(crate) fn check_flushed(&mut self, index: usize) -> io::Result<()> {
        self.inbound.failure_of(index)?;
        let lost = self.socket.is_broken() || self.has_unsent();
        match &self.ended {
            Some(Err(error)) => Err(error.clone().into()),
            _ if lost => Err(broken(WriteError::Ended)),
            _ => Ok(()),
        }
    }

    pub(crate) fn check_writable(&self, index: usize) -> io::Result<()> {
        self.inbound.failure_of(index)?;
        match &self.ended {
            Some(Err(error)) => Err(error.clone().into()),
            Some(Ok(_)) => Err(broken(WriteError::Ended)),
            None if self.socket.is_broken() => Err(broken(WriteError::Ended)),
            None => Ok(()),
        }
    }
}

pub(crate) fn broken(error: WriteError) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, error)
}
