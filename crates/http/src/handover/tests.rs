use super::HandoverChannel;
use hostler_sys::channel::Channel;
use std::{
    io::{ErrorKind, Read, Write},
    os::{fd::AsFd, unix::net::UnixStream},
};
use tokio::{runtime::Builder, task::LocalSet};

/// The channels of two siblings, which receive from the same end.
fn siblings() -> (HandoverChannel, HandoverChannel) {
    let (receiver, sender) = Channel::pair().unwrap();
    let copies = (receiver.try_clone().unwrap(), sender.try_clone().unwrap());
    let channel = HandoverChannel::new(receiver.into_fd(), sender.into_fd()).unwrap();
    (channel, HandoverChannel::new(copies.0.into_fd(), copies.1.into_fd()).unwrap())
}

fn in_a_worker(test: impl Future<Output = ()>) {
    LocalSet::new().block_on(&Builder::new_current_thread().enable_all().build().unwrap(), test);
}

#[test]
fn heads_of_any_length_arrive_whole_whichever_sibling_receives_them() {
    in_a_worker(async {
        let (one, two) = siblings();
        let lengths = [0, 1, 100, 8191, 8192, 8193, 33_000, 131_073, 417_792, 5_000_000];
        let mut clients = Vec::new();
        for (number, length) in (0..).zip(lengths) {
            let (client, socket) = UnixStream::pair().unwrap();
            one.send(number, None, &vec![b'a' + number as u8; length], socket.as_fd()).unwrap();
            clients.push(client);
        }
        for (number, length) in lengths.into_iter().enumerate() {
            let channel = if number % 2 == 0 { &one } else { &two };
            channel.ready().await;
            let received = channel.receive().unwrap();
            assert_eq!((received.listener, received.unread.len()), (number, length));
            assert!(received.unread.iter().all(|byte| *byte == b'a' + number as u8));
            UnixStream::from(received.socket).write_all(&[number as u8]).unwrap();
            let mut received = Vec::new();
            clients[number].read_to_end(&mut received).unwrap_or(0);
            assert_eq!(received.first(), Some(&(number as u8)));
        }
        assert_eq!(two.receive().unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn what_the_channel_has_no_room_for_waits_and_keeps_its_order() {
    in_a_worker(async {
        let (one, two) = siblings();
        let (_client, socket) = UnixStream::pair().unwrap();
        for number in 0..2000 {
            one.send(number, None, b"begun", socket.as_fd()).unwrap();
        }
        assert!(one.queued() > 0, "the test is to fill the channel");
        for number in 0..2000 {
            two.ready().await;
            let received = loop {
                match two.receive() {
                    Ok(received) => break received,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
                tokio::task::yield_now().await;
            };
            assert_eq!((received.listener, &*received.unread), (number, &b"begun"[..]));
        }
        one.flushed().await;
    });
}

#[test]
fn an_unknown_message_is_refused_and_the_next_one_is_received() {
    in_a_worker(async {
        let (one, two) = siblings();
        let (_client, socket) = UnixStream::pair().unwrap();
        let json = std::io::IoSlice::new(b"{\"listener\":0,\"unread\":[]}");
        hostler_sys::message::send(one.0.sender.get_ref().as_fd(), &[json], &[socket.as_fd()]).unwrap();
        one.send(3, None, b"", socket.as_fd()).unwrap();
        two.ready().await;
        assert_eq!(two.receive().unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(two.receive().unwrap().listener, 3);
    });
}

/// Runs the test of this name in a process of its own with few descriptors, because the limit is the process's.
fn with_few_descriptors(name: &str) -> bool {
    const HERE: &str = "HOSTLER_TEST_FEW_DESCRIPTORS";
    if std::env::var_os(HERE).is_some() {
        return true;
    }
    let mut command = std::process::Command::new("prlimit");
    command.arg("--nofile=1000:1000").arg(std::env::current_exe().unwrap());
    let status = command.args(["--exact", name]).env(HERE, "1").status().unwrap();
    assert!(status.success());
    false
}

#[test]
fn without_descriptors_nothing_is_received_and_what_is_refused_stays_whole() {
    let name = "handover::tests::without_descriptors_nothing_is_received_and_what_is_refused_stays_whole";
    if !with_few_descriptors(name) {
        return;
    }
    in_a_worker(async {
        let (one, two) = siblings();
        let (mut client, socket) = UnixStream::pair().unwrap();
        while one.queued() == 0 {
            one.send(1, None, b"", socket.as_fd()).unwrap();
        }
        two.ready().await;
        two.receive().unwrap();
        let full = || std::fs::File::open("/dev/null");
        let mut files: Vec<_> = std::iter::from_fn(|| full().ok()).collect();
        let refused = one.send(2, None, b"begun", socket.as_fd()).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(24), "EMFILE");
        (&socket).write_all(b"!").unwrap();
        client.read_exact(&mut [0]).unwrap();
        // The reserve was filled before; what is received takes its place.
        let first = two.receive().unwrap();
        assert_eq!(two.receive().unwrap_err().raw_os_error(), Some(24), "EMFILE");
        files.truncate(files.len() - 1);
        drop(first);
        let mut taken = 0;
        while let Ok(received) = two.receive() {
            assert_eq!(received.listener, 1);
            taken += 1;
        }
        assert!(taken > 100, "{taken}");
    });
}
