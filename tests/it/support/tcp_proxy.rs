//! A network between the gateway and its database that can be cut, refuse, or swallow everything.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

pub struct TcpProxy {
    pub address: SocketAddr,
    to: String,
    open: Arc<Mutex<Vec<Connection>>>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

struct Connection {
    task: JoinHandle<()>,
    /// What the server knows this connection by.
    port: u16,
    silent: Arc<AtomicBool>,
}

impl TcpProxy {
    pub async fn start(to: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = Self { address, to: to.to_owned(), open: Arc::default(), accepting: Mutex::default() };
        proxy.accept_on(listener, false);
        proxy
    }

    fn accept_on(&self, listener: TcpListener, silent: bool) {
        let (to, open) = (self.to.clone(), self.open.clone());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&to).await else { continue };
                let port = server.local_addr().unwrap().port();
                let silent = Arc::new(AtomicBool::new(silent));
                let task = tokio::spawn(pass(client, server, silent.clone()));
                open.lock().unwrap().push(Connection { task, port, silent });
            }
        });
        if let Some(old) = self.accepting.lock().unwrap().replace(task) {
            old.abort();
        }
    }

    async fn listen_again(&self) -> TcpListener {
        loop {
            // The old listener's task ends a moment after it was told to.
            match TcpListener::bind(self.address).await {
                Ok(listener) => return listener,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }

    /// Ends every connection and refuses new ones.
    pub fn cut(&self) {
        if let Some(accepting) = self.accepting.lock().unwrap().take() {
            accepting.abort();
        }
        for connection in self.open.lock().unwrap().drain(..) {
            connection.task.abort();
        }
    }

    /// New connections are taken again, and work.
    pub async fn restore(&self) {
        if let Some(accepting) = self.accepting.lock().unwrap().take() {
            accepting.abort();
        }
        let listener = self.listen_again().await;
        self.accept_on(listener, false);
    }

    /// Connections stay open, and nothing passes any more; new ones are taken and get no answer. Those there are now stay
    /// silent for good, as when a router has forgotten them.
    pub async fn swallow(&self) {
        for connection in self.open.lock().unwrap().iter() {
            connection.silent.store(true, Ordering::SeqCst);
        }
        if let Some(accepting) = self.accepting.lock().unwrap().take() {
            accepting.abort();
        }
        let listener = self.listen_again().await;
        self.accept_on(listener, true);
    }

    /// The ports on our side of the connections to the server.
    pub fn ports(&self) -> Vec<u16> {
        self.open.lock().unwrap().iter().map(|connection| connection.port).collect()
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.cut();
    }
}

async fn pass(client: TcpStream, server: TcpStream, silent: Arc<AtomicBool>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let there = copy(&mut from_client, &mut to_server, &silent);
    let back = copy(&mut from_server, &mut to_client, &silent);
    tokio::select! {
        () = there => {}
        () = back => {}
    }
}

async fn copy(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    silent: &AtomicBool,
) {
    let mut bytes = [0; 16 << 10];
    while let Ok(n @ 1..) = from.read(&mut bytes).await {
        if silent.load(Ordering::SeqCst) {
            continue;
        }
        if to.write_all(&bytes[..n]).await.is_err() {
            return;
        }
    }
}
