//! What of a user stands in the kubeconfig or in files beside it, and that none of it is told.

use super::*;

#[test]
fn a_token_file_is_read_again() {
    let directory = Directory::new();
    let file = directory.write("token", "first\n");
    let found = directory.kubeconfig(r#""tokenFile": "token""#).endpoint().unwrap();
    assert_eq!(token_of(&found.endpoint), "first");
    directory.write("token", "second\n");
    assert_eq!(token_of(&found.endpoint), "second");
    // What is no token, and no file at all, does not count: the last one does.
    directory.write("token", "two words");
    assert_eq!(token_of(&found.endpoint), "second");
    fs::remove_file(&file).unwrap();
    assert_eq!(token_of(&found.endpoint), "second");

    // The file counts, and the token beside it only without one.
    let both = directory.kubeconfig(r#""tokenFile": "token", "token": "beside""#).endpoint().unwrap();
    assert_eq!(token_of(&both.endpoint), "beside");
    directory.write("token", "third");
    assert_eq!(token_of(&both.endpoint), "third");
}

#[test]
fn names_and_passwords() {
    let directory = Directory::new();
    let found = directory.kubeconfig(r#""username": "u", "password": "p""#).endpoint().unwrap();
    let identity = identity(&found.endpoint).unwrap();
    let Some(Authorization::Basic(value)) = &identity.authorization else { panic!("no login") };
    assert_eq!(value.to_str().unwrap(), "Basic dTpw");
    let both = refusal(&directory.kubeconfig(r#""username": "u", "password": "p", "token": "t""#));
    assert!(both.contains("\"me\"") && both.contains("which"), "{both}");
}

#[test]
fn certificates() {
    let directory = Directory::new();
    let (chain, key) = certificate();
    directory.write("chain", &chain);
    directory.write("key", &key);
    let data = |chain: &str, key: &str| {
        format!(r#""client-certificate-data": "{}", "client-key-data": "{}""#, base64(chain), base64(key))
    };
    for user in [
        data(&chain, &key),
        r#""client-certificate": "chain", "client-key": "key""#.to_owned(),
        format!(r#""client-certificate": "chain", "client-key-data": "{}""#, base64(&key)),
    ] {
        let found = directory.kubeconfig(&user).endpoint().unwrap();
        assert!(identity(&found.endpoint).unwrap().certificate.is_some(), "{user}");
    }

    // A certificate that was replaced, key and all, is the new one from then on; one that was not is not read anew.
    let found =
        directory.kubeconfig(r#""client-certificate": "chain", "client-key": "key""#).endpoint().unwrap();
    let shown = || identity(&found.endpoint).unwrap().certificate.unwrap().resolver;
    let first = shown();
    assert!(std::sync::Arc::ptr_eq(&first, &shown()));
    let (chain, key) = certificate();
    directory.write("chain", &chain);
    let half = identity(&found.endpoint).unwrap_err();
    assert!(half.contains("\"me\"") && half.contains("chain"), "{half}");
    directory.write("key", &key);
    assert!(!std::sync::Arc::ptr_eq(&first, &shown()));

    for (user, word) in [
        (r#""client-certificate": "chain""#.to_owned(), "no key"),
        (r#""client-key": "key""#.to_owned(), "no certificate"),
        (r#""client-certificate-data": "?", "client-key-data": "?""#.to_owned(), "client-certificate-data"),
        (data("no PEM", &key), "certificate"),
        (r#""auth-provider": {"name": "gcp"}"#.to_owned(), "gcp"),
    ] {
        let error = refusal(&directory.kubeconfig(&user));
        assert!(error.contains(word) && error.contains("\"me\""), "{word} in {error}");
    }
}

/// In the places where a secret stands, and in others where it may have got by mistake.
const SECRET: &str = "sEcReT";

#[test]
fn no_secret_is_told() {
    let directory = Directory::new();
    let (_, key) = certificate();
    let mut said = Vec::new();
    for user in [
        format!(r#""token": "{SECRET}""#),
        format!(r#""username": "u", "password": "{SECRET}""#),
        format!(r#""client-certificate-data": "{}", "client-key-data": "{}""#, base64(SECRET), base64(&key)),
        format!(r#""token": "{SECRET} and more""#),
        format!(
            r#""exec": {{"apiVersion": "client.authentication.k8s.io/v1", "command": "true", "env": [{{"name": "X", "value": "{SECRET}"}}]}}"#
        ),
    ] {
        let kubeconfig = directory.kubeconfig(&user);
        said.push(format!("{kubeconfig:?}"));
        match kubeconfig.endpoint() {
            Ok(found) => said.push(format!("{found:?} {:?}", identity(&found.endpoint))),
            Err(error) => said.push(format!("{error} {error:?}")),
        }
    }
    // What is no kubeconfig, at a secret or beside it.
    for broken in [
        format!("users: [{{name: me, user: {{token: {SECRET}, token: {SECRET}}}}}]"),
        format!("users: [{{name: me, user: {SECRET}}}]"),
        format!("users: {SECRET}"),
        format!("users:\n- name: me\n  user:\n    token: {SECRET}\n   wrong"),
        format!("token: '{SECRET}"),
    ] {
        let file = directory.write("broken", &broken);
        let error = Kubeconfig::from_files([file]).and_then(|kubeconfig| kubeconfig.endpoint()).unwrap_err();
        assert!(error.to_string().contains("broken"), "{error}");
        said.push(format!("{error} {error:?}"));
    }
    for said in said {
        assert!(!said.contains(SECRET) && !said.contains(&base64(SECRET)), "{said}");
        assert!(!said.contains(&base64(&key)[..40]), "{said}");
    }
}
