//! Served by `cargo xtask torture`: a native service that does what `tests/apps/torture_*.py` do.

use bytes::Bytes;
use hostler::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::{
    StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, HeaderValue, UPGRADE},
    upgrade::Upgraded,
};
use hyper_util::rt::TokioIo;
use std::{
    collections::HashMap,
    convert::Infallible,
    env, fs,
    future::Future,
    io::{self, Write},
    pin::Pin,
    process::{self, ExitCode},
    task::{Context, Poll, ready},
    thread,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Sleep, sleep},
};

/// What a client is told in place of the rest when the worker ends.
const FAREWELL: &[u8] = b"\0bye";

/// `torture_native ADDRESS WORKERS GRACE_SECONDS STALL_SECONDS PID_FILE NAME FILES [CERTIFICATE_AND_KEY]`
fn main() -> Result<ExitCode, hostler::Error> {
    let args: Vec<String> = env::args().collect();
    let number = |at: usize| args[at].parse::<u64>().expect("a number");
    let server = hostler::Server::new()
        .bind(&args[1])
        .workers(u16::try_from(number(2)).expect("few workers"))
        .graceful_timeout(Duration::from_secs(number(3)))
        .stall_timeout(Duration::from_secs(number(4)))
        .respawn_interval(Duration::ZERO)
        .pid_file(&args[5])
        .process_name(&args[6])
        .static_files("/s", &args[7]);
    let server = match args.get(8) {
        Some(pem) => server.tls(pem, pem),
        None => server,
    };
    server.serve(|| tower::service_fn(response))
}

/// A request, as its query describes it.
struct Ask(HashMap<String, usize>);

impl Ask {
    fn of(request: &Request) -> Self {
        let query = request.uri().query().unwrap_or_default();
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let ask: HashMap<String, usize> =
            pairs.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect();
        if request.uri().path() != "/t" || !ask.contains_key("n") {
            violation(&format!("a request that nobody sent: {}", request.uri()));
        }
        Self(ask)
    }

    fn get(&self, name: &str) -> usize {
        self.0.get(name).copied().unwrap_or_default()
    }

    fn pause(&self, name: &str) -> Option<Duration> {
        Some(Duration::from_millis(self.get(name) as u64)).filter(|pause| !pause.is_zero())
    }
}

fn violation(text: &str) {
    let path = env::var_os("TORTURE_VIOLATIONS").expect("the harness sets it");
    let mut file = fs::File::options().append(true).create(true).open(path).expect("it can be written");
    writeln!(file, "{text}").expect("it can be written");
}

/// These bytes of the endless repetition of a block.
fn cut(block: &[u8], at: usize, size: usize) -> Bytes {
    block.iter().copied().cycle().skip(at % block.len()).take(size).collect()
}

async fn response(request: Request) -> Result<Response<Pieces>, Infallible> {
    let ask = Ask::of(&request);
    if request.headers().contains_key(UPGRADE) && ask.0.contains_key("echo") {
        return Ok(upgraded(ask, request).await);
    }
    let mut got = 0;
    if ask.get("early") == 0 {
        match read(&ask, request).await {
            Some(all) => got = all,
            None => return Ok(broken()),
        }
    }
    if let Some(wait) = ask.pause("wait") {
        sleep(wait).await;
    }
    if let Some(block) = ask.pause("block") {
        thread::sleep(block);
    }
    let number = ask.get("n");
    let declared = ask.get("len") == 1;
    let mut response = Response::new(Pieces::new(ask, declared));
    let down = response.body().down;
    let headers = response.headers_mut();
    headers.insert("x-number", HeaderValue::from(number));
    headers.insert("x-pid", HeaderValue::from(process::id()));
    headers.insert("x-upload", HeaderValue::from(got));
    if declared {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(down));
    }
    Ok(response)
}

/// Lets another protocol follow a request.
async fn upgraded(ask: Ask, mut request: Request) -> Response<Pieces> {
    let upgrade = hyper::upgrade::on(&mut request);
    if ask.get("early") == 1 {
        drop(request);
    } else if read(&ask, request).await.is_none() {
        return broken();
    }
    tokio::spawn(async move {
        if let Ok(bytes) = upgrade.await {
            let mut speaker = Speaker { ask, bytes: TokioIo::new(bytes) };
            // Either side may be gone.
            let _ = speaker.speak().await;
        }
    });
    let mut response = Response::new(Pieces::new(Ask(HashMap::new()), true));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("torture"));
    response
}

