//! What was done to each port, and whether what is heard of it comes from that.

use crate::{
    forward::{ForwardError, ForwardEvent},
    fuzz::forward_end::{Stream, Who, bytes},
};

pub(super) struct Ledger {
    pub(super) ports: Vec<Port>,
    /// Bytes that the client keeps for ports that nobody connected to.
    unread: usize,
    /// Bytes of a text that a server sends.
    longest_text: usize,
    client_left: bool,
    server_left: bool,
}

#[derive(Default)]
pub(super) struct Port {
    number: u16,
    up: Stream,
    down: Stream,
    pub(super) taken: Taken,
    /// Whether the application of the server has it.
    pub(super) is_served: bool,
    done: Done,
    heard: Heard,
    /// Whether the server heard that the client is gone.
    server_heard: bool,
    client_waits: bool,
    server_waits: bool,
}

/// Whether the client's application has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Taken {
    #[default]
    Free,
    Held,
    Forgotten,
}

/// What the server did to it.
#[derive(Debug, Default, PartialEq, Eq)]
enum Done {
    #[default]
    Nothing,
    Finished,
    Failed(String),
}

/// How it ended for the client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Heard {
    #[default]
    Nothing,
    End,
    Failed,
}

impl Port {
    fn has_failed(&self) -> bool {
        matches!(self.done, Done::Failed(_))
    }
}

impl Ledger {
    pub(super) fn new(ports: &[u16], unread: usize, longest_text: usize) -> Self {
        let ports = ports.iter().map(|number| Port { number: *number, ..Port::default() }).collect();
        Self { ports, unread, longest_text, client_left: false, server_left: false }
    }

    /// The number of a port, and the first of that number that the client has not connected to.
    pub(super) fn first_free(&self, nth: usize) -> (u16, Option<usize>) {
        let number = self.ports[nth % self.ports.len()].number;
        let is_free = |port: &Port| port.number == number && port.taken == Taken::Free;
        (number, self.ports.iter().position(is_free))
    }

    /// One of those that an application has.
    pub(super) fn pick(&self, who: Who, nth: usize) -> Option<usize> {
        let has = |port: &Port| match who {
            Who::Client => port.taken == Taken::Held,
            Who::Server => port.is_served,
        };
        let held: Vec<usize> = (0..self.ports.len()).filter(|at| has(&self.ports[*at])).collect();
        held.get(nth % held.len().max(1)).copied()
    }

