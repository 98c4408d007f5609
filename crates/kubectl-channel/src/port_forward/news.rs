//! What happens to local ports, as lines on stderr.

use std::{future::Future, future::poll_fn, pin::pin, task::Poll};

use channel_tokio::ListenerState;
use tokio::{sync::mpsc, task::JoinSet};

use super::Local;
use crate::exit::{self, Failure, Verbosity};

/// What happened to one local port.
enum News {
    State(ListenerState),
    /// Single connections failed: where, and in the pod's words why.
    Connections(String, Vec<String>),
}

/// Reports until the last local port is gone.
pub(super) async fn follow(locals: Vec<Local>, verbosity: Verbosity) -> Failure {
    let (sender, mut news) = mpsc::channel(16);
    let mut watches = JoinSet::new();
    for local in locals {
        watches.spawn(watch(local, sender.clone()));
    }
    drop(sender);
    let mut pod = Connection::Up;
    while let Some(news) = news.recv().await {
        match news {
            News::State(state) => pod.report(state, verbosity),
            News::Connections(place, failures) => {
                for why in failures {
                    exit::error(format_args!("a connection of {place} failed: {why}"));
                }
            }
        }
    }
    Failure::local("none of the local ports is listened on any more")
}

/// Watches one local port until it is gone.
async fn watch(local: Local, tell: mpsc::Sender<News>) {
    let Local { listener, remote } = &local;
    let mut seen = ListenerState::Connected;
    loop {
        let (state, failures) = {
            let mut changed = pin!(listener.changed(&seen));
            poll_fn(|cx| {
                // A failure wakes whoever waits for a change, so in this order none is missed.
                let state = changed.as_mut().poll(cx);
                let failures = listener.take_failures();
                match state {
                    Poll::Ready(state) => Poll::Ready((Some(state), failures)),
                    Poll::Pending if failures.is_empty() => Poll::Pending,
                    Poll::Pending => Poll::Ready((None, failures)),
                }
            })
            .await
        };
        let place = format!("{} -> {remote}", listener.address());
        if !failures.is_empty() && tell.send(News::Connections(place.clone(), failures)).await.is_err() {
            return;
        }
        match state {
            Some(ListenerState::Failed(why)) => {
                return exit::error(format_args!("{place} is not listened on any more: {why}"));
            }
            Some(state) => {
                seen = state.clone();
                if tell.send(News::State(state)).await.is_err() {
                    return;
                }
            }
            None => {}
        }
    }
}

/// The connection to the pod, which all local ports share and each reports.
enum Connection {
    Up,
    /// And why, when that was said last.
    Down(String),
}

impl Connection {
    fn report(&mut self, state: ListenerState, verbosity: Verbosity) {
        match (&*self, state) {
            (Self::Up, ListenerState::Reconnecting { why, .. }) => {
                exit::warn(format_args!("lost the connection to the pod: {why}; connecting again"));
                *self = Self::Down(why);
            }
            (Self::Down(said), ListenerState::Reconnecting { why, .. }) if *said != why => {
                verbosity.hint(format_args!("still no connection to the pod: {why}"));
                *self = Self::Down(why);
            }
            (Self::Down(_), ListenerState::Connected) => {
                verbosity.hint("connected to the pod again");
                *self = Self::Up;
            }
            _ => {}
        }
    }
}
