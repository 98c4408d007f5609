//! The streams of an exec or attach, each with its channel.

use crate::{
    channel,
    request::Streams,
    spdy::{Headers, StreamId},
    subprotocol::{Subprotocol, Transport},
};

/// The header that says what a stream is for (SPE-1).
const STREAM_TYPE: &str = "streamtype";

/// What streams are called, in the order in which a client opens them (SPE-2).
const NAMES: [(u8, &str); 5] = [
    (channel::ERROR, "error"),
    (channel::STDIN, "stdin"),
    (channel::STDOUT, "stdout"),
    (channel::STDERR, "stderr"),
    (channel::RESIZE, "resize"),
];

/// Which streams the session has.
pub(super) struct Roster {
    /// By channel.
    places: [Place; NAMES.len()],
}

#[derive(Debug, Clone, Copy)]
enum Place {
    /// The session has no such stream.
    Unasked,
    /// The client has to open it.
    Awaited,
    Taken(Member),
}

/// A stream of the session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) id: StreamId,
    /// At a client: whether the server took it.
    pub(super) replied: bool,
    pub(super) peer: Peer,
}

/// What the peer did about a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Sending,
    /// It sends nothing more on it.
    Finished,
    /// It wants nothing more of it; but see SPE-10.
    Reset,
}

impl Roster {
    /// The streams that a session of these has, none of them there yet.
    pub(super) fn new(streams: Streams, subprotocol: Subprotocol) -> Self {
        let streams = streams.served();
        let resize = streams.tty && subprotocol.can_resize_over(Transport::Spdy);
        let asked = [streams.stdin, streams.stdout, streams.stderr, true, resize];
        Self { places: asked.map(|asked| if asked { Place::Awaited } else { Place::Unasked }) }
    }

    /// The headers of the streams that are not there, in the order in which to open them.
    pub(super) fn missing(&self) -> impl Iterator<Item = (u8, Headers)> + use<> {
        let places = self.places;
        NAMES.into_iter().filter_map(move |(channel, name)| {
            let Some(Place::Awaited) = places.get(usize::from(channel)) else { return None };
            Headers::try_from([(STREAM_TYPE, name)]).ok().map(|headers| (channel, headers))
        })
    }

    /// The channel of the missing stream that has these headers.
    pub(super) fn wanted(&self, headers: &Headers) -> Option<u8> {
        let wanted = headers.get(STREAM_TYPE)?;
        let (channel, _) = NAMES.into_iter().find(|(_, name)| *name == wanted)?;
        self.awaits(channel).then_some(channel)
    }

    pub(super) fn take(&mut self, channel: u8, id: StreamId) {
        if let Some(place) = self.places.get_mut(usize::from(channel)) {
            *place = Place::Taken(Member { id, replied: false, peer: Peer::Sending });
        }
    }

    /// The peer took no stream above this one.
    pub(super) fn refused_above(&mut self, last: u32) {
        for place in &mut self.places {
            if let Place::Taken(member) = place
                && member.id.get() > last
                && member.peer == Peer::Sending
            {
                member.peer = Peer::Reset;
            }
        }
    }

    /// Whether every stream is there.
    pub(super) fn is_complete(&self) -> bool {
        !self.places.iter().any(|place| matches!(place, Place::Awaited))
    }

    /// Whether this stream is still to come.
    pub(super) fn awaits(&self, channel: u8) -> bool {
        matches!(self.places.get(usize::from(channel)), Some(Place::Awaited))
    }

    #[inline]
    pub(super) fn get(&self, channel: u8) -> Option<&Member> {
        match self.places.get(usize::from(channel)) {
            Some(Place::Taken(member)) => Some(member),
            _ => None,
        }
    }

    pub(super) fn get_mut(&mut self, channel: u8) -> Option<&mut Member> {
        match self.places.get_mut(usize::from(channel)) {
            Some(Place::Taken(member)) => Some(member),
            _ => None,
        }
    }

    /// The channel of a stream; `None` if it is none of the session's.
    #[inline]
    pub(super) fn channel(&self, id: StreamId) -> Option<u8> {
        self.members().find(|(_, member)| member.id == id).map(|(channel, _)| channel)
    }

    /// The streams that are there.
    #[inline]
    pub(super) fn members(&self) -> impl Iterator<Item = (u8, &Member)> {
        (0..).zip(&self.places).filter_map(|(channel, place)| match place {
            Place::Taken(member) => Some((channel, member)),
            _ => None,
        })
    }

    /// Those of `channels` that are there.
    pub(super) fn of<const N: usize>(&self, channels: [u8; N]) -> impl Iterator<Item = &Member> {
        channels.into_iter().filter_map(|channel| self.get(channel))
    }
}
