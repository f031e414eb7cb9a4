//! Reads the responses of an HTTP connection, byte by byte as they come, and checks each against its request.

use crate::ask::{Ask, Method, cut};

/// A response that came whole.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// It is the application's; others are the server's own.
    pub(crate) numbered: bool,
    /// It ends the connection.
    pub(crate) closes: bool,
    pub(crate) whole_at: u64,
    /// How many WebSockets its worker serves.
    pub(crate) sockets: u64,
}

/// What has been read of a connection.
#[derive(Debug)]
pub(crate) struct Responses<'a> {
    asks: &'a [Ask],
    pub(crate) whole: Vec<Response>,
    /// 100s that were seen.
    pub(crate) continues: usize,
    /// What is wrong beyond doubt; nothing is read after it.
    pub(crate) fault: Option<String>,
    pub(crate) bytes: usize,
    unread: Vec<u8>,
    state: State,
}

#[derive(Debug)]
enum State {
    Head,
    Body(Body),
}

#[derive(Debug)]
struct Body {
    response: Response,
    /// What is expected, and where in it the body begins; none for responses of the server's own.
    block: Option<(Vec<u8>, usize)>,
    at: usize,
    wanted: usize,
    framing: Framing,
}

#[derive(Clone, Copy, Debug)]
enum Framing {
    /// So many bytes are left.
    Length(usize),
    ChunkSize,
    Chunk(usize),
    ChunkEnd,
    Trailer,
}

impl<'a> Responses<'a> {
    pub(crate) fn new(asks: &'a [Ask]) -> Self {
        Self {
            asks,
            whole: Vec::new(),
            continues: 0,
            fault: None,
            bytes: 0,
            unread: Vec::new(),
            state: State::Head,
        }
    }

    /// A response has begun and is not whole: of which request, and how much of its body is there.
    pub(crate) fn partial(&self) -> Option<String> {
        match &self.state {
            State::Head if self.unread.is_empty() => None,
            State::Head => Some(format!("{} bytes of a head", self.unread.len())),
            State::Body(body) => Some(format!("{} of {} bytes of a body", body.at, body.wanted)),
        }
    }

    /// The next bytes from the connection.
    pub(crate) fn feed(&mut self, bytes: &[u8], now: u64) {
        self.bytes += bytes.len();
        self.unread.extend_from_slice(bytes);
        let mut from = 0;
        while self.fault.is_none() {
            match self.step(from, now) {
                Ok(0) => break,
                Ok(taken) => from += taken,
                Err(fault) => {
                    self.fault = Some(format!("{fault} (response {} of the connection)", self.whole.len()))
                }
            }
        }
        self.unread.drain(..from);
    }

    /// Takes the next piece; how many bytes it had, or 0 if more are needed.
    fn step(&mut self, from: usize, now: u64) -> Result<usize, String> {
        let unread = &self.unread[from..];
        match &mut self.state {
            State::Head => {
                let Some(end) = unread.windows(4).position(|window| window == b"\r\n\r\n") else {
                    return if unread.len() > 100_000 { Err("an endless head".into()) } else { Ok(0) };
                };
                let head = String::from_utf8_lossy(&unread[..end]).into_owned();
                self.head(&head, now)?;
                Ok(end + 4)
            }
            State::Body(body) => {
                let taken = body.step(unread)?;
                if let Some(taken) = taken {
                    return Ok(taken);
                }
                let mut response = body.response.clone();
                let taken = usize::from(matches!(body.framing, Framing::Trailer)) * 2;
                response.whole_at = now;
                if body.at != body.wanted {
                    return Err(format!(
                        "a response that ends as if it were whole: {} of {}",
                        body.at, body.wanted
                    ));
                }
                self.whole.push(response);
                self.state = State::Head;
                // A response without a body takes no byte; the loop above must go on nonetheless.
                if taken == 0 && !unread.is_empty() { self.step(from, now) } else { Ok(taken) }
            }
        }
    }

