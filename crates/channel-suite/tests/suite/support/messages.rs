//! A session over the message entry, as a program drives it that has a WebSocket of its own: here async-tungstenite's.
//!
//! The streams of the session are pipes in memory. As with sockets, their ends say nothing about how the session ended: its outcome does.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use async_tungstenite::WebSocketStream;
use bytes::{Buf, Bytes};
use channel_driver::{
    Machine, Sorted,
    runtime::{Runtime, Timer},
};
use channel_proto::{
    Message, Reading, TerminalSize, WriteError,
    session::{Session, Side},
};
use futures::{
    channel::mpsc::{UnboundedReceiver, UnboundedSender},
    io::{AsyncRead, AsyncWrite},
    sink::SinkExt,
    stream::StreamExt,
};

use super::{flavour::Flavour, tasks::timeout};

pub(crate) type Do<S> = Box<dyn FnOnce(&mut Session<S>, Instant) + Send>;

/// What the application has the session do.
pub(crate) enum Command<S: Side> {
    Now(Do<S>),
    /// Once everything that goes in was taken.
    AtTheEnd(Do<S>),
}

/// What connects the session with its application.
pub(crate) struct Ends<S: Side> {
    /// What the application writes, by the index of the stream.
    pub(crate) inputs: Vec<piper::Reader>,
    /// What the application reads.
    pub(crate) outputs: Vec<Option<piper::Writer>>,
    pub(crate) sizes: UnboundedSender<TerminalSize>,
    /// When nobody has the other end any more, the session is given up.
    pub(crate) commands: UnboundedReceiver<Command<S>>,
}

/// Drives a session to its end.
pub(crate) async fn drive<F: Flavour, S: Side, T>(
    socket: WebSocketStream<T>,
    session: Session<S>,
    ends: Ends<S>,
) -> Result<<Session<S> as Machine>::Ended, String>
where
    Session<S>: Machine,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let Ends { inputs, outputs, sizes, commands } = ends;
    let inputs = inputs.into_iter().map(|pipe| Input { pipe: Some(pipe), data: Bytes::new() }).collect();
    let mut program = Program {
        socket,
        session,
        inputs,
        outputs,
        sizes,
        commands: Some(commands),
        at_the_end: None,
        unread: None,
        held: None,
        hears: true,
        sends: true,
        ended: None,
    };
    let mut timer = F::Runtime::timer();
    let result = poll_fn(|cx| program.poll(cx, F::Runtime::now, &mut timer)).await;
    // The answer to the peer's close frame.
    let _ = timeout::<F, _>(Duration::from_secs(1), program.socket.close(None)).await;
    result
}

struct Input {
    pipe: Option<piper::Reader>,
    data: Bytes,
}

struct Program<S: Side, T>
where
    Session<S>: Machine,
{
    socket: WebSocketStream<T>,
    session: Session<S>,
    inputs: Vec<Input>,
    outputs: Vec<Option<piper::Writer>>,
    sizes: UnboundedSender<TerminalSize>,
    commands: Option<UnboundedReceiver<Command<S>>>,
    at_the_end: Option<Do<S>>,
    /// What waits for the reader of a stream: no event is taken meanwhile, and no message read.
    unread: Option<(usize, Bytes)>,
    /// A message that the session did not take yet.
    held: Option<Message>,
    hears: bool,
    sends: bool,
    ended: Option<<Session<S> as Machine>::Ended>,
}