/// Echoes what the client says, up to a number of bytes, and says something that it does not wait for.
struct Speaker {
    ask: Ask,
    bytes: TokioIo<Upgraded>,
}

impl Speaker {
    async fn speak(&mut self) -> io::Result<()> {
        let (number, echoed) = (self.ask.get("n"), self.ask.get("echo"));
        let said: Vec<u8> = (0..256).flat_map(|index| format!("s{number}.{index};").into_bytes()).collect();
        let (mut at, mut block) = (0, vec![0; 16 << 10]);
        while at < echoed {
            let count = tokio::select! {
                read = self.bytes.read(&mut block) => read?,
                () = hostler::worker_ends() => return self.bytes.write_all(FAREWELL).await,
            };
            if count == 0 {
                return Ok(());
            }
            if block[..count] != cut(&said, at, count) {
                let text = String::from_utf8_lossy(&block[..count.min(60)]).into_owned();
                violation(&format!("request {number}: wrong bytes after its upgrade from {at} on: {text:?}"));
            }
            if !self.say(&block[..count.min(echoed - at)]).await? {
                return Ok(());
            }
            at += count;
        }
        let down = cut(&down_block(number), 0, self.ask.get("down"));
        self.say(&down).await.map(drop)
    }

    /// Says this, or a part of it and a farewell; whether all.
    async fn say(&mut self, text: &[u8]) -> io::Result<bool> {
        let mut said = 0;
        while said < text.len() {
            tokio::select! {
                written = self.bytes.write(&text[said..]) => said += written?,
                () = hostler::worker_ends() => {
                    self.bytes.write_all(FAREWELL).await?;
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

fn down_block(number: usize) -> Vec<u8> {
    (0..256).flat_map(|index| format!("d{number}.{index};").into_bytes()).collect()
}

/// The response to a request whose client broke off; it is not sent, or is a 400.
fn broken() -> Response<Pieces> {
    let mut response = Response::new(Pieces::new(Ask(HashMap::new()), true));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

/// Reads and checks the request's body; `None` if the client broke off.
async fn read(ask: &Ask, request: Request) -> Option<usize> {
    let number = ask.get("n");
    let block: Vec<u8> = (0..64)
        .flat_map(|index| {
            format!("GET /smuggled?n={number}&i={index} HTTP/1.1\r\nhost: t\r\n\r\n").into_bytes()
        })
        .collect();
    let (mut body, mut got) = (request.into_body(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.ok()?.into_data() else { continue };
        if piece != cut(&block, got, piece.len()) {
            violation(&format!("request {number}: wrong bytes in its body from {got} on"));
        }
        got += piece.len();
        if let Some(pause) = ask.pause("slowread") {
            sleep(pause).await;
        }
    }
    if got != ask.get("up") {
        violation(&format!("request {number}: its body ended as if it were whole at {got}"));
    }
    Some(got)
}

/// The response's body.
struct Pieces {
    block: Vec<u8>,
    down: usize,
    declared: bool,
    piece: usize,
    at: usize,
    slow: Option<Duration>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Pieces {
    fn new(ask: Ask, declared: bool) -> Self {
        let (number, down) = (ask.get("n"), ask.get("down"));
        Self {
            block: down_block(number),
            down,
            declared,
            piece: down.div_ceil(ask.get("pieces").max(1)).max(1),
            at: 0,
            slow: ask.pause("slow"),
            pause: None,
        }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        if self.at == self.down {
            return Poll::Ready(None);
        }
        let size = self.piece.min(self.down - self.at);
        let data = cut(&self.block, self.at, size);
        self.at += size;
        self.pause = self.slow.map(|slow| Box::pin(sleep(slow)));
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn size_hint(&self) -> SizeHint {
        if self.declared { SizeHint::with_exact((self.down - self.at) as u64) } else { SizeHint::default() }
    }
}
