//! Both ends of a forward, and the link between them.

use std::time::Instant;

use arbitrary::Arbitrary;

use super::{
    forward_end::{End, Who, WireState},
    play::until_rest,
};
use crate::{forward::ForwardEvent, heartbeat::Reading};

#[derive(Debug, Clone, Copy, Arbitrary)]
pub(super) enum At {
    Client,
    Server,
}

impl At {
    pub(super) fn who(self) -> Who {
        match self {
            Self::Client => Who::Client,
            Self::Server => Who::Server,
        }
    }
}

/// Which of those that an end holds.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(super) struct Pick(pub(super) u8);

pub(super) struct Ends {
    pub(super) now: Instant,
    pub(super) client: End,
    pub(super) server: End,
}

impl Ends {
    pub(super) fn at(&mut self, who: Who) -> &mut End {
        match who {
            Who::Client => &mut self.client,
            Who::Server => &mut self.server,
        }
    }

    pub(super) fn set_reading(&mut self, who: Who, reading: Reading) {
        let now = self.now;
        self.at(who).set_reading(now, reading);
    }

    pub(super) fn is_closing(&mut self, who: Who) -> bool {
        let end = self.at(who);
        end.is_over() || end.forward.is_closing()
    }

    /// Whether all that is written arrives.
    pub(super) fn is_healthy(&self) -> bool {
        let reads = |end: &End| end.is_healthy() && end.reading == Reading::Active;
        reads(&self.client) && reads(&self.server)
    }

    /// Up to `count` bytes arrive at an end, and what it tells is heard.
    pub(super) fn receive(
        &mut self,
        who: Who,
        count: usize,
        mut hear: impl FnMut(Instant, Who, ForwardEvent),
    ) -> bool {
        let (end, from) = match who {
            Who::Client => (&mut self.client, &mut self.server.wire),
            Who::Server => (&mut self.server, &mut self.client.wire),
        };
        end.receive(self.now, from, count, |event| hear(self.now, who, event))
    }

    /// Lets everything through that wants through.
    pub(super) fn settle(&mut self, mut hear: impl FnMut(Instant, Who, ForwardEvent)) {
        until_rest(|| {
            let moved = [
                self.client.transmit(usize::MAX),
                self.server.transmit(usize::MAX),
                self.receive(Who::Client, usize::MAX, &mut hear),
                self.receive(Who::Server, usize::MAX, &mut hear),
            ];
            // What was taken without a word may have to be answered before more is taken.
            let answers = [&mut self.client, &mut self.server].map(|end| !end.forward.transmit().is_empty());
            moved != [false; 4] || answers != [false; 2]
        });
    }

    pub(super) fn sleep(&mut self, until: Instant) {
        self.now = until;
        self.client.tick(until);
        self.server.tick(until);
    }

    /// Once either has closed: who closed waits for the other, and who hears nothing gives up.
    pub(super) fn wait_for_the_end(&mut self, mut hear: impl FnMut(Instant, Who, ForwardEvent)) {
        for _ in 0..100 {
            if self.client.is_over() && self.server.is_over() {
                break;
            }
            let (client, server) = (self.client.forward.poll_timeout(), self.server.forward.poll_timeout());
            let until = [client, server].into_iter().flatten().min().expect("an end that waits for nothing");
            self.sleep(until.max(self.now));
            self.settle(&mut hear);
        }
        for end in [&self.client, &self.server] {
            assert!(end.is_over() && end.wire.state == WireState::Ended);
            assert_eq!(end.forward.poll_timeout(), None);
        }
    }
}
