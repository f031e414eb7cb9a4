use super::{Compressed, LEAST, TURN};
use crate::compress::{Coding, Compression, encoder::Encoder};
use bytes::Bytes;
use flate2::read::GzDecoder;
use hostler_settings::Compress;
use http_body::{Body, Frame};
use hyper::HeaderMap;
use std::{
    collections::VecDeque,
    io::{self, Read},
    pin::Pin,
    task::{Context, Poll, Waker},
};

/// What an application does, in order.
enum Event {
    Piece(&'static [u8]),
    Waits,
    Trailers,
    Fails,
}

struct Script {
    events: VecDeque<Event>,
    /// It has said that it is over.
    ended: bool,
}

impl Body for Script {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.events.pop_front() {
            Some(Event::Piece(piece)) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(piece))))),
            Some(Event::Waits) => Poll::Pending,
            Some(Event::Trailers) => Poll::Ready(Some(Ok(Frame::trailers(HeaderMap::new())))),
            Some(Event::Fails) => Poll::Ready(Some(Err(io::Error::other("failed")))),
            None => {
                self.ended = true;
                Poll::Ready(None)
            }
        }
    }
}

fn body(events: impl IntoIterator<Item = Event>) -> Compressed<Script> {
    let script = Script { events: events.into_iter().collect(), ended: false };
    let rules = Compression::new(&Compress { enabled: true, ..Compress::default() }).unwrap();
    Compressed::new(script, Encoder::new(Coding::Gzip, rules, None).unwrap())
}

fn decoded(bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut whole).unwrap();
    whole
}

fn poll(body: &mut Compressed<Script>) -> Poll<Option<Result<Bytes, String>>> {
    body.poll_frame(&mut Context::from_waker(Waker::noop())).map(|polled| {
        polled.map(|frame| {
            frame.map(|frame| frame.into_data().unwrap_or_default()).map_err(|error| error.to_string())
        })
    })
}

#[test]
fn a_whole_body_is_sent_and_the_application_has_ended_before_it_does() {
    let mut body = body([Event::Piece(b"a body")]);
    assert!(!body.is_end_stream());
    let Poll::Ready(Some(Ok(bytes))) = poll(&mut body) else { panic!("a piece") };
    assert_eq!(decoded(&bytes), b"a body");
    assert!(body.is_end_stream() && body.inner.ended);
    assert!(matches!(poll(&mut body), Poll::Ready(None)));
}

#[test]
fn what_was_sent_is_flushed_when_the_application_pauses_and_not_again() {
    let mut body = body([Event::Piece(b"one"), Event::Waits, Event::Waits, Event::Piece(b" two")]);
    let Poll::Ready(Some(Ok(first))) = poll(&mut body) else { panic!("a piece") };
    assert!(!body.is_end_stream());
    let mut all = first.to_vec();
    assert!(poll(&mut body).is_pending());
    while let Poll::Ready(Some(Ok(more))) = poll(&mut body) {
        all.extend_from_slice(&more);
    }
    assert_eq!(decoded(&all), b"one two");
}

#[test]
fn trailers_follow_the_end() {
    let mut body = body([Event::Piece(b"x"), Event::Trailers]);
    let Poll::Ready(Some(Ok(bytes))) = poll(&mut body) else { panic!("a piece") };
    assert_eq!(decoded(&bytes), b"x");
    assert!(!body.is_end_stream());
    let last = body.poll_frame(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(last, Poll::Ready(Some(Ok(frame))) if frame.is_trailers()));
    assert!(body.is_end_stream());
}

#[test]
fn a_body_that_fails_does_not_end_as_if_it_were_whole() {
    let mut body = body([Event::Piece(b"x"), Event::Fails]);
    let mut polled = poll(&mut body);
    let mut waits = 0;
    while matches!(polled, Poll::Ready(Some(Ok(_))) | Poll::Pending) {
        waits += usize::from(polled.is_pending());
        polled = poll(&mut body);
    }
    assert_eq!(waits, 1, "what came before is written");
    assert!(matches!(polled, Poll::Ready(Some(Err(error))) if error == "failed"));
    assert!(!body.is_end_stream());
}

/// Takes all that comes as fast as it comes: what that is, and how many turns the others had meanwhile.
fn greedy(body: &mut Compressed<Script>) -> (Vec<u8>, usize) {
    let (mut turns, mut all) = (0, Vec::new());
    loop {
        match poll(body) {
            Poll::Ready(Some(Ok(part))) => all.extend_from_slice(&part),
            // It has woken its task.
            Poll::Pending => turns += 1,
            Poll::Ready(_) => return (all, turns),
        }
    }
}

#[test]
fn others_have_their_turn_in_a_large_body_whatever_comes_of_it() {
    const LENGTH: u64 = 1_000_000;
    let noise = (0..LENGTH).map(|n| hostler_sys::random::mix(n).to_le_bytes()[0]).collect::<Vec<_>>();
    // The second one becomes nearly nothing.
    for body in [noise, vec![b'x'; 1_000_000]] {
        let piece: &'static [u8] = body.leak();
        let mut body = self::body([Event::Piece(piece)]);
        let (all, turns) = greedy(&mut body);
        assert!(turns >= piece.len() / TURN, "{turns}");
        assert_eq!(decoded(&all), piece);
    }
}

#[test]
fn others_have_their_turn_among_many_short_pieces() {
    for piece in [&b"x"[..], b""] {
        let pieces = 100 * TURN / LEAST;
        let mut body = body((0..pieces).map(|_| Event::Piece(piece)));
        let (all, turns) = greedy(&mut body);
        assert!(turns >= 99, "{turns}");
        assert_eq!(decoded(&all).len(), pieces * piece.len());
    }
}
