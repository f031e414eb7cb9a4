//! A native service whose requests are followed by other protocols; with ACCESS_LOG, there is an access log.

use axum::{
    Router,
    body::Body,
    extract::{
        Request,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade},
    },
    response::{IntoResponse, Response},
    routing::{any, get},
};
use hyper::{
    Method, StatusCode,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use std::{env, future::pending, process, process::ExitCode, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn main() -> Result<ExitCode, hostler::Error> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".into());
    let mut server = hostler::Server::new()
        .log_level(hostler::LogLevel::Debug)
        .bind(address)
        .workers(1)
        .stall_timeout(Duration::from_secs(2))
        .request_timeout(Duration::from_secs(1));
    if let Ok(seconds) = env::var("GRACE_SECONDS") {
        server = server.graceful_timeout(Duration::from_secs(seconds.parse().expect("a number")));
    }
    if let (Ok(certificate), Ok(key)) = (env::var("TLS_CERTIFICATE"), env::var("TLS_KEY")) {
        server = server.tls(certificate, key);
    }
    if let Ok(file) = env::var("ACCESS_LOG") {
        server = server.access_log(file).access_log_format("json");
    }
    server.serve(|| {
        Router::new()
            .route("/pid", get(async || process::id().to_string()))
            .route("/echo", any(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo)))
            .route("/goodbye", any(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo_and_goodbye)))
            .route("/deaf", any(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(never_reads)))
            .route("/pour", any(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(pour)))
            .route("/thread", any(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(on_a_thread)))
            .route("/raw", any(async |request| raw(request, echo_bytes).await))
            .route("/flood", any(async |request| raw(request, flood).await))
            .route("/last", any(async |request| raw(request, last_words).await))
            .route("/speech", any(async |request| raw(request, speech).await))
            .route("/read", any(after_reading))
            .route("/block", any(async |request| raw(request, block).await))
            .route("/refuse", any(refuse))
            .route("/forget", any(forget))
    })
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if matches!(message, Message::Text(_) | Message::Binary(_)) && socket.send(message).await.is_err() {
            break;
        }
    }
    tell("the echo has ended");
}

async fn echo_and_goodbye(mut socket: WebSocket) {
    loop {
        tokio::select! {
            received = socket.recv() => match received {
                Some(Ok(message)) => drop(socket.send(message).await),
                Some(Err(_)) | None => return,
            },
            () = hostler::worker_ends() => break,
        }
    }
    let reason = CloseFrame { code: 1012, reason: Utf8Bytes::from_static("goodbye") };
    let _ = socket.send(Message::Close(Some(reason))).await;
    while let Some(Ok(_)) = socket.recv().await {}
    tell("goodbye was said");
}

/// Knows nothing of the worker's end, nor of the client's.
async fn never_reads(socket: WebSocket) {
    tell("a WebSocket is not read");
    let _socket = socket;
    pending::<()>().await;
}

/// Sends messages as fast as the client reads.
async fn pour(mut socket: WebSocket) {
    let mut sent = 0;
    while socket.send(Message::Binary(vec![b'x'; 64 * 1024].into())).await.is_ok() {
        sent += 1;
        tell(&format!("poured {sent} messages"));
    }
    tell("the pouring has ended");
}

/// Speaks from another thread than the worker's.
async fn on_a_thread(mut socket: WebSocket) {
    #[expect(clippy::disallowed_methods, reason = "a worker may have threads")]
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async move {
            while let Some(Ok(message)) = socket.recv().await {
                if socket.send(message).await.is_err() {
                    break;
                }
            }
        });
        tell("the thread has ended");
    });
}

/// Another protocol than WebSocket.
async fn raw<F>(mut request: Request, speak: fn(TokioIo<Upgraded>) -> F) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => speak(TokioIo::new(upgraded)).await,
            Err(error) => tell(&format!("no upgrade: {error}")),
        }
    });
    if request.method() == Method::CONNECT {
        return StatusCode::OK.into_response();
    }
    let response = Response::builder().status(101).header("connection", "upgrade").header("upgrade", "raw");
    response.body(Body::empty()).expect("a head")
}

/// Reads the request's body first.
async fn after_reading(mut request: Request) -> Response {
    let upgrade = request.extensions_mut().remove::<OnUpgrade>().expect("an upgrade");
    let (mut head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
    tell(&format!("read {} bytes before", body.len()));
    head.extensions.insert(upgrade);
    raw(Request::from_parts(head, Body::empty()), echo_bytes).await
}

/// Until the client sends no more; what it has sent last is sent back then.
async fn echo_bytes(mut bytes: TokioIo<Upgraded>) {
    let mut block = vec![0; 4096];
    loop {
        match bytes.read(&mut block).await {
            Ok(0) => break,
            Ok(count) => {
                if bytes.write_all(&block[..count]).await.is_err() {
                    return tell("the client is gone");
                }
            }
            Err(error) => return tell(&format!("read: {error}")),
        }
    }
    let _ = bytes.write_all(b"bye").await;
    tell("the client sends no more");
}

/// Writes as fast as the client reads, and faster if it may.
async fn flood(mut bytes: TokioIo<Upgraded>) {
    let block = vec![b'x'; 64 * 1024];
    let mut sent = 0_u64;
    while bytes.write_all(&block).await.is_ok() {
        sent += block.len() as u64;
        if sent.is_multiple_of(1024 * 1024) {
            tell(&format!("flooded {} MiB", sent >> 20));
        }
    }
    tell("the flood has ended");
}

/// Writes much and is gone at once.
async fn last_words(mut bytes: TokioIo<Upgraded>) {
    let _ = bytes.write_all(&vec![b'w'; 1_000_000]).await;
    tell("it was said");
}

/// Writes more than a client reads at once, and is gone.
async fn speech(mut bytes: TokioIo<Upgraded>) {
    let _ = bytes.write_all(&vec![b's'; 3_000_000]).await;
    tell("the speech was held");
}

async fn block(_bytes: TokioIo<Upgraded>) {
    std::thread::sleep(Duration::from_secs(1_000_000));
}

/// Has asked for the upgrade, and responds with something else.
async fn refuse(mut request: Request) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let told = upgrade.await.err().map(|error| error.to_string());
        tell(&format!("refused: {}", told.unwrap_or_default()));
    });
    (StatusCode::FORBIDDEN, "another time").into_response()
}

/// Says that another protocol follows, and speaks none.
async fn forget() -> Response {
    let response = Response::builder().status(101).header("connection", "upgrade").header("upgrade", "raw");
    response.body(Body::empty()).expect("a head")
}

#[expect(clippy::print_stderr, reason = "tests read it in the server's log")]
fn tell(what: &str) {
    eprintln!("{what}");
}
