//! A pod served over TLS, and who may talk to it.

#![allow(clippy::unwrap_used)] // In the helpers of tests too.

mod support;

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Output};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use support::{Served, finish, program, run, text};

/// An exec of `echo yes` in the served pod, with these arguments.
fn ask(served: &Served, arguments: &[&str]) -> Output {
    let exec = ["exec", "--server", &served.url];
    run(exec.into_iter().chain(arguments.iter().copied()).chain(["embedded", "--", "echo", "yes"]))
}

fn authority(served: &Served) -> &str {
    served.facts["certificateAuthority"].as_str().unwrap()
}

fn assert_yes(output: &Output) {
    assert_eq!(text(&output.stdout), "yes\n", "{}", text(&output.stderr));
}

fn assert_no(output: &Output, code: i32, words: &[&str]) {
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{errors}");
    for word in words {
        assert!(errors.contains(word), "{word} in {errors}");
    }
}

#[test]
fn the_authority_has_to_be_believed() {
    let served = Served::with_tls([]);
    let (ca, token) = (authority(&served), served.token.as_str());
    assert!(served.url.starts_with("https://127.0.0.1:"), "{}", served.url);
    assert_yes(&ask(&served, &["--certificate-authority", ca, "--token", token]));
    assert_yes(&ask(
        &served,
        &["--certificate-authority", ca, "--token", token, "--tls-server-name", "localhost"],
    ));
    assert_yes(&ask(&served, &["--insecure-skip-tls-verify", "--token", token]));
    let of_system = ask(&served, &["--token", token]);
    assert_no(&of_system, 69, &["127.0.0.1"]);
    let wrong_name =
        ask(&served, &["--certificate-authority", ca, "--token", token, "--tls-server-name", "k8s.test"]);
    assert_no(&wrong_name, 69, &["k8s.test", "localhost"]);
    let another = Served::with_tls([]);
    assert_no(
        &ask(&served, &["--certificate-authority", authority(&another), "--token", token]),
        69,
        &["authority"],
    );
    assert_no(&ask(&served, &["--certificate-authority", ca, "--token", "wrong"]), 77, &["401"]);
}

#[test]
fn a_client_certificate_stands_for_the_token() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| {
        let file = directory.path().join(name);
        fs::write(&file, content).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let issue = |issuer: &Issuer<'_, KeyPair>| {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["me".to_owned()]).unwrap().signed_by(&key, issuer).unwrap();
        // Both in one file, as some keep them.
        certificate.pem() + &key.serialize_pem()
    };
    let authority_of = || {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), Issuer::new(params, key))
    };
    let (pem, clients) = authority_of();
    let (_, strangers) = authority_of();
    let client_ca = write("client-ca.crt", &pem);
    let (mine, strange) = (write("me.pem", &issue(&clients)), write("stranger.pem", &issue(&strangers)));

    let served = Served::with_tls(["--client-ca", &client_ca]);
    let ca = authority(&served);
    let with = |file: &str| {
        let flags = ["--certificate-authority", ca, "--client-certificate", file, "--client-key", file];
        ask(&served, &flags)
    };
    assert_yes(&with(&mine));
    assert_no(&with(&strange), 69, &["certificate"]);
    assert_no(&ask(&served, &["--certificate-authority", ca]), 77, &["401"]);
    assert_yes(&ask(&served, &["--certificate-authority", ca, "--token", &served.token]));
}

#[test]
fn what_a_client_needs_is_in_files_of_this_user() {
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("config");
    let served = Served::with_tls(["--write-kubeconfig", kubeconfig.to_str().unwrap()]);
    assert_eq!(served.facts["kubeconfig"].as_str(), kubeconfig.to_str());
    let config: serde_json::Value = serde_json::from_slice(&fs::read(&kubeconfig).unwrap()).unwrap();
    assert_eq!(config["clusters"][0]["cluster"]["server"].as_str(), Some(served.url.as_str()));
    assert_eq!(config["users"][0]["user"]["token"].as_str(), Some(served.token.as_str()));
    let mode = |file: &Path| fs::metadata(file).unwrap().permissions().mode() & 0o777;
    let temporary = Path::new(authority(&served)).parent().unwrap().to_owned();
    assert_eq!((mode(&kubeconfig), mode(&temporary)), (0o600, 0o700));
    assert_eq!(fs::read_to_string(temporary.join("token")).unwrap().trim(), served.token);
    drop(served);
    assert!(!temporary.exists() && kubeconfig.exists());
}

#[test]
fn an_unusable_proxy_of_the_environment_is_said() {
    let mut exec = program(["exec", "--server", "https://k8s.test:6443", "web", "--", "ls"]);
    let output = finish(exec.env("HTTPS_PROXY", "ftp://user:hunter2@proxy").spawn().unwrap());
    assert_no(&output, 2, &["HTTPS_PROXY"]);
    assert!(!text(&output.stderr).contains("hunter2"));
    // Nobody listens on port 1.
    let mut exec = program(["exec", "--server", "https://k8s.test:6443", "web", "--", "ls"]);
    let output = finish(exec.env("all_proxy", "socks5://127.0.0.1:1").spawn().unwrap());
    assert_no(&output, 69, &["127.0.0.1:1"]);
}
