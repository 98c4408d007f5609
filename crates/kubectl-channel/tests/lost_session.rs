//! exec whose session is lost while our stdin ends and our stdout is slow: how it was lost is what counts, and all that came is there.

#![allow(clippy::unwrap_used)] // What fails fails the test.

mod support;

use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use support::{Served, finish, program, text};

/// More than a pipe holds, so that it waits for its reader, and no more than is on its way at once.
const OUTPUT: usize = 100_000;

/// How a connection is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// What comes is no frame.
    Garbage,
    /// Nothing comes any more.
    Silence,
    /// It is reset: somebody closes it who has not read all.
    Reset,
}

/// A proxy for one connection.
struct Wire {
    url: String,
    /// Bytes for the client that passed.
    passed: Arc<AtomicUsize>,
    lose: Sender<Loss>,
}

impl Wire {
    fn to(served: &Served) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (passed, (lose, lost)) = (Arc::new(AtomicUsize::new(0)), channel());
        let (counted, server) = (passed.clone(), served.url.strip_prefix("http://").unwrap().to_owned());
        thread::spawn(move || {
            let (client, _) = listener.accept().unwrap();
            carry(client, TcpStream::connect(server).unwrap(), &counted, &lost);
        });
        Self { url, passed, lose }
    }
}

/// Passes bytes on, either way in turn, until the connection is lost.
fn carry(mut client: TcpStream, mut server: TcpStream, passed: &AtomicUsize, lost: &Receiver<Loss>) {
    let mut buffer = [0; 16 << 10];
    let mut pass = |from: &mut TcpStream, to: &mut TcpStream| {
        from.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
        match from.read(&mut buffer) {
            Ok(count) => to.write_all(&buffer[..count]).map_or(0, |()| count),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => 0,
            Err(error) => panic!("{error}"),
        }
    };
    let loss = loop {
        pass(&mut client, &mut server);
        passed.fetch_add(pass(&mut server, &mut client), Ordering::SeqCst);
        if let Ok(loss) = lost.try_recv() {
            break loss;
        }
    };
    match loss {
        Loss::Garbage => client.write_all(&[0xff; 64]).unwrap(),
        Loss::Silence => {}
        Loss::Reset => {
            // Pings come all the time.
            thread::sleep(Duration::from_millis(300));
            return;
        }
    }
    // Until the client leaves.
    client.set_read_timeout(None).unwrap();
    let _ = std::io::copy(&mut client, &mut std::io::sink());
}

// Holds EXE-14, EXE-15.
#[test]
fn the_end_of_stdin_hides_no_loss_and_no_output() {
    for (loss, code) in [(Loss::Garbage, 76), (Loss::Silence, 76), (Loss::Reset, 74)] {
        let served = Served::start([]);
        let wire = Wire::to(&served);
        let script = format!("head -c {OUTPUT} /dev/zero; exec sleep 60");
        let server = ["exec", "--server", &wire.url, "--token", &served.token, "--transport", "websocket"];
        let rest = ["embedded", "-i", "--heartbeat", "0.1", "--", "sh", "-c", &script];
        let mut child = program([&server[..], &rest].concat()).stdin(Stdio::piped()).spawn().unwrap();
        let start = Instant::now();
        while wire.passed.load(Ordering::SeqCst) < OUTPUT {
            assert!(start.elapsed() < support::PATIENCE);
            thread::sleep(Duration::from_millis(5));
        }
        wire.lose.send(loss).unwrap();
        // Silence is one after twelve pings and a second. Then stdin ends, while output waits for its reader.
        thread::sleep(Duration::from_millis(if loss == Loss::Silence { 3500 } else { 1000 }));
        drop(child.stdin.take());
        thread::sleep(Duration::from_millis(300));
        assert!(child.try_wait().unwrap().is_none(), "{loss:?}: it ended before its output was taken");
        let output = finish(child);
        assert_eq!(output.status.code(), Some(code), "{loss:?}: {}", text(&output.stderr));
        assert_eq!(output.stdout.len(), OUTPUT, "{loss:?}");
    }
}
