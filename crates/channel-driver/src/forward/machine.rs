//! The forward of [`channel_proto`], as the driver drives it.

use std::{io, time::Instant};

use bytes::{Buf, Bytes, BytesMut};
use channel_proto::{
    CloseReason, Error, Reading, Role, Transmit, WriteError,
    forward::{ConnectionId, Forward, ForwardError, ForwardEvent},
};

use crate::machine::{EndKind, Machine, Sorted};

impl Machine for Forward {
    type Ended = Option<CloseReason>;

    fn handle_input(&mut self, now: Instant, input: &mut BytesMut) -> Result<(), Error> {
        self.handle_input(now, input)
    }

    fn handle_eof(&mut self) {
        self.handle_eof();
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.handle_timeout(now)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.poll_timeout()
    }

    fn poll(&mut self) -> Option<Sorted<Option<CloseReason>>> {
        Some(match self.poll_event()? {
            ForwardEvent::Data(id, data) => Sorted::Data(id.index(), data),
            ForwardEvent::End(id) => Sorted::DataEnd(id.index()),
            ForwardEvent::Failed(id, why) => {
                Sorted::Failed(id.index(), io::ErrorKind::ConnectionRefused, why)
            }
            ForwardEvent::Reset(id) => {
                let what = "the other end of the forwarded connection reset it";
                Sorted::Failed(id.index(), io::ErrorKind::ConnectionReset, what.to_owned())
            }
            ForwardEvent::Writable(id) => Sorted::Writable(id.index()),
            ForwardEvent::Connect(id, port) => Sorted::Connect(id.index(), port),
            ForwardEvent::Ended(close) => Sorted::End(close),
            _ => Sorted::Nothing,
        })
    }

    fn transmit(&mut self) -> &mut Transmit {
        self.transmit()
    }

    fn is_drained(&mut self) -> bool {
        Self::is_drained(self)
    }

    fn set_reading(&mut self, now: Instant, reading: Reading) {
        self.set_reading(now, reading);
    }

    fn ends_stream(&self) -> bool {
        self.is_closing() && self.role() == Role::Server
    }

    fn is_closing(&self) -> bool {
        self.is_closing()
    }

    fn abort(&mut self, _now: Instant) {
        self.abort();
    }

    fn write(&mut self, index: usize, data: &[u8]) -> Result<usize, WriteError> {
        self.write(ConnectionId::from_index(index), data).map_err(write_error)
    }

    fn write_bytes(&mut self, index: usize, data: &mut Bytes) -> Result<(), WriteError> {
        self.write_bytes(ConnectionId::from_index(index), data).map_err(write_error)?;
        data.advance(data.len());
        Ok(())
    }

    fn reset(&mut self, index: usize) {
        self.reset(ConnectionId::from_index(index));
    }

    fn refuse(&mut self, index: usize, why: &str) {
        let id = ConnectionId::from_index(index);
        self.fail_connection(id, why);
        self.forget(id);
    }

    fn writer_dropped(&mut self, index: usize) {
        // A connection that is over needs no end.
        let _ = self.finish(ConnectionId::from_index(index));
    }

    /// Only its own end ends a connection well.
    fn read_end(&self, _index: usize, _close: &Option<CloseReason>) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection to the pod was lost"))
    }

    fn end_kind(close: &Option<CloseReason>) -> EndKind {
        EndKind::of_close(close.as_ref())
    }
}

fn write_error(error: ForwardError) -> WriteError {
    match error {
        ForwardError::Blocked => WriteError::Blocked,
        ForwardError::Finished => WriteError::Closed,
        _ => WriteError::Ended,
    }
}