    /// The next `len` bytes that `who` sends to a port or from it.
    pub(super) fn next(&mut self, who: Who, at: usize, len: u16) -> &'static [u8] {
        let from = self.stream(who, at).sent;
        bytes(2 * at + who as usize, from, len.into())
    }

    pub(super) fn sent(&mut self, who: Who, at: usize, len: usize) {
        self.stream(who, at).sent += len;
    }

    fn stream(&mut self, who: Who, at: usize) -> &mut Stream {
        match who {
            Who::Client => &mut self.ports[at].up,
            Who::Server => &mut self.ports[at].down,
        }
    }

    /// Whether `who` waits for room.
    pub(super) fn blocked(&mut self, who: Who, at: usize) -> &mut bool {
        match who {
            Who::Client => &mut self.ports[at].client_waits,
            Who::Server => &mut self.ports[at].server_waits,
        }
    }

    /// Whether `who` may hear this when it writes to a port that it has, or ends it.
    pub(super) fn may_refuse(&self, who: Who, at: usize, error: ForwardError) -> bool {
        let port = &self.ports[at];
        match (who, error) {
            // It may be over before its application hears of it.
            (Who::Client, ForwardError::Gone) => port.has_failed() || self.has_left(Who::Server),
            (Who::Server, ForwardError::Gone) => port.has_failed() || self.has_left(Who::Client),
            (Who::Server, ForwardError::Finished) => port.done == Done::Finished,
            _ => false,
        }
    }

    pub(super) fn finished(&mut self, at: usize) {
        let done = &mut self.ports[at].done;
        if *done == Done::Nothing {
            *done = Done::Finished;
        }
    }

    pub(super) fn failed(&mut self, at: usize, why: &str) {
        let done = &mut self.ports[at].done;
        if *done == Done::Nothing {
            *done = Done::Failed(why[..why.len().min(self.longest_text)].to_owned());
        }
    }

    /// The application of one end is done with a port, which a server cannot leave without a word unless the forward is over.
    pub(super) fn forgot(&mut self, who: Who, at: usize, closing: bool) {
        match who {
            Who::Client => self.ports[at].taken = Taken::Forgotten,
            Who::Server => {
                self.ports[at].is_served = false;
                if !closing {
                    self.failed(at, "the connection was broken off");
                }
            }
        }
    }

    pub(super) fn left(&mut self, who: Who) {
        match who {
            Who::Client => self.client_left = true,
            Who::Server => self.server_left = true,
        }
    }

    /// Whether an end closes the forward: because it wants to, or because nothing can happen any more.
    fn has_left(&self, who: Who) -> bool {
        match who {
            Who::Client => self.client_left || self.ports.iter().all(|port| port.taken == Taken::Forgotten),
            Who::Server => self.server_left || self.ports.iter().all(|port| port.done != Done::Nothing),
        }
    }

    /// Whether the client may read nothing before somebody connects.
    pub(super) fn may_hold_up(&self) -> bool {
        let free = self.ports.iter().filter(|port| port.taken == Taken::Free);
        free.map(|port| port.down.sent).sum::<usize>() > self.unread
    }

    pub(super) fn hears(&mut self, who: Who, event: ForwardEvent) {
        let Some(id) = event.connection() else {
            return assert!(matches!(event, ForwardEvent::Ended(_)), "{event:?}");
        };
        let at = id.index();
        let other_left = match who {
            Who::Client => self.has_left(Who::Server),
            Who::Server => self.has_left(Who::Client),
        };
        let port = &mut self.ports[at];
        let failed = port.has_failed();
        let (held, over, stream) = match who {
            Who::Client => (port.taken == Taken::Held, port.heard != Heard::Nothing, &mut port.down),
            // What came before it failed may still be told.
            Who::Server => (port.is_served, port.server_heard, &mut port.up),
        };
        assert!((held && !over) || matches!(event, ForwardEvent::Connect(..)), "{event:?} of nobody");
        match (who, event) {
            (Who::Server, ForwardEvent::Connect(_, number)) => {
                assert!(number == port.number && !port.is_served && port.done == Done::Nothing);
                port.is_served = true;
            }
            (_, ForwardEvent::Data(_, data)) => {
                assert!(!data.is_empty());
                let sent = bytes(2 * at + 1 - who as usize, stream.received, data.len());
                assert!(sent == data, "not as sent");
                stream.received += data.len();
                assert!(stream.received <= stream.sent, "more than was sent");
            }
            (Who::Client, ForwardEvent::Failed(_, text)) => {
                assert_eq!(port.done, Done::Failed(text));
                assert_eq!(stream.received, stream.sent, "a failure before what came before it");
                port.heard = Heard::Failed;
            }
            (_, ForwardEvent::End(_)) => {
                assert!(other_left && !failed);
                assert_eq!(stream.received, stream.sent, "an end before the end");
                match who {
                    Who::Client => port.heard = Heard::End,
                    Who::Server => port.server_heard = true,
                }
            }
            (_, ForwardEvent::Writable(_)) => {
                assert!(std::mem::replace(self.blocked(who, at), false), "it did not wait");
            }
            (_, event) => panic!("{event:?}"),
        }
    }

    /// While both ends are open, everybody reads and nothing is on its way.
    pub(super) fn assert_all_arrived(&self) {
        let held_up = self.may_hold_up();
        for port in &self.ports {
            assert!(port.is_served || port.done != Done::Nothing, "the server was not told");
            if !port.has_failed() {
                assert!(!port.is_served || port.up.received == port.up.sent, "lost");
                assert!(port.taken != Taken::Held || !port.client_waits, "it waits for ever");
            }
            if port.taken == Taken::Held && !held_up {
                assert_eq!(port.down.received, port.down.sent, "lost");
                assert_eq!(port.heard == Heard::Failed, port.has_failed(), "it was not told");
            }
            if port.done == Done::Nothing && !held_up {
                assert!(!port.server_waits, "it waits for ever");
            }
        }
    }

    /// Once the server ended every port, to a client that was there.
    pub(super) fn assert_all_ended(&self) {
        for port in self.ports.iter().filter(|port| port.taken == Taken::Held) {
            let ended = if port.has_failed() { Heard::Failed } else { Heard::End };
            assert_eq!((port.heard, port.down.received), (ended, port.down.sent));
        }
    }
}
