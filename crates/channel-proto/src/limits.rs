//! Every cap in one place. Nothing a peer sends is counted, stored or allocated for beyond these.

/// The caps of one session. The default suits clients and servers alike; each field says why it is what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of an HTTP head, request or response, its blank line included. 64 KiB: Go's servers accept 1 MiB,
    /// real heads are below 4 KiB, and long bearer tokens have to fit.
    pub head: usize,
    /// Header lines in an HTTP head. 128: real heads have about ten.
    pub header_lines: usize,
    /// Bytes kept of a refusal's body; what comes beyond is dropped and said to be. 64 KiB: a `metav1.Status` is below 2 KiB.
    pub refusal_body: usize,
    /// Bytes of one incoming WebSocket message, its channel byte included. 32 MiB, as kube-apiserver's. Messages are
    /// delivered in pieces as they arrive, so this costs no memory.
    pub message: u64,
    /// Bytes of the status on channel 3. 256 KiB: the longest recorded is 1 KiB.
    pub status: usize,
    /// Bytes of resize text not yet parsed. 1 KiB: one resize is below 50 bytes.
    pub resize: usize,
    /// Frames in one second that carry nothing (empty messages, unknown channels, pings, pongs). 10,000: floods cost
    /// us work and the peer nothing.
    pub free_frames: u32,
    /// Bytes waiting to be written to the peer, above which commands answer "blocked". 128 KiB: enough to fill a socket's
    /// buffer in one write.
    pub transmit: usize,
    /// Bytes of payload in one outgoing message. 32 KiB, as kubectl's and kubelet's own.
    pub outgoing_message: usize,
    /// Bytes of one output (stdout, stderr) that an adapter keeps for a reader who does not read, before it stops
    /// reading the socket. 128 KiB.
    pub unread: usize,
    /// The same of all streams of one connection together. 4 MiB: less than half of what a hundred slow readers might be kept, each by itself.
    pub unread_in_all: usize,
    /// Bytes of an incoming SPDY control frame, its compressed header block included. 64 KiB: the longest recorded has 70.
    pub spdy_frame: usize,
    /// Bytes of an incoming SPDY header block once it is inflated; inflating stops there. 64 KiB: real blocks are
    /// below 200 bytes, and spdystream's cap is 1 MiB for each field.
    pub spdy_header_block: usize,
    /// Headers in one SPDY header block. 128: real ones have three, and spdystream's cap is 1,000.
    pub spdy_headers: usize,
    /// Bytes of one name or value in a SPDY header block. 8 KiB: the longest recorded is 10 bytes.
    pub spdy_header_field: usize,
    /// Entries of one SPDY SETTINGS frame, all of which are ignored. 64: SPDY/3.1 defines eight, and no peer sends any.
    pub spdy_settings: usize,
    /// SPDY streams that the peer may have open at once; one more is refused. 1,000: an exec has five, a forwarded
    /// connection two.
    pub spdy_streams: usize,
    /// Bytes waiting to be written on one SPDY stream, above which sending on it answers "blocked". 64 KiB: half of
    /// [`transmit`](Self::transmit), so that one stream alone cannot fill it.
    pub spdy_stream_transmit: usize,
    /// Bytes that the server of a forward keeps of data that came before the error stream of its connection, all connections
    /// together. 64 KiB: a client opens the error stream first (PFW-5), so that there is nothing to keep.
    pub forward_early: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: 64 << 10,
            header_lines: 128,
            refusal_body: 64 << 10,
            message: 32 << 20,
            status: 256 << 10,
            resize: 1 << 10,
            free_frames: 10_000,
            transmit: 128 << 10,
            outgoing_message: 32 << 10,
            unread: 128 << 10,
            unread_in_all: 4 << 20,
            spdy_frame: 64 << 10,
            spdy_header_block: 64 << 10,
            spdy_headers: 128,
            spdy_header_field: 8 << 10,
            spdy_settings: 64,
            spdy_streams: 1_000,
            spdy_stream_transmit: 64 << 10,
            forward_early: 64 << 10,
        }
    }
}
