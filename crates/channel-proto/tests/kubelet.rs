//! Requests to a kubelet or a container runtime, whose paths are not those of the API.

#![allow(clippy::unwrap_used)] // In the helpers of tests too.

use bytes::BytesMut;
use channel_proto::{
    Limits, Subprotocol,
    upgrade::{ClientUpgrade, ServerUpgrade, UpgradeRequest},
};

// Holds REQ-6.
#[test]
fn the_path_and_query_of_a_kubelet_go_out_as_they_are() {
    for target in [
        "/exec/default/bb/c1?command=sh&command=-c&command=exit%207&input=1&output=1&error=1",
        "/attach/default/bb/c1?input=1&output=1&tty=1",
        "/exec/aB3_-x9Z",
    ] {
        let request = UpgradeRequest::new("127.0.0.1:10250", target).offers([Subprotocol::V4]);
        let mut client = ClientUpgrade::new(&request, [7; 16], &Limits::default()).unwrap();
        let mut head = BytesMut::from(&client.transmit()[..]);
        assert!(head.starts_with(format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1:10250\r\n").as_bytes()));
        let incoming = ServerUpgrade::new(&Limits::default()).handle_input(&mut head).unwrap().unwrap();
        assert_eq!(incoming.request().uri().to_string(), target);
        assert_eq!(incoming.pod_request(), Ok(None), "to be read by whoever serves such paths");
        assert!(incoming.accept(&[Subprotocol::V4]).is_ok());
    }
}
