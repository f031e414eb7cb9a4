//! WebSockets of axum in supervised worker processes: each message is sent back.
//!
//! ```sh
//! cargo run --release -p axum-websocket
//! websocat ws://127.0.0.1:8000/echo
//! ```
//!
//! Each WebSocket belongs to one worker, and other WebSockets of the same client may belong to others: what they share has to be
//! outside of the workers, such as in Redis.

use axum::{
    Router,
    extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code},
    routing::any,
};
use hostler::worker_ends;
use std::{env, process::ExitCode};

fn main() -> Result<ExitCode, hostler::Error> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".into());
    hostler::Server::new().bind(address).workers(2).serve(|| {
        // By HTTP/1.1 a WebSocket begins with GET, by HTTP/2 with CONNECT: `any` takes both.
        Router::new().route("/echo", any(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo)))
    })
}

/// Sends each message back, until the client closes or the worker ends.
async fn echo(mut socket: WebSocket) {
    loop {
        let received = tokio::select! {
            received = socket.recv() => received,
            // A stop, a reload, or a worker that is replaced. Without this, the connection would be closed a few seconds
            // later, without a close frame.
            () = worker_ends() => return say_goodbye(socket).await,
        };
        let Some(Ok(message)) = received else { return };
        // axum answers pings and closes.
        if matches!(message, Message::Text(_) | Message::Binary(_)) && socket.send(message).await.is_err() {
            return;
        }
    }
}

/// Tells the client that it may connect again at once: another worker serves it.
async fn say_goodbye(mut socket: WebSocket) {
    let reason = Utf8Bytes::from_static("the server restarts");
    let goodbye = Message::Close(Some(CloseFrame { code: close_code::RESTART, reason }));
    if socket.send(goodbye).await.is_ok() {
        // The client's own close frame is the end.
        while let Some(Ok(_)) = socket.recv().await {}
    }
}
