//! When a client is asked who it is, on any runtime.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use channel_driver::{
    AfterRejection, Credentials, Endpoint, Error, Identity, IdentityFuture, runtime::Runtime,
};

use crate::connect::{
    server::serve_with_token,
    tls::{HELLO, ask},
};

/// Hands the names of all cases to a macro, which makes a test of each.
macro_rules! all {
    ($each:ident) => {
        $each! {
            credentials::they_are_asked_for_at_every_connect
            credentials::a_stale_token_is_asked_for_again_once
            credentials::that_there_are_none_is_an_error_of_their_own
            credentials::a_name_and_a_password_do_too
        }
    };
}
pub(crate) use all;

/// Gives the tokens of a list, one after the other, and the last one again and again.
#[derive(Clone)]
struct Tokens {
    list: &'static [&'static str],
    asked: Arc<AtomicUsize>,
    rejected: Arc<AtomicUsize>,
    then: AfterRejection,
}

impl Tokens {
    fn new(list: &'static [&'static str], then: AfterRejection) -> Self {
        Self { list, asked: Arc::default(), rejected: Arc::default(), then }
    }

    /// How often they were asked for, and rejected.
    fn counts(&self) -> (usize, usize) {
        (self.asked.load(Ordering::SeqCst), self.rejected.load(Ordering::SeqCst))
    }
}

impl Credentials for Tokens {
    fn identity(&self) -> IdentityFuture<'_> {
        Box::pin(async {
            let turn = self.asked.fetch_add(1, Ordering::SeqCst);
            let token = self.list.get(turn).or(self.list.last()).ok_or("the plugin has no token")?;
            Ok(Identity::anonymous().token(*token))
        })
    }

    fn rejected(&self, _: &Identity) -> AfterRejection {
        self.rejected.fetch_add(1, Ordering::SeqCst);
        self.then
    }
}

async fn endpoint<R: Runtime<Timer: Unpin>>(credentials: impl Credentials) -> Endpoint {
    let address = serve_with_token::<R>("right").await;
    Endpoint::new(&format!("http://{address}")).unwrap().credentials(credentials)
}

pub(crate) async fn they_are_asked_for_at_every_connect<R: Runtime<Timer: Unpin>>() {
    let tokens = Tokens::new(&["right"], AfterRejection::GiveUp);
    let endpoint = endpoint::<R>(tokens.clone()).await;
    for turn in 1..=3 {
        assert_eq!(ask::<R>(endpoint.clone(), HELLO).await.unwrap(), b"hello");
        assert_eq!(tokens.counts(), (turn, 0));
    }
}

pub(crate) async fn a_stale_token_is_asked_for_again_once<R: Runtime<Timer: Unpin>>() {
    let refreshed = Tokens::new(&["stale", "right"], AfterRejection::AskAgain);
    assert_eq!(ask::<R>(endpoint::<R>(refreshed.clone()).await, HELLO).await.unwrap(), b"hello");
    assert_eq!(refreshed.counts(), (2, 1));
    for (then, counts) in [(AfterRejection::AskAgain, (2, 1)), (AfterRejection::GiveUp, (1, 1))] {
        let stale = Tokens::new(&["stale"], then);
        let error = ask::<R>(endpoint::<R>(stale.clone()).await, HELLO).await.unwrap_err();
        assert_eq!(error.refusal().unwrap().status, 401, "{error}");
        assert_eq!(stale.counts(), counts);
        assert!(!format!("{error} {error:?}").contains("stale"), "{error:?}");
    }
}

pub(crate) async fn that_there_are_none_is_an_error_of_their_own<R: Runtime<Timer: Unpin>>() {
    let none = Tokens::new(&[], AfterRejection::GiveUp);
    let error = ask::<R>(endpoint::<R>(none).await, HELLO).await.unwrap_err();
    assert!(matches!(error, Error::Credentials(_)), "{error:?}");
    assert!(error.to_string().contains("the plugin has no token"), "{error}");
}

pub(crate) async fn a_name_and_a_password_do_too<R: Runtime<Timer: Unpin>>() {
    let address = serve_with_token::<R>("Basic bWU6c2U6Y3JldA==").await;
    let identity = Identity::anonymous().basic("me", "se:cret");
    let endpoint = Endpoint::new(&format!("http://{address}")).unwrap().credentials(identity);
    assert_eq!(ask::<R>(endpoint, HELLO).await.unwrap(), b"hello");
}
