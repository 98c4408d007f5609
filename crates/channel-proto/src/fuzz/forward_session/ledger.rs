//! What was done to each connection, and whether what is heard of it comes from that.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    forward::{ConnectionId, ForwardEvent},
    fuzz::forward_end::{Stream, Who, bytes},
};

/// How long a client waits for what the error stream says (PFW-7).
const GRACE: Duration = Duration::from_millis(500);

/// How long a server waits for the second stream of a pair (PFW-8).
const PAIRING: Duration = Duration::from_secs(30);

/// Every connection that was opened. Each has a port of its own, from 1, by which both ends know it.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) connections: Vec<Connection>,
    /// Which connection an end means by an id that it did not forget.
    pub(super) client: BTreeMap<ConnectionId, usize>,
    pub(super) server: BTreeMap<ConnectionId, usize>,
    /// Whether the server ever had as many connections as it takes.
    pub(super) server_was_full: bool,
    pub(super) aborted: bool,
    pub(super) cut: bool,
    /// Bytes of a text that there is always room for.
    pub(super) text_room: usize,
}

#[derive(Default)]
pub(super) struct Connection {
    up: Stream,
    down: Stream,
    pub(super) client: Half,
    pub(super) server: Half,
    opened: Option<Instant>,
    /// Whether the server heard of it.
    known: bool,
    /// Why the server said that it failed, and when.
    failed: Option<(String, Instant)>,
}

/// What one end did, and what it heard.
#[derive(Debug, Default)]
pub(super) struct Half {
    /// The application has it, and did not forget it.
    held: bool,
    pub(super) finished: bool,
    /// It broke the connection off, or may have.
    pub(super) broke: bool,
    /// It waits for room.
    pub(super) blocked: bool,
    heard: Heard,
}

/// How a connection ended for one end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Heard {
    #[default]
    Nothing,
    End,
    Failed,
    Reset,
}

impl Half {
    pub(super) fn is_over(&self) -> bool {
        matches!(self.heard, Heard::Failed | Heard::Reset)
    }

    /// Whether it finished, and heard that the other end did.
    fn is_complete(&self) -> bool {
        self.finished && self.heard == Heard::End
    }
}

impl Connection {
    /// What this end did, what the other did, and the streams from this end and to it.
    fn seen_by(&mut self, who: Who) -> (&mut Half, &mut Half, &mut Stream, &mut Stream) {
        match who {
            Who::Client => (&mut self.client, &mut self.server, &mut self.up, &mut self.down),
            Who::Server => (&mut self.server, &mut self.client, &mut self.down, &mut self.up),
        }
    }

    /// Whether the second of its streams may have come to the server too late, or not at all.
    fn may_be_half(&self, now: Instant) -> bool {
        !self.known && self.opened.is_some_and(|opened| now >= opened + PAIRING)
    }

    fn is_unbroken(&self) -> bool {
        self.known && !self.client.broke && !self.server.broke
    }
}

impl Ledger {
    pub(super) fn held(&mut self, who: Who) -> &mut BTreeMap<ConnectionId, usize> {
        match who {
            Who::Client => &mut self.client,
            Who::Server => &mut self.server,
        }
    }

    pub(super) fn half(&mut self, who: Who, at: usize) -> &mut Half {
        self.connections[at].seen_by(who).0
    }

