//! Upgrades by somebody else's HTTP client, which has the connections, the credentials, the TLS and the proxies already.

use std::{error, future::Future, pin::Pin};

use bytes::{Bytes, BytesMut};
use channel_proto::{
    Limits,
    upgrade::{BodyEnd, ClientUpgrade, UpgradeRequest},
};
use http::{Request, Response};

use crate::{
    Error,
    fallback::Agreed,
    handshake::{self, Upgraded},
    runtime::Transport,
};

/// An HTTP/1.1 client that knows its server, and can upgrade a connection to it. For [`Client::over`](crate::Client::over).
pub trait HttpClient: Send + Sync + 'static {
    /// Sends a request, with the server's address, the credentials and whatever else it has to add, and gives the answer. Of the body of
    /// an answer that upgrades nothing it keeps no more than `body_limit` bytes.
    ///
    /// It is dropped when it takes longer than the client's connect timeout.
    fn send(&self, request: Request<()>, body_limit: usize) -> AnswerFuture<'_>;
}

/// What sending gives, in time. The error is one of the HTTP client's own, and must hold no secret.
pub type AnswerFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Answer, Box<dyn error::Error + Send + Sync>>> + Send + 'a>>;

/// An answer to a request for an upgrade.
pub enum Answer {
    /// 101, and the connection that is upgraded now. What the server sent behind the head is read from it first.
    Upgraded(Response<()>, Box<dyn Transport>),
    /// Any other, and how its body ended.
    Refused(Response<Bytes>, BodyEnd),
}

/// Asks for the upgrade, and takes it or brings back the refusal.
pub(crate) async fn upgrade(
    http: &dyn HttpClient,
    request: &UpgradeRequest,
    limits: &Limits,
) -> Result<Upgraded, Error> {
    let mut upgrade = ClientUpgrade::new(request, handshake::entropy()?, limits)?;
    let answer = http.send(upgrade.http_request()?, limits.refusal_body).await;
    match answer.map_err(|error| Error::HttpClient(error.into()))? {
        Answer::Upgraded(head, stream) => {
            let head = head.map(|()| Bytes::new());
            let upgraded = upgrade.handle_response(head, BodyEnd::Complete).map_err(handshake::refused)?;
            let agreed = Agreed::at_once(upgraded.transport, upgraded.subprotocol);
            Ok(Upgraded { stream, rest: BytesMut::new(), agreed })
        }
        Answer::Refused(response, end) => match upgrade.handle_response(response, end) {
            Err(error) => Err(handshake::refused(error)),
            Ok(_) => Err(Error::Usage("the HTTP client answered 101 without a connection".to_owned())),
        },
    }
}