    fn head(&mut self, head: &str, now: u64) -> Result<(), String> {
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap_or_default();
        let number = |text: &str| text.split(' ').nth(1)?.parse::<u16>().ok();
        let status = number(status).filter(|_| status.starts_with("HTTP/1.1 "));
        let status = status.ok_or_else(|| format!("no status line: {:?}", &head[..head.len().min(200)]))?;
        if status == 100 {
            self.continues += 1;
            return Ok(());
        }
        let headers: Vec<(String, &str)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
            .collect();
        let header = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| *value);
        let place = self.whole.len();
        let ask = self.asks.get(place).ok_or_else(|| format!("a response without a request: {head:?}"))?;
        let numbered = is_answer(ask, status, header)?;
        let closes = header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let sockets = header("x-sockets").and_then(|value| value.parse().ok()).unwrap_or_default();
        let good = numbered && status == ask.good();
        let response =
            Response { status: if good { 200 } else { status }, numbered, closes, whole_at: now, sockets };
        let length = header("content-length").and_then(|value| value.parse::<usize>().ok());
        let chunked = header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        let framing = match (ask.method, length, chunked) {
            (Method::Head, ..) => Framing::Length(0),
            (_, Some(length), false) => Framing::Length(length),
            (_, None, true) => Framing::ChunkSize,
            _ if matches!(status, 204 | 304) => Framing::Length(0),
            _ => return Err(format!("a response whose end cannot be seen: {head:?}")),
        };
        let wanted = match (ask.method, length) {
            (Method::Head, _) => 0,
            _ if good => ask.down,
            (_, length) => length.unwrap_or_default(),
        };
        let block = good.then(|| ask.expected());
        self.state = State::Body(Body { response, block, at: 0, wanted, framing });
        Ok(())
    }
}

/// Whether a head is of what was asked for; responses of the server's own are not.
pub(super) fn is_answer<'h>(
    ask: &Ask,
    status: u16,
    header: impl Fn(&str) -> Option<&'h str>,
) -> Result<bool, String> {
    let number = header("x-number");
    if ask.file.is_some() {
        let is_file = status == ask.good() && header("etag").is_some();
        let (is, should) = (header("content-range"), ask.content_range());
        return match number {
            Some(number) => Err(format!("the response of request {number} instead of a file")),
            None if is_file && is != should.as_deref() => Err(format!("{is:?} instead of {should:?}")),
            None => Ok(is_file),
        };
    }
    if let Some(number) = number.filter(|number| *number != ask.number.to_string()) {
        return Err(format!("the response of request {number} instead of {}", ask.number));
    }
    if let Some(got) = header("x-upload").filter(|_| status == 200 && !ask.early)
        && got != ask.up.to_string()
    {
        return Err(format!("the application read {got} of {} bytes of request {}", ask.up, ask.number));
    }
    Ok(number.is_some())
}

/// Checks bytes of a body against what is expected, and where in that the body begins.
pub(super) fn compare(
    (block, from): &(Vec<u8>, usize),
    at: usize,
    data: &[u8],
    wanted: usize,
) -> Result<(), String> {
    let expected = cut(block, from + at, data.len());
    if let Some(differs) = data.iter().zip(&expected).position(|(is, should)| is != should) {
        let text = String::from_utf8_lossy(&data[differs..data.len().min(differs + 80)]).into_owned();
        return Err(format!("wrong bytes from {} of {wanted} on: {text:?}", at + differs));
    }
    if at + data.len() > wanted {
        return Err(format!("more than the {wanted} bytes that were asked for"));
    }
    Ok(())
}

