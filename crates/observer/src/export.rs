//! Exporting metrics: a POST of OTLP in JSON to a collector, from time to time.
//!
//! The client is the least that HTTP/1.1 needs: one request on each connection, and the status of its response. A collector that is
//! slow or away costs a time limit and nothing else, and is told of once.

use crate::{metrics, respond::Observer};
use hostler_wire::OtlpSettings;
use std::{io, rc::Rc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{MissedTickBehavior, interval, timeout},
};
use tracing::{info, warn};

/// How long an export may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Exports for ever.
pub(crate) async fn run(observer: Rc<Observer>, settings: OtlpSettings) {
    let mut due = interval(settings.interval);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        due.tick().await;
        // Of two servers during an upgrade, one exports.
        if !observer.has_service() {
            continue;
        }
        let exported = timeout(LIMIT, export(&observer, &settings)).await;
        let outcome = exported.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        match (outcome, failing) {
            (Err(error), false) => {
                warn!(endpoint = settings.endpoint, %error, "cannot export metrics: trying again")
            }
            (Ok(()), true) => info!(endpoint = settings.endpoint, "metrics are exported again"),
            _ => continue,
        }
        failing = !failing;
    }
}

async fn export(observer: &Observer, settings: &OtlpSettings) -> io::Result<()> {
    observer.measure().await;
    let body = metrics::otlp(observer, &hostler_status::read(&observer.board), &settings.service).to_string();
    let mut stream = TcpStream::connect(&settings.authority).await?;
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nUser-Agent: hostler/{}\r\nConnection: close\r\n\r\n",
        settings.path,
        settings.authority,
        body.len(),
        observer.facts.version,
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    let mut response = [0; 64];
    let mut read = 0;
    while read < b"HTTP/1.1 200".len() {
        match stream.read(&mut response[read..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => read += count,
        }
    }
    let line = String::from_utf8_lossy(&response[..read]);
    match line.split(' ').nth(1).and_then(|status| status.get(..3)) {
        Some(status) if status.starts_with('2') => Ok(()),
        status => {
            Err(io::Error::other(format!("the collector responded with {}", status.unwrap_or("no status"))))
        }
    }
}
