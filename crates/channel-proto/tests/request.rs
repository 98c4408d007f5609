//! What to run where: the path and query as a client writes them and a server reads them.

#![allow(clippy::unwrap_used)] // In the helpers of tests too.

use channel_proto::{
    Service,
    request::{Action, PodRequest, RequestError, Streams},
};

fn exec(command: &[&str], streams: Streams) -> PodRequest {
    PodRequest {
        namespace: "default".into(),
        pod: "bb".into(),
        container: None,
        action: Action::Exec { command: command.iter().map(|&argument| argument.to_owned()).collect() },
        streams,
    }
}

fn parse(uri: &str) -> Result<Option<PodRequest>, RequestError> {
    PodRequest::parse(&uri.parse().unwrap())
}

fn parse_query(query: &str) -> Result<PodRequest, RequestError> {
    parse(&format!("/api/v1/namespaces/default/pods/bb/exec?{query}")).map(Option::unwrap)
}

const STDOUT: Streams = Streams { stdin: false, stdout: true, stderr: false, tty: false };
const ALL: Streams = Streams { stdin: true, stdout: true, stderr: true, tty: false };

// Holds REQ-1, REQ-2, REQ-3.
#[test]
fn an_exec_is_written_in_the_order_of_its_arguments() {
    let request = PodRequest { container: Some("c 1".into()), ..exec(&["sh", "-c", "echo hi; exit 7"], ALL) };
    assert_eq!(
        request.path_and_query(),
        "/api/v1/namespaces/default/pods/bb/exec?command=sh&command=-c&command=echo%20hi%3B%20exit%207\
         &container=c%201&stdin=true&stdout=true&stderr=true"
    );
}

// Holds ATT-1, REQ-3.
#[test]
fn an_attach_has_no_command_and_false_is_not_sent() {
    let request = PodRequest { action: Action::Attach, ..exec(&[], STDOUT) };
    assert_eq!(request.path_and_query(), "/api/v1/namespaces/default/pods/bb/attach?stdout=true");
    let nothing = PodRequest { action: Action::Attach, ..exec(&[], Streams::default()) };
    assert_eq!(nothing.path_and_query(), "/api/v1/namespaces/default/pods/bb/attach");
}

// Holds REQ-1, REQ-2.
#[test]
fn whatever_the_names_and_arguments_hold_they_come_back() {
    let odd =
        ["a b", "a+b", "%41", "a&b=c", "x#y?z", "\r\nX: y", "/../", "", "üñ→\u{1F980}", "\0\x7f\"<>{}|^`"];
    let request = PodRequest {
        namespace: "n/s?".into(),
        pod: "p\r\nHost: x".into(),
        container: Some("ü".into()),
        ..exec(&odd, ALL)
    };
    let written = request.path_and_query();
    assert!(written.bytes().all(|byte| byte.is_ascii_graphic()), "{written}");
    assert_eq!(parse(&written), Ok(Some(request)));
}

// Holds REQ-2.
#[test]
fn form_encoding_is_decoded() {
    let request = parse_query("command=sh&command=-c&command=echo+hi%3B+exit%207%2b&stdout=true").unwrap();
    assert_eq!(request, exec(&["sh", "-c", "echo hi; exit 7+"], STDOUT));
}

// Holds REQ-4.
#[test]
fn every_value_but_false_and_0_means_yes() {
    for yes in ["stdout=true", "stdout=1", "stdout=banana", "stdout=", "stdout", "stdout=no", "stdout=00"] {
        assert_eq!(parse_query(yes).map(|request| request.streams), Ok(STDOUT), "{yes}");
    }
    for no in ["stdout=false", "stdout=FALSE", "stdout=0", "", "stdout=0&stdout=true", "Stdout=true"] {
        assert_eq!(parse_query(no), Err(RequestError::NoStreams), "{no}");
    }
}

// Holds UPG-13.
#[test]
fn a_request_without_streams_is_refused_in_the_servers_words() {
    let error = parse_query("command=true").unwrap_err();
    assert_eq!(error.to_string(), "you must specify at least 1 of stdin, stdout, stderr");
    assert_eq!(parse_query("command=true&tty=true&stderr=true"), Err(RequestError::NoStreams));
}

// Holds REQ-5.
#[test]
fn a_terminal_has_no_stderr() {
    let asked = Streams { tty: true, ..ALL };
    let served = Streams { stderr: false, ..asked };
    assert_eq!(asked.served(), served);
    assert_eq!(parse_query("tty=true&stdin=true&stdout=true&stderr=true").unwrap().streams, served);
    assert!(!exec(&["sh"], asked).path_and_query().contains("stderr"));
}

// Holds EXE-11.
#[test]
fn a_missing_or_empty_command_is_no_refusal() {
    assert_eq!(parse_query("stdout=true"), Ok(exec(&[], STDOUT)));
    assert_eq!(parse_query("command=&stdout=true"), Ok(exec(&[""], STDOUT)));
}

