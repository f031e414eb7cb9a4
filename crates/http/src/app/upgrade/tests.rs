use super::{
    carry::Carry,
    handshake::Handshake,
    pipe::{self, ConnectionEnd},
};
use crate::Upgraded;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::{future::Future, io::ErrorKind};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    runtime::Builder,
};

type Service = TokioIo<hyper::upgrade::Upgraded>;

fn offer() -> (Handshake, OnUpgrade, ConnectionEnd) {
    let (service, connection) = pipe::pipe();
    let (handshake, upgrade) = Handshake::begin(service).expect("hyper upgrades");
    (handshake, upgrade, connection)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// What the connection's task does, the service's end, and the client over a socket that holds so many bytes.
async fn carried(room: usize) -> (Carry, Service, DuplexStream) {
    let (handshake, upgrade, connection) = offer();
    handshake.complete();
    let (server, client) = duplex(room);
    (Carry::new(Upgraded::new(server), connection), TokioIo::new(upgrade.await.unwrap()), client)
}

fn bytes(count: usize, seed: u8) -> Vec<u8> {
    (0..count).map(|at| seed.wrapping_add((at % 251) as u8)).collect()
}

#[test]
fn bytes_pass_both_ways_at_once_whatever_the_pieces() {
    for room in [1, 7, 4096, 1 << 20] {
        let count = (room * 3000).min(300_000);
        let (there, back) = (bytes(count, 1), bytes(count / 2, 9));
        run(async {
            let (carry, service, client) = carried(room).await;
            let exchange = async |stream: &mut (dyn Both + Unpin), out: &[u8], expected: &[u8]| {
                let (mut reads, mut writes) = tokio::io::split(stream);
                let write = async {
                    writes.write_all(out).await.unwrap();
                    writes.shutdown().await.unwrap();
                };
                let read = async {
                    let mut all = Vec::new();
                    reads.read_to_end(&mut all).await.unwrap();
                    assert!(all == expected, "{} of {} bytes", all.len(), expected.len());
                };
                tokio::join!(write, read);
            };
            let (mut service, mut client) = (service, client);
            tokio::join!(carry, exchange(&mut service, &back, &there), exchange(&mut client, &there, &back));
        });
    }
}

trait Both: tokio::io::AsyncRead + tokio::io::AsyncWrite {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite> Both for T {}

#[test]
fn a_service_that_is_told_no_has_no_upgrade() {
    run(async {
        let (handshake, upgrade, connection) = offer();
        drop((handshake, connection));
        assert!(upgrade.await.unwrap_err().is_canceled());
    });
}

#[test]
fn a_service_whose_connection_is_over_reads_to_the_end_and_writes_nothing() {
    run(async {
        let (carry, mut service, mut client) = carried(64).await;
        client.write_all(b"last").await.unwrap();
        drop(client);
        let serve = async {
            let mut all = Vec::new();
            service.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, b"last");
            // Until it was tried, the client might have closed its side alone.
            loop {
                if let Err(error) = service.write_all(b"more").await {
                    break assert_eq!(error.kind(), ErrorKind::BrokenPipe);
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(carry, serve);
    });
}

#[test]
fn a_service_that_is_gone_is_waited_for_no_longer_than_its_client_reads() {
    run(async {
        let (carry, mut service, mut client) = carried(64).await;
        let said = async {
            service.write_all(&[7; 50_000]).await.unwrap();
            drop(service);
        };
        let heard = async {
            // It sends what nobody reads, and does not close.
            client.write_all(b"unread").await.unwrap();
            let mut all = Vec::new();
            client.read_to_end(&mut all).await.unwrap();
            assert_eq!(all.len(), 50_000);
            client
        };
        let ((), _client, ()) = tokio::join!(said, heard, carry);
    });
}

#[test]
fn a_pipe_holds_no_more_than_it_has_room_for() {
    run(async {
        let (_carry, mut service, _client) = carried(64).await;
        let mut written = 0;
        loop {
            tokio::select! {
                biased;
                count = service.write(&[0; 1000]) => written += count.unwrap(),
                () = std::future::ready(()) => break,
            }
        }
        assert_eq!(written, 64 * 1024);
    });
}

#[test]
fn a_service_whose_connection_broke_reads_that_and_no_end() {
    run(async {
        let (carry, mut service, mut client) = carried(64).await;
        client.write_all(b"first").await.unwrap();
        // The connection's task is given the bytes, and then ends as one whose worker has no time left.
        let mut carry = Box::pin(carry);
        std::future::poll_fn(|cx| {
            assert!(carry.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        drop(carry);
        let mut all = Vec::new();
        let error = service.read_to_end(&mut all).await.unwrap_err();
        assert_eq!((all.as_slice(), error.kind()), (&b"first"[..], ErrorKind::ConnectionAborted));
    });
}
