//! Connections that a peer asks for.

use super::State;
use crate::machine::Machine;

/// What a peer is told that asks for a connection when nobody takes them any more.
const NOBODY_CONNECTS: &str = "no more connections are taken";

impl<M: Machine> State<M> {
    pub(super) fn asked_to_connect(&mut self, index: usize, port: u16) {
        match &mut self.connects {
            Some(connects) => {
                connects.push_back((index, port));
                self.interest.wake_watchers();
            }
            None => self.machine.refuse(index, NOBODY_CONNECTS),
        }
    }

    /// The next connection that the peer asks for, with its port.
    pub(crate) fn take_connect(&mut self) -> Option<(usize, u16)> {
        self.connects.as_mut()?.pop_front()
    }

    /// Nobody takes connections any more: those that wait are refused, and so is what comes.
    pub(crate) fn stop_connects(&mut self) {
        for (index, _) in self.connects.take().into_iter().flatten() {
            self.machine.refuse(index, NOBODY_CONNECTS);
        }
    }
}