#[test]
fn unknown_parameters_are_ignored_and_the_first_of_several_counts() {
    let request = parse_query("foo=bar&ports=1&&stdout=true&container=a&container=b&stdout=false").unwrap();
    assert_eq!(request, PodRequest { container: Some("a".into()), ..exec(&[], STDOUT) });
    assert_eq!(parse_query("container=&stdout=true"), Ok(exec(&[], STDOUT)));
    let attach = parse("/api/v1/namespaces/default/pods/bb/attach?command=sh&stdout=true").unwrap().unwrap();
    assert_eq!(attach.action, Action::Attach);
}

fn forward(ports: &[u16]) -> PodRequest {
    PodRequest { action: Action::PortForward { ports: ports.to_vec() }, ..exec(&[], Streams::default()) }
}

fn parse_forward(query: &str) -> Result<PodRequest, RequestError> {
    parse(&format!("/api/v1/namespaces/default/pods/bb/portforward{query}")).map(Option::unwrap)
}

// Holds PFW-1.
#[test]
fn a_port_forward_is_its_ports_and_nothing_else() {
    let path = "/api/v1/namespaces/default/pods/bb/portforward";
    assert_eq!(forward(&[]).path_and_query(), path);
    let several = forward(&[8081, 80, 8081]);
    assert_eq!(several.path_and_query(), format!("{path}?ports=8081&ports=80&ports=8081"));
    assert_eq!(parse(&several.path_and_query()), Ok(Some(several.clone())));
    assert_eq!(several.action.service(), Service::PortForward);
    assert_eq!(Action::Attach.service(), Service::RemoteCommand);
    let odd = PodRequest { container: Some("c".into()), streams: ALL, ..several.clone() };
    assert_eq!(odd.path_and_query(), several.path_and_query());
}

// Holds PFW-1, PFW-3.
#[test]
fn ports_come_in_lists_and_again_and_again() {
    for (query, ports) in [
        ("", &[][..]),
        ("?", &[]),
        ("?stdin=true&container=x&tty=1&port=80&Ports=80", &[]),
        ("?ports=8081,8080", &[8081, 8080]),
        ("?ports=1%2C2&ports=3", &[1, 2, 3]),
        ("?ports=8081&ports=8081", &[8081, 8081]),
        ("?ports=0", &[0]),
        ("?ports=65535,00080", &[65535, 80]),
    ] {
        assert_eq!(parse_forward(query), Ok(forward(ports)), "{query}");
    }
    for bad in [
        "", "abc", "-1", "+1", "%2B1", "65536", "70000", "1.0", "0x50", "%2080", "80,", ",80", "80;81",
        "%D9%A3",
    ] {
        assert_eq!(parse_forward(&format!("?ports={bad}")), Err(RequestError::Ports), "{bad}");
        assert_eq!(parse_forward(&format!("?ports=80&ports={bad}")), Err(RequestError::Ports), "{bad}");
    }
    assert_eq!(parse_forward("?ports"), Err(RequestError::Ports));
    assert_eq!(parse_forward("?ports=%zz"), Err(RequestError::Encoding));
    assert_eq!(RequestError::Ports.to_string(), "query parameter \"ports\" is not a list of port numbers");
}

// Holds REQ-1, PFW-1.
#[test]
fn only_the_paths_of_exec_attach_and_port_forward_are_recognised() {
    for prefix in ["", "/k8s/clusters/c-1", "/a/b", "//"] {
        let uri = format!("{prefix}/api/v1/namespaces/default/pods/bb/exec?stdout=true");
        assert_eq!(parse(&uri), Ok(Some(exec(&[], STDOUT))), "{uri}");
    }
    let absolute = "http://127.0.0.1:80/api/v1/namespaces/default/pods/bb/exec?stdout=true";
    assert_eq!(parse(absolute), Ok(Some(exec(&[], STDOUT))));
    for other in [
        "/",
        "*",
        "/version",
        "/api/v1/namespaces/default/pods/bb",
        "/api/v1/namespaces/default/pods/bb/portForward?ports=80",
        "/portForward/default/bb?port=80",
        "/api/v1/namespaces/default/pods/bb/exec/",
        "/api/v1/namespaces/default/pods//exec",
        "/api/v1/namespaces//pods/bb/exec",
        "/api/v2/namespaces/default/pods/bb/exec",
        "/xapi/v1/namespaces/default/pods/bb/exec",
    ] {
        assert_eq!(parse(other), Ok(None), "{other}");
    }
}

#[test]
fn what_is_not_percent_encoded_utf_8_is_refused() {
    for bad in ["%", "%4", "%zz", "%4z", "a%", "%ff", "%c3%28", "%%41"] {
        assert_eq!(parse_query(&format!("command={bad}&stdout=true")), Err(RequestError::Encoding), "{bad}");
        let path = format!("/api/v1/namespaces/default/pods/{bad}/exec?stdout=true");
        assert_eq!(parse(&path), Err(RequestError::Encoding), "{bad}");
    }
}

// Holds FRM-8.
#[test]
fn the_first_message_goes_to_the_lowest_output() {
    let channel = |stdin, stdout, stderr, tty| Streams { stdin, stdout, stderr, tty }.first_message_channel();
    assert_eq!(channel(true, true, true, false), 1);
    assert_eq!(channel(true, false, true, false), 2);
    assert_eq!(channel(true, false, false, false), 3);
    assert_eq!(channel(true, false, true, true), 3);
}
