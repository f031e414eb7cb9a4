//! A request of HTTP/2 and its response.

use super::{
    End, PATIENCE, Response,
    goodbye::Seen,
    responses::{compare, is_answer},
};
use crate::{
    ask::{Ask, Method, block_up, cut},
    clock::Clock,
    plan::{Manner, Stream},
};
use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, client::ResponseFuture, client::SendRequest};
use http::{Request, Version};
use std::{
    cell::Cell,
    future::{Future, pending, poll_fn},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::{sleep, timeout};

/// How long a client waits that does not send its body.
const STALLS: Duration = Duration::from_secs(8);
/// How much of a body is given to h2 at a time.
const PIECE: usize = 50_000;

/// What came of a request.
pub(super) enum Got {
    Whole(Response),
    /// It was not served: it can be asked for again.
    Refused,
    /// It ended as the client wished.
    Left,
    /// It is wrong whatever else happened.
    Wrong(String),
    /// There is no whole response, for a cause that is yet to be found.
    Lost {
        end: End,
        /// When the request was sent to its end; 0 if it was not.
        asked: u64,
        /// What there is of the response.
        partial: Option<String>,
    },
}

/// Why there is no whole response.
enum Trouble {
    Hang,
    Wrong(String),
    Error(h2::Error),
}

/// What happened on the way.
#[derive(Default)]
struct Progress {
    asked: Cell<u64>,
    read: Cell<Option<usize>>,
}

pub(super) async fn exchange(
    stream: Stream,
    sender: SendRequest<Bytes>,
    seen: Arc<Mutex<Seen>>,
    clock: Clock,
) -> Got {
    let Stream { ask, manner } = stream;
    let Ok(Ok(mut sender)) = timeout(PATIENCE, sender.ready()).await else { return Got::Refused };
    let ends = ask.method != Method::Post;
    let Ok((response, body)) = sender.send_request(request(&ask), ends) else { return Got::Refused };
    drop(sender);
    let stream_id = response.stream_id().as_u32();
    let progress = Progress::default();
    let done = run(&ask, manner, response, body, &progress, clock);
    let limit = match manner {
        Manner::Stalls => STALLS,
        Manner::Resets(after) => Duration::from_millis(after),
        Manner::Plain | Manner::Reads(_) | Manner::Sends(..) => PATIENCE * 100,
    };
    let odd = matches!(manner, Manner::Stalls | Manner::Resets(_));
    match timeout(limit, done).await {
        Ok(Ok(response)) if odd && response.status != 200 => Got::Left,
        Ok(Ok(response)) => Got::Whole(response),
        Ok(Err(Trouble::Wrong(fault))) => Got::Wrong(fault),
        // Dropping its parts has reset the stream.
        Err(_) => Got::Left,
        Ok(Err(_)) if odd => Got::Left,
        Ok(Err(Trouble::Hang)) => lost(End::Hang, &progress),
        Ok(Err(Trouble::Error(error))) if is_refused(&error, stream_id, &seen) => Got::Refused,
        Ok(Err(Trouble::Error(error))) => lost(End::Broken(error.to_string()), &progress),
    }
}

fn lost(end: End, progress: &Progress) -> Got {
    let partial = progress.read.get().map(|read| format!("a head and {read} bytes of a body"));
    Got::Lost { end, asked: progress.asked.get(), partial }
}

/// The server has not begun to serve it (RFC 9113 §8.7).
fn is_refused(error: &h2::Error, stream: u32, seen: &Mutex<Seen>) -> bool {
    let beyond = |(last, code): (u32, u32)| code == 0 && stream > last;
    let sent_away = seen.lock().expect("no thread panics").goodbye.is_some_and(beyond);
    sent_away || error.is_remote() && error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM)
}

