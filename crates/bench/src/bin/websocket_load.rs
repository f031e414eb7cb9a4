//! WebSocket load: each connection sends 100 bytes, waits for them to come back, and sends again.
//!
//! It takes wrk's arguments (`-cN`, `-dSECONDS`, the address as the last one) and prints what compare.py reads of
//! wrk's report, so that it can stand in for it.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SIZE: usize = 100;

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |flag: &str, default: u64| {
        let value = arguments.iter().find_map(|argument| argument.strip_prefix(flag)?.parse().ok());
        value.unwrap_or(default)
    };
    let (connections, seconds) = (number("-c", 64), number("-d", 2));
    let address = arguments.last().map(String::as_str).unwrap_or_default();
    let address = address.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let began = Instant::now();
    let end = began + Duration::from_secs(seconds);
    let mut latencies = runtime.block_on(async {
        let mut clients = Vec::new();
        for _ in 0..connections {
            clients.push(tokio::spawn(client(open(&address)?, end)));
        }
        let mut all = Vec::new();
        for client in clients {
            all.extend(client.await.map_err(std::io::Error::other)??);
        }
        std::io::Result::Ok(all)
    })?;
    latencies.sort_unstable();
    let at = |share: usize| latencies.get(latencies.len() * share / 100).copied().unwrap_or_default();
    println!("  50% {}us", at(50).as_micros());
    println!("  99% {}us", at(99).as_micros());
    println!("  {} requests in {}s", latencies.len(), seconds);
    println!("Requests/sec: {:.2}", latencies.len() as f64 / began.elapsed().as_secs_f64());
    Ok(())
}

fn open(address: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    write!(
        stream,
        "GET / HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )?;
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    stream.set_nonblocking(true)?;
    Ok(stream)
}

async fn client(stream: TcpStream, end: Instant) -> std::io::Result<Vec<Duration>> {
    let mut stream = tokio::net::TcpStream::from_std(stream)?;
    // A binary frame, masked with zeros.
    let mut message = vec![0x82, 0x80 | SIZE as u8, 0, 0, 0, 0];
    message.resize(6 + SIZE, b'x');
    let mut answer = [0; 2 + SIZE];
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let sent = Instant::now();
        stream.write_all(&message).await?;
        stream.read_exact(&mut answer).await?;
        latencies.push(sent.elapsed());
    }
    Ok(latencies)
}
