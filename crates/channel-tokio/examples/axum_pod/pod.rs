//! The routes, and what is behind them.

use std::{io, process::Stdio, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::any,
};
use channel_proto::Action;
use channel_tokio::{
    Outcome, SessionConfig, Status,
    hyper::Incoming,
    server::{ForwardServer, PendingConnection, ServerSession},
};
use tokio::{io::AsyncWriteExt, net::TcpStream, process::Command, task::JoinSet};

/// `any`, as a WebSocket comes by GET and SPDY by POST.
pub(crate) fn router(token: impl Into<Arc<str>>) -> Router {
    Router::new()
        .route("/api/v1/namespaces/{namespace}/pods/{pod}/exec", any(exec))
        .route("/api/v1/namespaces/{namespace}/pods/{pod}/portforward", any(port_forward))
        .with_state(token.into())
}

async fn exec(State(token): State<Arc<str>>, mut request: Request) -> Response {
    let incoming = Incoming::new(&mut request);
    if !is_authentic(&incoming, &token) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let request = match incoming.head().pod_request() {
        Ok(Some(request)) if !request.streams.tty => request,
        Ok(_) => return (StatusCode::BAD_REQUEST, "there are no terminals here").into_response(),
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    let Action::Exec { command } = request.action else { return StatusCode::NOT_FOUND.into_response() };
    match incoming.accept(request.streams, SessionConfig::server()) {
        Err(refusal) => refusal.map(Body::from),
        Ok((response, session)) => {
            // The session begins when the response is written: not before this returns.
            tokio::spawn(async move {
                // What fails here fails because the client is gone: there is nobody to tell.
                if let Ok(session) = session.await {
                    run(session, command).await;
                }
            });
            response.map(|()| Body::empty())
        }
    }
}

async fn port_forward(State(token): State<Arc<str>>, mut request: Request) -> Response {
    let incoming = Incoming::new(&mut request);
    if !is_authentic(&incoming, &token) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    match incoming.accept_forward(SessionConfig::server()) {
        Err(refusal) => refusal.map(Body::from),
        Ok((response, forward)) => {
            tokio::spawn(async move {
                if let Ok(forward) = forward.await {
                    serve(forward).await;
                }
            });
            response.map(|()| Body::empty())
        }
    }
}

/// A real server compares in a time that does not tell how much was right.
fn is_authentic(incoming: &Incoming, token: &str) -> bool {
    incoming.head().bearer().is_ok_and(|bearer| bearer.is_some_and(|bearer| bearer.secret() == token))
}

/// Runs a command and carries its streams. When the client goes first, the command is killed.
async fn run(mut session: ServerSession, command: Vec<String>) {
    let streams = (session.stdin.take(), session.stdout.take(), session.stderr.take());
    let outcome = tokio::select! {
        outcome = carry(streams, &command) => outcome,
        _ = session.ended() => return,
    };
    let outcome = outcome.unwrap_or_else(|error| Outcome::Failed(Box::new(Status::internal_error(error))));
    // As above: an error is that the client is gone.
    let _ = session.finish(&outcome).await;
}

type Ends<I, O> = (Option<I>, Option<O>, Option<O>);

async fn carry(
    (stdin, stdout, stderr): Ends<channel_tokio::server::Stdin, channel_tokio::server::Stdout>,
    command: &[String],
) -> io::Result<Outcome> {
    let [program, arguments @ ..] = command else { return Err(io::ErrorKind::InvalidInput.into()) };
    let pipe = |wanted: bool| if wanted { Stdio::piped() } else { Stdio::null() };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(pipe(stdin.is_some()))
        .stdout(pipe(stdout.is_some()))
        .stderr(pipe(stderr.is_some()))
        .kill_on_drop(true)
        .spawn()?;
    let (to, out, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let input = async {
        if let (Some(mut from), Some(mut to)) = (stdin, to) {
            // A command that does not want all of it is no error.
            let _ = tokio::io::copy(&mut from, &mut to).await;
            let _ = to.shutdown().await;
        }
        std::future::pending::<()>().await;
    };
    let outputs = async {
        tokio::try_join!(copy(out, stdout), copy(err, stderr))?;
        child.wait().await
    };
    tokio::select! {
        status = outputs => Ok(Outcome::Exited(status?.code().unwrap_or(-1))),
        () = input => unreachable!("it is pending"),
    }
}

async fn copy(
    from: Option<impl tokio::io::AsyncRead + Unpin>,
    to: Option<channel_tokio::server::Stdout>,
) -> io::Result<()> {
    let (Some(mut from), Some(mut to)) = (from, to) else { return Ok(()) };
    tokio::io::copy(&mut from, &mut to).await?;
    to.flush().await
}

/// Connects what the client wants to connect, until it is gone.
async fn serve(forward: ForwardServer) {
    let mut connections = JoinSet::new();
    while let Some(pending) = forward.accept().await {
        connections.spawn(connect(pending));
        while connections.try_join_next().is_some() {}
    }
}

async fn connect(pending: PendingConnection) {
    match TcpStream::connect(("localhost", pending.port())).await {
        Ok(mut local) => {
            let mut remote = pending.accept();
            if tokio::io::copy_bidirectional(&mut local, &mut remote).await.is_err() {
                remote.reset();
            }
        }
        Err(error) => pending.refuse(&error.to_string()),
    }
}
