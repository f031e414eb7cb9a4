//! Any message in the handover channel: what is received is what such a connection is sent as, and anything else is refused.

use super::{
    MAX_DESCRIPTORS,
    frame::{Frame, receive},
};
use hostler_sys::{channel::Channel, message};
use hostler_wire::{HANDOVER_HEAD, HandoverHead, ProxiedEnds};
use std::{
    io::IoSlice,
    net::SocketAddr,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
};

/// From the input: how many bytes are unread, and of what length a file is that comes along.
const LENGTHS: [usize; 8] = [0, 1, 5, 100, 8191, 8192, 8193, 64 * 1024 * 1024 + 1];

#[test]
fn fuzz_handover() {
    let (receiver, sender) = Channel::pair().unwrap();
    let ends = (receiver.into_fd(), sender.into_fd());
    let (_client, socket) = UnixStream::pair().unwrap();
    bolero::check!().with_max_len(64).for_each(|input: &[u8]| {
        let Some((&[length, file, descriptors, changes, proxied], input)) = input.split_first_chunk::<5>()
        else {
            return;
        };
        let mut message = head(length, proxied, input).to_vec();
        let inline = LENGTHS[usize::from(length % 8)];
        message.resize(HANDOVER_HEAD + if inline > 8192 { 0 } else { inline }, b'x');
        for change in input.chunks_exact(2).take(usize::from(changes % 4)) {
            let at = usize::from(change[0]) % (message.len() + 1);
            if at == message.len() { message.push(change[1]) } else { message[at] = change[1] }
        }
        message.truncate(if changes & 0x80 == 0 { message.len() } else { usize::from(changes & 0x7f) });
        let file = (descriptors % 4 > 1)
            .then(|| message::file_with(&vec![b'y'; LENGTHS[usize::from(file % 7)]]).unwrap());
        let all = [Some(socket.as_fd()), file.as_ref().map(AsFd::as_fd)];
        let sent: Vec<_> = all.into_iter().flatten().take(usize::from(descriptors % 4)).collect();
        check(&ends, &message, &sent);
    });
}

/// A head that is well-formed.
fn head(length: u8, proxied: u8, input: &[u8]) -> [u8; HANDOVER_HEAD] {
    let byte = |at: usize| input.get(at).copied().unwrap_or_default();
    let peer: SocketAddr = match proxied & 2 {
        0 => ([203, 0, 113, byte(0)], u16::from(byte(1))).into(),
        _ => ([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(byte(0))], u16::from(byte(1))).into(),
    };
    let proxied = (proxied & 1 == 1).then_some(ProxiedEnds { peer, local: peer });
    let head = HandoverHead { listener: length.into(), unread: LENGTHS[usize::from(length % 8)], proxied };
    head.encode().unwrap_or([b'H'; HANDOVER_HEAD])
}

fn check(ends: &(OwnedFd, OwnedFd), message: &[u8], descriptors: &[std::os::fd::BorrowedFd<'_>]) {
    if message.is_empty() {
        return;
    }
    message::send(ends.1.as_fd(), &[IoSlice::new(message)], descriptors).unwrap();
    let Ok(received) = receive(ends.0.as_fd()) else {
        return assert!(
            !is_whole(message, descriptors),
            "{message:?} with {} descriptors",
            descriptors.len()
        );
    };
    assert!(!descriptors.is_empty() && descriptors.len() <= MAX_DESCRIPTORS);
    let listener = u16::try_from(received.listener).unwrap();
    let again = Frame::new(listener, received.proxied, &received.unread).unwrap();
    assert_eq!(again.head_and_inline(), message, "it is sent as it was received");
}

/// Whether it is to be taken.
fn is_whole(message: &[u8], descriptors: &[std::os::fd::BorrowedFd<'_>]) -> bool {
    let Some((head, _)) = HandoverHead::decode(message) else { return false };
    let file = descriptors.get(1).map(|file| std::fs::File::from(file.try_clone_to_owned().unwrap()));
    let length = file.map(|file| file.metadata().unwrap().len());
    !descriptors.is_empty() && (!head.has_file() || length == Some(head.unread as u64))
}
