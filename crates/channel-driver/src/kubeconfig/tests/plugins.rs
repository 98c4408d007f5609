//! Plugins: small scripts, which count how often they are run.

use std::{
    thread,
    time::{Duration, SystemTime},
};

use super::*;
use crate::AfterRejection;

const V1: &str = "client.authentication.k8s.io/v1";

struct Scripted {
    directory: Directory,
    found: Found,
}

impl Scripted {
    /// A plugin that runs this as a shell script; `answer STATUS` prints a credential with this status, in JSON.
    fn new(script: &str) -> Self {
        Self::with(script, "")
    }

    /// With these fields beside the others, as JSON.
    fn with(script: &str, fields: &str) -> Self {
        let directory = Directory::new();
        let whole = format!(
            "cd \"$(dirname \"$0\")\"\necho run >> runs\n\
             answer() {{ printf '%s\n' '{{\"kind\": \"ExecCredential\", \"apiVersion\": \"{V1}\", \"status\": '\"$1\"'}}'; }}\n{script}"
        );
        let script = directory.write("plugin.sh", whole);
        let user = format!(
            r#""exec": {{"apiVersion": "{V1}", "command": "sh", "args": [{script:?}], "interactiveMode": "Never"{fields}}}"#
        );
        let server = r#""server": "https://k8s.test:6443", "tls-server-name": "other.test""#;
        let found = directory.with_cluster(server, &user).endpoint().unwrap();
        Self { directory, found }
    }

    fn runs(&self) -> usize {
        let runs = fs::read_to_string(self.directory.0.path().join("runs"));
        runs.map_or(0, |runs| runs.lines().count())
    }

    fn identity(&self) -> Result<Identity, String> {
        identity(&self.found.endpoint)
    }

    fn token(&self) -> String {
        token_of(&self.found.endpoint)
    }

    fn rejected(&self, identity: &Identity) {
        assert_eq!(self.found.endpoint.credentials.rejected(identity), AfterRejection::AskAgain);
    }

