//! A relay before the embedded pod: it counts the connections that are made to the pod, and can stop or cut each of them.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use channel_driver::{Client, Endpoint, runtime::Runtime};
use channel_pod::Pod;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use super::{pod::TOKIO, streams::LOOPBACK};

/// It ends with this, and every connection through it.
pub(crate) struct Relay {
    address: SocketAddr,
    token: String,
    links: Arc<Mutex<Vec<Link>>>,
    accepting: JoinHandle<()>,
}

/// Whether bytes go through a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Passes,
    /// What comes is left where it is, and neither end is told.
    Stands,
    /// It is dropped at once.
    Cut,
    /// It is dropped behind the first that the pod says: after the upgrade.
    CutOnceUpgraded,
}

struct Link {
    flow: watch::Sender<Flow>,
    to_pod: Arc<AtomicU64>,
    to_client: Arc<AtomicU64>,
    /// The ends that said they have no more to say.
    ends: Arc<AtomicUsize>,
    carrying: JoinHandle<()>,
}

impl Relay {
    /// A relay in which the connections, by their number, begin like this.
    pub(crate) async fn start(pod: &Pod, flow: impl Fn(usize) -> Flow + Send + 'static) -> Self {
        let (pod_address, token) = (pod.address(), pod.token().to_owned());
        let listener =
            TOKIO.spawn(TcpListener::bind(LOOPBACK)).await.expect("no panic").expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let links = Arc::<Mutex<Vec<Link>>>::default();
        let accepted = links.clone();
        let accepting = TOKIO.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut links = accepted.lock().unwrap();
                let flow = flow(links.len());
                links.push(Link::start(client, pod_address, flow));
            }
        });
        Self { address, token, links, accepting }
    }

    /// A client of the pod behind it.
    pub(crate) fn client<R: Runtime<Timer: Unpin>>(&self) -> Client<R> {
        let url = format!("http://{}", self.address);
        Client::new(Endpoint::new(&url).expect("a URL").token(&self.token))
    }

    /// How many connections were made through it.
    pub(crate) fn count(&self) -> usize {
        self.links().len()
    }

    /// The bytes that went through a connection, to the pod and to the client.
    pub(crate) fn carried(&self, nth: usize) -> (u64, u64) {
        let links = self.links();
        (links[nth].to_pod.load(Ordering::Relaxed), links[nth].to_client.load(Ordering::Relaxed))
    }

    /// How many connections there are that neither end has ended.
    pub(crate) fn open(&self) -> usize {
        self.links().iter().filter(|link| link.ends.load(Ordering::Relaxed) == 0).count()
    }

    pub(crate) fn set(&self, nth: usize, flow: Flow) {
        let links = self.links();
        match flow {
            Flow::Cut => links[nth].carrying.abort(),
            flow => drop(links[nth].flow.send_replace(flow)),
        }
    }

    fn links(&self) -> MutexGuard<'_, Vec<Link>> {
        self.links.lock().unwrap()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
        self.links().iter().for_each(|link| link.carrying.abort());
    }
}

impl Link {
    fn start(client: TcpStream, pod: SocketAddr, flow: Flow) -> Self {
        let (flow, watched) = watch::channel(flow);
        let (to_pod, to_client) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let ends = Arc::<AtomicUsize>::default();
        let carrying = carry(client, pod, watched, [to_pod.clone(), to_client.clone()], ends.clone());
        Self { flow, to_pod, to_client, ends, carrying: TOKIO.spawn(carrying) }
    }
}

async fn carry(
    client: TcpStream,
    pod: SocketAddr,
    flow: watch::Receiver<Flow>,
    [up, down]: [Arc<AtomicU64>; 2],
    ends: Arc<AtomicUsize>,
) {
    if *flow.borrow() == Flow::Cut {
        return;
    }
    let Ok(pod) = TcpStream::connect(pod).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_pod, to_pod) = pod.into_split();
    let cut = *flow.borrow() == Flow::CutOnceUpgraded;
    let up = pass(from_client, to_pod, flow.clone(), &up, &ends);
    let down = pass(from_pod, to_client, flow, &down, &ends);
    if cut {
        tokio::select! { () = up => {}, () = down => {} }
    } else {
        tokio::join!(up, down);
    }
}

/// One direction, to its end.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut flow: watch::Receiver<Flow>,
    count: &AtomicU64,
    ends: &AtomicUsize,
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        if flow.wait_for(|flow| *flow != Flow::Stands).await.is_err() {
            return;
        }
        let read = tokio::select! {
            read = from.read(&mut buffer) => read.unwrap_or(0),
            _ = flow.changed() => continue,
        };
        if read == 0 {
            ends.fetch_add(1, Ordering::Relaxed);
            let _ = to.shutdown().await;
            return;
        }
        count.fetch_add(read as u64, Ordering::Relaxed);
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
        if *flow.borrow() == Flow::CutOnceUpgraded && buffer.starts_with(b"HTTP/1.1 101") {
            return;
        }
    }
}