impl Body {
    /// Takes the next piece; how many bytes it had, 0 if more are needed, nothing at the end of the body.
    fn step(&mut self, unread: &[u8]) -> Result<Option<usize>, String> {
        let line = || {
            let end = unread.windows(2).position(|window| window == b"\r\n")?;
            Some((String::from_utf8_lossy(&unread[..end]).into_owned(), end + 2))
        };
        match self.framing {
            Framing::Length(0) => Ok(None),
            Framing::Length(left) => {
                let taken = self.data(&unread[..unread.len().min(left)])?;
                self.framing = Framing::Length(left - taken);
                Ok(Some(taken))
            }
            Framing::ChunkSize => {
                let Some((line, taken)) = line() else {
                    return if unread.len() > 100 { Err("no chunk's size".into()) } else { Ok(Some(0)) };
                };
                let size = usize::from_str_radix(line.trim(), 16)
                    .map_err(|_| format!("{line:?} instead of a chunk's size"))?;
                self.framing = if size == 0 { Framing::Trailer } else { Framing::Chunk(size) };
                Ok(Some(taken))
            }
            Framing::Chunk(left) => {
                let taken = self.data(&unread[..unread.len().min(left)])?;
                self.framing = if left == taken { Framing::ChunkEnd } else { Framing::Chunk(left - taken) };
                Ok(Some(taken))
            }
            Framing::ChunkEnd | Framing::Trailer if unread.len() < 2 => Ok(Some(0)),
            Framing::ChunkEnd | Framing::Trailer if !unread.starts_with(b"\r\n") => {
                Err("bytes behind a chunk".into())
            }
            Framing::ChunkEnd => {
                self.framing = Framing::ChunkSize;
                Ok(Some(2))
            }
            Framing::Trailer => {
                if self.block.is_none() {
                    self.wanted = self.at;
                }
                Ok(None)
            }
        }
    }

    fn data(&mut self, data: &[u8]) -> Result<usize, String> {
        if let Some(expected) = &self.block {
            compare(expected, self.at, data, self.wanted)?;
        }
        self.at += data.len();
        Ok(data.len())
    }
}

#[cfg(test)]
mod tests {
    use super::Responses;
    use crate::ask::{Ask, block_down, cut};

    fn read(stream: &[u8], asks: &[Ask], piece: usize) -> (usize, Option<String>, Option<String>) {
        let mut responses = Responses::new(asks);
        stream.chunks(piece).for_each(|part| responses.feed(part, 0));
        (responses.whole.len(), responses.partial(), responses.fault.clone())
    }

    fn declared(number: u64, down: usize) -> Vec<u8> {
        let head = format!("HTTP/1.1 200 OK\r\nx-number: {number}\r\ncontent-length: {down}\r\n\r\n");
        [head.into_bytes(), cut(&block_down(number), 0, down)].concat()
    }

    #[test]
    fn answers_are_read_however_they_are_cut() {
        let asks = [Ask::new(1, 10), Ask::new(2, 20), Ask::new(3, 0)];
        let chunked = b"HTTP/1.1 200 OK\r\nX-Number: 2\r\ntransfer-encoding: chunked\r\n\r\n";
        let body = cut(&block_down(2), 0, 20);
        let chunks = [b"7\r\n", &body[..7], b"\r\nd\r\n", &body[7..], b"\r\n0\r\n\r\n"].concat();
        let stream = [declared(1, 10), chunked.to_vec(), chunks, declared(3, 0)].concat();
        for piece in 1..stream.len() {
            assert_eq!(read(&stream, &asks, piece), (3, None, None), "in pieces of {piece}");
        }
    }

    #[test]
    fn wrong_answers_are_seen() {
        let asks = [Ask::new(1, 10), Ask::new(2, 20)];
        let fault = |stream: &[u8]| read(stream, &asks, 1000).2.unwrap_or_default();
        assert!(fault(&declared(2, 10)).contains("the response of request 2 instead of 1"));
        assert!(fault(&declared(1, 9)).contains("as if it were whole"));
        let mut wrong = declared(1, 10);
        *wrong.last_mut().unwrap() = b'!';
        assert!(fault(&wrong).contains("wrong bytes from 9"));
        let unasked =
            [declared(1, 10), declared(2, 20), b"HTTP/1.1 400 Bad\r\ncontent-length: 0\r\n\r\n".to_vec()];
        assert!(fault(&unasked.concat()).contains("a response without a request"));
        assert_eq!(read(&declared(1, 10)[..53], &asks, 100).1.unwrap(), "1 of 10 bytes of a body");
    }
}
