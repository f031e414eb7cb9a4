//! WebSockets, with tungstenite as the client and bytes of the tests' own where it would not send them.

mod endings;
mod pressure;
mod protocol;

use hostler_testkit::{Conn, Server};
use std::net::TcpStream;
use tungstenite::{
    Message, WebSocket, client::IntoClientRequest, handshake::client::Response,
    http::header::SEC_WEBSOCKET_PROTOCOL, protocol::CloseFrame,
};

fn serve() -> Server {
    Server::app("websocket_app:app").option("workers", 1).start()
}

pub(crate) fn try_connect(
    server: &Server,
    path: &str,
    subprotocols: Option<&str>,
) -> Result<(WebSocket<TcpStream>, Response), String> {
    let address = server.address.unwrap();
    let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
    if let Some(names) = subprotocols {
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, names.parse().unwrap());
    }
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(hostler_testkit::LIMIT)).unwrap();
    tungstenite::client(request, stream).map_err(|error| error.to_string())
}

pub(crate) fn connect(server: &Server, path: &str) -> WebSocket<TcpStream> {
    try_connect(server, path, None).unwrap().0
}

pub(crate) fn close_of(socket: &mut WebSocket<TcpStream>) -> (u16, String) {
    loop {
        match socket.read() {
            Ok(Message::Close(Some(CloseFrame { code, reason }))) => {
                return (code.into(), reason.to_string());
            }
            Ok(_) => {}
            Err(error) => panic!("no close frame: {error}"),
        }
    }
}

fn handshake(server: &Server, path: &str, key: &str, version: &str) -> hostler_testkit::Reply {
    let mut conn = server.connect();
    send_handshake(&mut conn, path, key, version);
    conn.reply().unwrap()
}

/// Asks for a WebSocket.
pub(crate) fn handshake_of(conn: &mut Conn, path: &str) {
    send_handshake(conn, path, "dGhlIHNhbXBsZSBub25jZQ==", "13");
}

fn send_handshake(conn: &mut Conn, path: &str, key: &str, version: &str) {
    conn.send(format!(
        "GET {path} HTTP/1.1\r\nhost: t\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-key: {key}\r\nsec-websocket-version: {version}\r\n\r\n"
    ));
}
