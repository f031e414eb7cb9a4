//! A client of WebSocket: sends messages and checks their echoes.

use super::{Addresses, End, PATIENCE, Record, connect, not_made};
use crate::{
    ask::{block_up, cut},
    clock::Clock,
    plan::{self, Client, Reader},
};
use socket2::Socket;
use std::{
    io::{self, ErrorKind, Read, Write},
    time::Duration,
};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// The accept key of RFC 6455 §1.3 for this key.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

pub(super) fn run(client: &Client, script: &plan::Socket, addresses: &Addresses, clock: Clock) -> Record {
    let mut record = Record::begin(client, clock);
    let (socket, port) = match connect(client, addresses, Reader::Fast) {
        Ok(made) => made,
        Err(error) => return record.end(not_made(&error), clock),
    };
    record.port = port;
    if let Err(error) = socket.set_read_timeout(Some(PATIENCE)).and(socket.set_write_timeout(Some(PATIENCE)))
    {
        return record.end(not_made(&error), clock);
    }
    let mut talking = Talking { socket, unread: Vec::new() };
    let end = match talking.go(script) {
        Ok(()) if script.leaves => End::Scripted,
        Ok(()) => End::Complete,
        Err(Trouble::Fault(fault)) => {
            record.fault = Some(fault);
            End::Complete
        }
        Err(Trouble::Farewell(code)) => End::Farewell(code),
        Err(Trouble::Io(error)) => match error.kind() {
            ErrorKind::UnexpectedEof => End::Closed,
            ErrorKind::WouldBlock | ErrorKind::TimedOut => End::Hang,
            _ => End::Broken(error.to_string()),
        },
    };
    record.end(end, clock)
}

enum Trouble {
    Io(io::Error),
    Fault(String),
    /// The server ends the WebSocket.
    Farewell(u16),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

struct Talking {
    socket: Socket,
    unread: Vec<u8>,
}

impl Talking {
    fn go(&mut self, script: &plan::Socket) -> Result<(), Trouble> {
        self.handshake()?;
        let block = block_up(script.number);
        let messages: Vec<Vec<u8>> =
            script.messages.iter().enumerate().map(|(at, size)| cut(&block, at, *size)).collect();
        if script.at_once {
            for message in &messages {
                self.send(BINARY, message)?;
            }
        }
        for (place, message) in messages.iter().enumerate() {
            if !script.at_once {
                self.send(BINARY, message)?;
            }
            let echo = self.message()?;
            if echo != *message {
                let text =
                    format!("echo {place} is not what was sent: {} for {} bytes", echo.len(), message.len());
                return Err(Trouble::Fault(text));
            }
            std::thread::sleep(Duration::from_millis(script.pause));
        }
        if !script.leaves {
            self.send(CLOSE, &1000_u16.to_be_bytes())?;
            match self.message() {
                Err(Trouble::Farewell(_)) => {}
                Ok(_) => return Err(Trouble::Fault("a message that was not sent".into())),
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(())
    }

    fn handshake(&mut self) -> Result<(), Trouble> {
        let head = format!(
            "GET /ws HTTP/1.1\r\nhost: torture\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: {KEY}\r\n\r\n"
        );
        self.socket.write_all(head.as_bytes())?;
        loop {
            if let Some(end) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.unread[..end]).into_owned();
                self.unread.drain(..end + 4);
                let good = head.starts_with("HTTP/1.1 101 ") && head.contains(ACCEPT);
                return if good { Ok(()) } else { Err(Trouble::Fault(format!("no handshake: {head:?}"))) };
            }
            self.more()?;
        }
    }

    fn send(&mut self, opcode: u8, payload: &[u8]) -> io::Result<()> {
        const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
        let mut frame = vec![0x80 | opcode];
        match payload.len() {
            #[expect(clippy::cast_possible_truncation, reason = "the pattern says so")]
            short @ 0..=125 => frame.push(0x80 | short as u8),
            #[expect(clippy::cast_possible_truncation, reason = "the pattern says so")]
            middle @ 126..=65_535 => {
                frame.push(0x80 | 126);
                frame.extend((middle as u16).to_be_bytes());
            }
            long => {
                frame.push(0x80 | 127);
                frame.extend((long as u64).to_be_bytes());
            }
        }
        frame.extend(MASK);
        frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.socket.write_all(&frame)
    }

    /// The next message; pings are answered on the way.
    fn message(&mut self) -> Result<Vec<u8>, Trouble> {
        let mut message = Vec::new();
        loop {
            let (head, payload) = self.frame()?;
            match head & 0x0f {
                CLOSE => {
                    let code = payload.get(..2).map_or(1005, |code| u16::from_be_bytes([code[0], code[1]]));
                    // Whether the response arrives is the server's affair now.
                    let _ = self.send(CLOSE, &payload);
                    return Err(Trouble::Farewell(code));
                }
                PING => self.send(PONG, &payload)?,
                PONG => {}
                _ => {
                    message.extend(payload);
                    if head & 0x80 != 0 {
                        return Ok(message);
                    }
                }
            }
        }
    }

    fn frame(&mut self) -> io::Result<(u8, Vec<u8>)> {
        self.at_least(2)?;
        let (head, short) = (self.unread[0], usize::from(self.unread[1]));
        let (skip, length) = match short {
            126 => {
                self.at_least(4)?;
                (4, usize::from(u16::from_be_bytes([self.unread[2], self.unread[3]])))
            }
            127 => {
                self.at_least(10)?;
                let bytes: [u8; 8] = self.unread[2..10].try_into().map_err(io::Error::other)?;
                (10, usize::try_from(u64::from_be_bytes(bytes)).map_err(io::Error::other)?)
            }
            _ => (2, short),
        };
        self.at_least(skip + length)?;
        let payload = self.unread[skip..skip + length].to_vec();
        self.unread.drain(..skip + length);
        Ok((head, payload))
    }

    fn at_least(&mut self, count: usize) -> io::Result<()> {
        while self.unread.len() < count {
            self.more()?;
        }
        Ok(())
    }

    fn more(&mut self) -> io::Result<()> {
        let mut block = vec![0; 64 << 10];
        match self.socket.read(&mut block)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            count => {
                self.unread.extend_from_slice(&block[..count]);
                Ok(())
            }
        }
    }
}