fn request(ask: &Ask) -> Request<()> {
    let target = format!("http://torture{}", ask.target());
    let mut request = Request::builder().version(Version::HTTP_2).method(ask.verb()).uri(target);
    if ask.method == Method::Post && !ask.chunked {
        request = request.header("content-length", ask.up);
    }
    if let Some(range) = ask.range() {
        request = request.header("range", range);
    }
    if ask.padding > 0 {
        request = request.header("x-padding", "p".repeat(ask.padding));
    }
    request.body(()).expect("a request")
}

/// Sends the body while the response is read; the response decides the end.
async fn run(
    ask: &Ask,
    manner: Manner,
    response: ResponseFuture,
    body: SendStream<Bytes>,
    progress: &Progress,
    clock: Clock,
) -> Result<Response, Trouble> {
    let upload = async {
        if ask.method != Method::Post || send(ask, manner, body).await {
            progress.asked.set(clock.now());
        }
        pending::<()>().await;
    };
    tokio::select! {
        done = read(ask, manner, response, progress, clock) => done,
        () = upload => Err(Trouble::Hang),
    }
}

/// Sends the body; whether all of it was taken.
async fn send(ask: &Ask, manner: Manner, mut body: SendStream<Bytes>) -> bool {
    let (piece, pause) = if let Manner::Sends(piece, pause) = manner { (piece, pause) } else { (PIECE, 0) };
    let until = if matches!(manner, Manner::Stalls) { ask.up / 2 } else { ask.up };
    let (block, mut at) = (block_up(ask.number), 0);
    while at < until {
        body.reserve_capacity(piece.min(until - at));
        // A server that wants no more says what it thinks of it in the response.
        let Some(Ok(room)) = poll_fn(|cx| body.poll_capacity(cx)).await else { return false };
        let size = room.min(piece).min(until - at);
        if body.send_data(cut(&block, at, size).into(), at + size == ask.up).is_err() {
            return false;
        }
        at += size;
        sleep(Duration::from_millis(pause)).await;
    }
    if at < ask.up {
        // The stream is kept open.
        pending::<()>().await;
    }
    ask.up > 0 || body.send_data(Bytes::new(), true).is_ok()
}

/// Reads the response and checks each byte.
async fn read(
    ask: &Ask,
    manner: Manner,
    response: ResponseFuture,
    progress: &Progress,
    clock: Clock,
) -> Result<Response, Trouble> {
    let (parts, mut body) = patient(response).await?.map_err(Trouble::Error)?.into_parts();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let wrong = |fault: String| Trouble::Wrong(format!("{fault} (request {} by HTTP/2)", ask.number));
    let status = parts.status.as_u16();
    let numbered = is_answer(ask, status, header).map_err(wrong)?;
    let good = numbered && status == ask.good();
    let expected = good.then(|| ask.expected());
    let wanted = if ask.method == Method::Head { 0 } else { ask.down };
    let mut at = 0;
    progress.read.set(Some(0));
    while let Some(piece) = next(&mut body).await? {
        if let Some(expected) = &expected {
            compare(expected, at, &piece, wanted).map_err(wrong)?;
        }
        at += piece.len();
        progress.read.set(Some(at));
        if let Manner::Reads(rate) = manner {
            sleep(Duration::from_micros(piece.len() as u64 * 1_000_000 / rate as u64)).await;
        }
        // A stream that has ended needs no window.
        let _ = body.flow_control().release_capacity(piece.len());
    }
    if good && at != wanted {
        return Err(wrong(format!("a response that ends as if it were whole: {at} of {wanted}")));
    }
    let sockets = header("x-sockets").and_then(|value| value.parse().ok()).unwrap_or_default();
    let status = if good { 200 } else { status };
    Ok(Response { status, numbered, closes: false, whole_at: clock.now(), sockets })
}

async fn next(body: &mut RecvStream) -> Result<Option<Bytes>, Trouble> {
    patient(body.data()).await?.transpose().map_err(Trouble::Error)
}

async fn patient<T>(future: impl Future<Output = T>) -> Result<T, Trouble> {
    timeout(PATIENCE, future).await.map_err(|_| Trouble::Hang)
}
