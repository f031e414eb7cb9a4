//! An HTTP/2 client for tests: the `h2` crate, driven by a thread of its own.

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use hostler_testkit::Server;
use hyper::{HeaderMap, Method, Request, StatusCode, Version};
use std::{
    future::Future,
    net::SocketAddr,
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    runtime::{Builder, Handle},
    sync::oneshot,
};

const LIMIT: Duration = Duration::from_secs(30);

/// A connection with prior knowledge.
pub(crate) struct Http2 {
    address: SocketAddr,
    handle: Handle,
    sender: SendRequest<Bytes>,
    /// How the connection ended.
    ended: mpsc::Receiver<Result<(), h2::Error>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Reply {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A request under way.
pub(crate) struct Exchange {
    pub(crate) response: ResponseFuture,
    /// To send the body with, or to reset the stream.
    pub(crate) sender: h2::SendStream<Bytes>,
}

impl Http2 {
    pub(crate) fn to(server: &Server) -> Self {
        Self::with(server, h2::client::Builder::new())
    }

    /// With settings of the client's own.
    pub(crate) fn with(server: &Server, builder: h2::client::Builder) -> Self {
        Self::behind(server, builder, b"")
    }

    /// Sends these bytes before anything else, as a proxy does.
    pub(crate) fn behind(server: &Server, builder: h2::client::Builder, header: &'static [u8]) -> Self {
        Self::connect(server.address.unwrap(), builder, header)
    }

    /// To an address.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self::connect(address, h2::client::Builder::new(), b"")
    }

    fn connect(address: SocketAddr, builder: h2::client::Builder, header: &'static [u8]) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (started, start) = mpsc::channel();
        #[expect(clippy::disallowed_methods, reason = "this process forks nothing by itself")]
        let thread = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            started.send(runtime.handle().clone()).unwrap();
            let _ = runtime.block_on(stopped);
        });
        let handle = start.recv().unwrap();
        let (end, ended) = mpsc::channel();
        let sender = run(&handle, async move {
            let mut socket = TcpStream::connect(address).await.unwrap();
            socket.write_all(header).await.unwrap();
            let (sender, connection) = builder.handshake(socket).await.unwrap();
            tokio::spawn(async move {
                let _ = end.send(connection.await);
            });
            sender
        });
        Self { address, handle, sender, ended, stop: Some(stop), thread: Some(thread) }
    }

    /// Runs something of this connection to its end.
    pub(crate) fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        run(&self.handle, future)
    }

    /// A request to this path.
    pub(crate) fn request(&self, method: Method, path: &str) -> Request<()> {
        let uri = format!("http://{}{path}", self.address);
        Request::builder().version(Version::HTTP_2).method(method).uri(uri).body(()).unwrap()
    }

    /// Begins a request; `ends`: it has no body.
    pub(crate) fn begin(&self, request: Request<()>, ends: bool) -> Result<Exchange, h2::Error> {
        let sender = self.sender.clone();
        self.run(async move {
            let (response, sender) = sender.ready().await?.send_request(request, ends)?;
            Ok(Exchange { response, sender })
        })
    }

    /// Waits for the response to a request.
    pub(crate) fn end(&self, exchange: Exchange) -> Result<Reply, h2::Error> {
        self.run(async move {
            let Exchange { response, sender } = exchange;
            let reply = read(response).await;
            drop(sender);
            reply
        })
    }

    /// Waits for the responses to requests together: the bodies of one would keep those of another from arriving.
    pub(crate) fn end_all(&self, exchanges: Vec<Exchange>) -> Vec<Result<Reply, h2::Error>> {
        self.run(async move {
            let tasks: Vec<_> = exchanges
                .into_iter()
                .map(|Exchange { response, sender }| {
                    tokio::spawn(async move {
                        let reply = read(response).await;
                        drop(sender);
                        reply
                    })
                })
                .collect();
            let mut replies = Vec::new();
            for task in tasks {
                replies.push(task.await.unwrap());
            }
            replies
        })
    }

    pub(crate) fn send(&self, request: Request<()>) -> Result<Reply, h2::Error> {
        self.end(self.begin(request, true)?)
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).unwrap()
    }

    /// Asks for a WebSocket on a stream.
    pub(crate) fn websocket(&self, path: &str) -> Exchange {
        let mut request = self.request(Method::CONNECT, path);
        request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
        request.headers_mut().insert("sec-websocket-version", "13".parse().unwrap());
        let sender = self.sender.clone();
        self.run(async move {
            let sender = sender.ready().await.unwrap();
            // The server says that it may be asked.
            while !sender.is_extended_connect_protocol_enabled() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let mut sender = sender;
            let (response, sender) = sender.send_request(request, false).unwrap();
            Exchange { response, sender }
        })
    }

    /// Has a WebSocket on a stream send a short message back; what the server has sent, to its close frame.
    pub(crate) fn echo(&self, path: &str) -> Vec<u8> {
        let Exchange { response, mut sender } = self.websocket(path);
        self.run(async move {
            let response = response.await.unwrap();
            assert_eq!(response.status(), 200);
            // A masked text message of two bytes, and a close.
            sender.send_data(b"\x81\x82\0\0\0\0hi".as_slice().into(), false).unwrap();
            let mut body = response.into_body();
            let mut received = body.data().await.unwrap().unwrap().to_vec();
            sender.send_data(b"\x88\x82\0\0\0\0\x03\xe8".as_slice().into(), true).unwrap();
            while let Some(Ok(more)) = body.data().await {
                received.extend_from_slice(&more);
            }
            received
        })
    }

    /// Begins a GET.
    pub(crate) fn ask(&self, path: &str) -> Exchange {
        self.begin(self.request(Method::GET, path), true).unwrap()
    }

    pub(crate) fn post(&self, path: &str, body: Vec<u8>) -> Result<Reply, h2::Error> {
        let mut exchange = self.begin(self.request(Method::POST, path), false)?;
        self.run(async move {
            // Responded to early: the rest of the body is not wanted.
            let _ = send_all(&mut exchange.sender, body).await;
            read(exchange.response).await
        })
    }

    /// How the connection ends.
    pub(crate) fn ended(&self) -> Result<(), h2::Error> {
        self.ended.recv_timeout(LIMIT).expect("the connection ends")
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run<T: Send + 'static>(handle: &Handle, future: impl Future<Output = T> + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    handle.spawn(async move {
        let _ = done.send(future.await);
    });
    result.recv_timeout(LIMIT).expect("it is done in time")
}

/// Sends a body as the server makes room for it.
pub(crate) async fn send_all(sender: &mut h2::SendStream<Bytes>, body: Vec<u8>) -> Result<(), h2::Error> {
    let mut left = Bytes::from(body);
    while !left.is_empty() {
        sender.reserve_capacity(left.len());
        let room = std::future::poll_fn(|cx| sender.poll_capacity(cx)).await;
        let Some(room) = room else { return Ok(()) };
        sender.send_data(left.split_to(room?.min(left.len())), false)?;
    }
    sender.send_data(Bytes::new(), true)
}

async fn read(response: ResponseFuture) -> Result<Reply, h2::Error> {
    let (head, mut stream) = response.await?.into_parts();
    let mut body = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece?;
        stream.flow_control().release_capacity(piece.len())?;
        body.extend_from_slice(&piece);
    }
    let trailers = stream.trailers().await?;
    Ok(Reply { status: head.status, headers: head.headers, body, trailers })
}