    /// The next `len` bytes that `who` sends on a connection.
    pub(super) fn next(&mut self, who: Who, at: usize, len: u16) -> &'static [u8] {
        let from = self.connections[at].seen_by(who).2.sent;
        bytes(2 * at + who as usize, from, len.into())
    }

    pub(super) fn sent(&mut self, who: Who, at: usize, len: usize) {
        self.connections[at].seen_by(who).2.sent += len;
    }

    pub(super) fn opened(&mut self, id: ConnectionId, now: Instant) {
        let client = Half { held: true, ..Half::default() };
        self.connections.push(Connection { client, opened: Some(now), ..Connection::default() });
        let before = self.client.insert(id, self.connections.len() - 1);
        assert_eq!(before, None, "an id that is in use");
    }

    pub(super) fn failed(&mut self, at: usize, why: &str, now: Instant) {
        let connection = &mut self.connections[at];
        if connection.server.finished {
            connection.server.broke = true;
        } else if !connection.server.is_over() {
            connection.server.finished = true;
            connection.failed = Some((why.to_owned(), now));
        }
    }

    /// The application of one end breaks a connection off, and so waits for no room.
    pub(super) fn resets(&mut self, who: Who, at: usize) {
        let half = self.half(who, at);
        (half.broke, half.blocked) = (true, false);
    }

    /// Whether `who` may find a connection gone that it holds.
    pub(super) fn may_be_gone(&mut self, who: Who, at: usize, now: Instant) -> bool {
        let refused = self.may_be_refused(at, now);
        let connection = &self.connections[at];
        let broken = connection.client.broke || connection.server.broke || connection.failed.is_some();
        broken || refused || self.aborted || self.half(who, at).finished
    }

    /// Whether the server may have refused it before anybody there heard of it.
    fn may_be_refused(&self, at: usize, now: Instant) -> bool {
        let connection = &self.connections[at];
        (!connection.known && self.server_was_full) || connection.may_be_half(now)
    }

    /// The application of one end is done with a connection.
    pub(super) fn forgot(&mut self, who: Who, id: ConnectionId) {
        let at = self.held(who).remove(&id).expect("an id that was held");
        let half = self.half(who, at);
        half.broke |= !half.is_complete();
        half.held = false;
    }

    pub(super) fn hears(&mut self, who: Who, now: Instant, event: ForwardEvent) {
        let id = match event {
            ForwardEvent::Connect(id, port) => {
                assert_eq!(who, Who::Server);
                let at = usize::from(port) - 1;
                let connection = &mut self.connections[at];
                assert!(!std::mem::replace(&mut connection.known, true), "twice");
                connection.server.held = true;
                return assert_eq!(self.server.insert(id, at), None, "an id that is in use");
            }
            ForwardEvent::GoingAway => return assert!(self.aborted),
            ForwardEvent::Ended(_) => return,
            ForwardEvent::Data(id, _) | ForwardEvent::Failed(id, _) => id,
            ForwardEvent::End(id) | ForwardEvent::Reset(id) | ForwardEvent::Writable(id) => id,
        };
        let at = *self.held(who).get(&id).unwrap_or_else(|| panic!("{event:?} of nobody"));
        let refused = self.may_be_refused(at, now);
        let failed = self.connections[at].failed.clone();
        let (half, peer, _, stream) = self.connections[at].seen_by(who);
        assert!(!half.is_over(), "{event:?} behind the end");
        match event {
            ForwardEvent::Data(_, data) => {
                assert!(half.heard == Heard::Nothing && !data.is_empty());
                let sent = bytes(2 * at + 1 - who as usize, stream.received, data.len());
                assert!(sent == data, "not as sent");
                stream.received += data.len();
                assert!(stream.received <= stream.sent, "more than was sent");
            }
            ForwardEvent::End(_) => {
                assert!(half.heard == Heard::Nothing && peer.finished);
                assert_eq!(stream.received, stream.sent, "an end before the end");
                if let (Who::Client, Some((_, when))) = (who, failed) {
                    assert!(now >= when + GRACE, "it failed, and did not end");
                }
                half.heard = Heard::End;
            }
            ForwardEvent::Failed(_, text) => {
                assert!(half.heard == Heard::Nothing && who == Who::Client);
                let (why, when) = failed.expect("a failure");
                assert!(!text.is_empty() && why.starts_with(&text), "{text:?} is not {why:?}");
                let whole = text.len() >= why.len().min(self.text_room);
                assert!(whole || self.cut || now >= when + GRACE, "{text:?} is not all of {why:?}");
                (half.heard, half.broke) = (Heard::Failed, true);
            }
            ForwardEvent::Reset(_) => {
                // A client breaks off what failed before its application takes the event.
                let caused =
                    peer.broke || refused || (who == Who::Server && (failed.is_some() || half.broke));
                assert!(caused || self.aborted, "nobody broke it off");
                (half.heard, half.broke) = (Heard::Reset, true);
            }
            ForwardEvent::Writable(_) => assert!(std::mem::replace(&mut half.blocked, false)),
            ForwardEvent::Connect(..) | ForwardEvent::GoingAway | ForwardEvent::Ended(_) => {}
        }
    }

    /// While both ends are open, everybody reads and nothing is on its way.
    pub(super) fn assert_all_arrived(&mut self) {
        for connection in &mut self.connections {
            assert!(connection.known || connection.client.broke, "neither made nor refused");
            let unbroken = connection.is_unbroken();
            let failed = connection.failed.is_some();
            for who in [Who::Client, Who::Server] {
                let (half, peer, _, stream) = connection.seen_by(who);
                if unbroken {
                    assert_eq!(stream.received, stream.sent, "lost");
                    let told = if peer.finished { Heard::End } else { Heard::Nothing };
                    assert!(half.heard == told || failed, "{:?} is not {told:?}", half.heard);
                } else if half.held && peer.broke {
                    // What a server says of a connection that is gone already breaks it off, and ends it without a word.
                    let said = who == Who::Server && failed;
                    assert!(half.is_over() || half.broke || half.is_complete() || said, "it was not told");
                }
                if half.held {
                    assert!(!half.blocked || half.finished || half.is_over(), "it waits for ever");
                }
            }
        }
    }
}