    /// Asks from this many threads at once.
    fn all_at_once(&self, count: usize) -> Vec<Result<String, String>> {
        thread::scope(|scope| {
            let ask = || self.identity().map(|identity| token(&identity).unwrap().to_owned());
            let asking: Vec<_> = (0..count).map(|_| scope.spawn(ask)).collect();
            asking.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }
}

/// `count` prints how often it was run, and this is a token with that number.
const NUMBERED: &str = r#"answer "{\"token\": \"t$(wc -l < runs)\"}""#;

#[test]
fn nothing_is_run_before_it_is_needed_and_then_once() {
    let plugin = Scripted::new(NUMBERED);
    assert_eq!(plugin.runs(), 0);
    assert_eq!((plugin.token(), plugin.token()), ("t1".into(), "t1".into()));
    assert_eq!(plugin.runs(), 1);
}

#[test]
fn sessions_that_start_at_once_run_it_once() {
    let plugin = Scripted::new(&format!("sleep 0.3\n{NUMBERED}"));
    for answer in plugin.all_at_once(16) {
        assert_eq!(answer.unwrap(), "t1");
    }
    assert_eq!(plugin.runs(), 1);
}

#[test]
fn sessions_that_start_at_once_share_a_failure() {
    let plugin = Scripted::new("sleep 0.5; exit 3");
    for answer in plugin.all_at_once(16) {
        let error = answer.unwrap_err();
        assert!(error.contains("\"me\"") && error.contains("\"sh\"") && error.contains('3'), "{error}");
    }
    let shared = plugin.runs();
    assert!(shared <= 2, "{shared} runs");
    // Whoever comes later tries again.
    plugin.identity().unwrap_err();
    assert_eq!(plugin.runs(), shared + 1);
}

#[test]
fn a_run_goes_on_when_nobody_waits() {
    let plugin = Scripted::new(&format!("sleep 0.3\n{NUMBERED}"));
    let source = plugin.found.endpoint.credentials.clone();
    let mut asking = source.identity();
    let polled = block_on(futures_lite::future::poll_once(asking.as_mut()));
    assert!(polled.is_none());
    drop(asking);
    assert_eq!(plugin.token(), "t1");
    assert_eq!(plugin.runs(), 1);
}

#[test]
fn what_expires_is_asked_for_again() {
    let at = |time: SystemTime| jiff::Timestamp::try_from(time).unwrap().to_string();
    let expiring = |expires: SystemTime| {
        Scripted::new(&format!(
            r#"answer "{{\"token\": \"t$(wc -l < runs)\", \"expirationTimestamp\": \"{}\"}}""#,
            at(expires)
        ))
    };
    let past = expiring(SystemTime::now() - Duration::from_secs(1));
    assert_eq!((past.token(), past.token()), ("t1".into(), "t2".into()));
    let future = expiring(SystemTime::now() + Duration::from_secs(3600));
    assert_eq!((future.token(), future.token()), ("t1".into(), "t1".into()));
}

#[test]
fn what_is_rejected_is_asked_for_again_once() {
    let plugin = Scripted::new(NUMBERED);
    let old = plugin.identity().unwrap();
    plugin.rejected(&old);
    assert_eq!(plugin.token(), "t2");
    // Another session comes late with the same bad news.
    plugin.rejected(&old);
    assert_eq!(plugin.token(), "t2");
    assert_eq!(plugin.runs(), 2);
}

#[test]
fn certificates() {
    let (chain, key) = certificate();
    let json = |pem: &str| pem.replace('\n', "\\n");
    let both = Scripted::new(&format!(
        r#"answer '{{"clientCertificateData": "{}", "clientKeyData": "{}"}}'"#,
        json(&chain),
        json(&key),
    ));
    let identity = both.identity().unwrap();
    assert!(identity.certificate.is_some() && identity.authorization.is_none());
}

#[test]
fn it_is_told_what_it_is_for() {
    let plugin = Scripted::with(
        r#"printf %s "$KUBERNETES_EXEC_INFO" > info; printf %s "$HELLO" > hello; answer '{"token": "t"}'"#,
        r#", "env": [{"name": "HELLO", "value": "there"}], "provideClusterInfo": true"#,
    );
    assert_eq!(plugin.token(), "t");
    let said = |name: &str| fs::read_to_string(plugin.directory.0.path().join(name)).unwrap();
    assert_eq!(said("hello"), "there");
    let info: serde_json::Value = serde_json::from_str(&said("info")).unwrap();
    assert_eq!(info["apiVersion"], V1);
    assert_eq!(info["kind"], "ExecCredential");
    assert_eq!(info["spec"]["interactive"], false);
    assert_eq!(info["spec"]["cluster"]["server"], "https://k8s.test:6443");
    assert_eq!(info["spec"]["cluster"]["tls-server-name"], "other.test");
}

#[test]
fn bad_answers() {
    let secret = "sEcReT";
    for (script, word) in [
        (format!("echo {secret}"), "no ExecCredential"),
        (format!(r#"echo '{{"kind": "Pod", "token": "{secret}"}}'"#), "no ExecCredential"),
        (
            format!(
                r#"echo '{{"kind": "ExecCredential", "apiVersion": "{V1}beta1", "status": {{"token": "{secret}"}}}}'"#
            ),
            "version",
        ),
        (format!(r#"echo '{{"kind": "ExecCredential", "apiVersion": "{V1}", "x": "{secret}"}}'"#), "status"),
        (r#"answer '{}'"#.to_owned(), "neither"),
        (format!(r#"answer '{{"clientKeyData": "{secret}"}}'"#), "other way round"),
        (
            format!(r#"answer '{{"clientKeyData": "{secret}", "clientCertificateData": "x"}}'"#),
            "cannot be used",
        ),
        (format!(r#"answer '{{"token": "{secret} x"}}'"#), "characters"),
        (
            format!(r#"answer '{{"token": "{secret}", "expirationTimestamp": "soon"}}'"#),
            "expirationTimestamp",
        ),
        (format!("while echo {secret}; do :; done"), "endless"),
        (format!("answer '{{\"token\": \"{secret}\"}}'; kill -9 $$"), "signal: 9"),
    ] {
        let error = Scripted::new(&script).identity().unwrap_err();
        assert!(error.contains(word) && error.contains("\"me\""), "{word} in {error}");
        assert!(!error.contains(secret), "{error}");
    }
}

#[test]
fn plugins_that_cannot_be() {
    let directory = Directory::new();
    let exec = |fields: &str| directory.kubeconfig(&format!(r#""exec": {{{fields}}}"#)).endpoint();
    let absent =
        exec(&format!(r#""apiVersion": "{V1}", "command": "absent-plugin", "installHint": "get it""#))
            .unwrap();
    let error = identity(&absent.endpoint).unwrap_err();
    assert!(error.contains("absent-plugin") && error.contains("get it"), "{error}");
    let beta = format!(r#""apiVersion": "{V1}beta1", "command": "true""#);
    exec(&beta).unwrap();
    for (fields, word) in
        [(r#""command": "true""#.to_owned(), "apiVersion"), (format!(r#""apiVersion": "{V1}""#), "command")]
    {
        let error = exec(&fields).unwrap_err().to_string();
        assert!(error.contains(word) && error.contains("\"me\""), "{word} in {error}");
    }
    // A token counts, and the plugin beside it is not asked.
    let user = format!(r#""token": "t", "exec": {{"apiVersion": "{V1}", "command": "absent-plugin"}}"#);
    assert_eq!(token_of(&directory.kubeconfig(&user).endpoint().unwrap().endpoint), "t");
}