impl<S: Side, T: AsyncRead + AsyncWrite + Unpin> Program<S, T>
where
    Session<S>: Machine,
{
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        clock: fn() -> Instant,
        timer: &mut impl Timer,
    ) -> Poll<Result<<Session<S> as Machine>::Ended, String>> {
        loop {
            let now = clock();
            let mut moved = self.obey(cx, now);
            moved |= self.hand_out(cx, now);
            moved |= self.hear(cx, now)?;
            moved |= self.take_in(cx);
            moved |= self.send(cx);
            if let Some(ended) = &self.ended {
                return Poll::Ready(Ok(ended.clone()));
            }
            if moved {
                continue;
            }
            match self.session.poll_timeout() {
                Some(due) if timer.poll_until(cx, due).is_ready() => {
                    self.session.handle_timeout(clock()).map_err(|error| error.to_string())?;
                }
                _ => return Poll::Pending,
            }
        }
    }

    fn obey(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut moved = false;
        while let Some(commands) = &mut self.commands
            && let Poll::Ready(command) = commands.poll_next_unpin(cx)
        {
            moved = true;
            match command {
                Some(Command::Now(command)) => command(&mut self.session, now),
                Some(Command::AtTheEnd(command)) => self.at_the_end = Some(command),
                None => {
                    self.commands = None;
                    if self.at_the_end.is_none() {
                        self.session.abort(now);
                    }
                }
            }
        }
        if self.inputs.iter().all(|input| input.pipe.is_none() && input.data.is_empty())
            && let Some(command) = self.at_the_end.take()
        {
            moved = true;
            command(&mut self.session, now);
        }
        moved
    }

    /// Hands events to the application, as far as it takes them.
    fn hand_out(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut moved = false;
        loop {
            if let Some((index, data)) = &mut self.unread {
                let output = &mut self.outputs[*index];
                match output.as_mut().map(|pipe| Pin::new(pipe).poll_write(cx, data)) {
                    Some(Poll::Pending) => {
                        self.session.set_reading(now, Reading::Paused);
                        return moved;
                    }
                    Some(Poll::Ready(Ok(count))) if count > 0 => data.advance(count),
                    // Nobody reads it any more.
                    _ => {
                        *output = None;
                        data.clear();
                    }
                }
                if data.is_empty() {
                    self.unread = None;
                    self.session.set_reading(now, Reading::Active);
                }
            }
            if self.unread.is_none() {
                match Machine::poll(&mut self.session) {
                    None => return moved,
                    Some(Sorted::Data(index, data)) => self.unread = Some((index, data)),
                    Some(Sorted::DataEnd(index)) => self.outputs[index] = None,
                    Some(Sorted::Size(size)) => drop(self.sizes.unbounded_send(size)),
                    Some(Sorted::End(ended)) => self.ended = Some(ended),
                    Some(_) => {}
                }
            }
            moved = true;
        }
    }

    fn hear(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, String> {
        if self.unread.is_some() || !self.hears {
            return Ok(false);
        }
        let message = match self.held.take() {
            Some(message) => message,
            None => match self.socket.poll_next_unpin(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Some(Ok(message))) => message.into(),
                Poll::Ready(_) => {
                    self.hears = false;
                    self.session.handle_eof();
                    return Ok(true);
                }
            },
        };
        self.held = self.session.handle_message(now, message).map_err(|error| error.to_string())?;
        Ok(true)
    }

    /// Gives the session what the application wrote.
    fn take_in(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        for (index, input) in self.inputs.iter_mut().enumerate() {
            if input.data.is_empty()
                && let Some(pipe) = &mut input.pipe
            {
                let mut buffer = [0; 8192];
                match Pin::new(pipe).poll_read(cx, &mut buffer) {
                    Poll::Ready(Ok(count)) if count > 0 => {
                        input.data = Bytes::copy_from_slice(&buffer[..count]);
                    }
                    Poll::Ready(_) => {
                        moved = true;
                        input.pipe = None;
                        self.session.writer_dropped(index);
                    }
                    Poll::Pending => {}
                }
            }
            if input.data.is_empty() {
                continue;
            }
            match self.session.write(index, &input.data) {
                Ok(count) => {
                    moved = true;
                    input.data.advance(count);
                }
                Err(WriteError::Blocked) => {}
                Err(_) => {
                    *input = Input { pipe: None, data: Bytes::new() };
                }
            }
        }
        moved
    }

    fn send(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while self.sends
            && let Poll::Ready(ready) = self.socket.poll_ready_unpin(cx)
        {
            let Some(message) = self.session.poll_message() else { break };
            moved = true;
            self.sends = ready.and_then(|()| self.socket.start_send_unpin(message.into())).is_ok();
        }
        if self.sends && matches!(self.socket.poll_flush_unpin(cx), Poll::Ready(Err(_))) {
            self.sends = false;
        }
        // A peer that takes no more must not make the application wait for room.
        while !self.sends && self.session.poll_message().is_some() {}
        moved
    }
}
