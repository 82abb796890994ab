//! Raw HTTP/2 frames (RFC 9113), for clients that a library would not let be written.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What a client sends first (RFC 9113, section 3.4), with empty SETTINGS.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
/// END_HEADERS of a HEADERS frame.
const END_HEADERS: u8 = 4;
/// END_STREAM of a DATA or HEADERS frame.
pub const END_STREAM: u8 = 1;

/// A connection that has sent its preface.
pub struct Http2 {
    stream: TcpStream,
    next: u32,
}

/// Types of frames.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are the RFC's")]
pub enum FrameType {
    Data = 0,
    Headers = 1,
    RstStream = 3,
    Settings = 4,
    Ping = 6,
}

impl Http2 {
    /// Connects and sends the preface.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_write_timeout(Some(Duration::from_secs(20)))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(PREFACE)?;
        Ok(Self { stream, next: 1 })
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// The server closed the connection, or reads no more.
    pub fn frame(&mut self, kind: FrameType, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?.to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind as u8, flags];
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        self.stream.write_all(&frame)
    }

    /// Opens a stream with the head of a gRPC call of OTLP logs; its number.
    ///
    /// # Errors
    /// As [`Http2::frame`].
    pub fn open(&mut self) -> io::Result<u32> {
        let stream = self.next;
        self.next += 2;
        self.frame(FrameType::Headers, END_HEADERS, stream, &call_head())?;
        Ok(stream)
    }

    /// Sends a message as the whole body of a stream.
    ///
    /// # Errors
    /// As [`Http2::frame`].
    pub fn message(&mut self, stream: u32, message: &[u8]) -> io::Result<()> {
        let length = u32::try_from(message.len()).map_err(io::Error::other)?.to_be_bytes();
        self.frame(FrameType::Data, END_STREAM, stream, &[&[0], &length[..], message].concat())
    }

    /// Reads until a frame with END_STREAM of `stream` has come; true if one of its header blocks says status 0.
    ///
    /// # Errors
    /// The connection ends first, or 20 seconds pass.
    pub fn ends_well(&mut self, stream: u32) -> io::Result<bool> {
        let mut is_ok = false;
        loop {
            let mut head = [0_u8; 9];
            self.stream.read_exact(&mut head)?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let mut payload = vec![0; length];
            self.stream.read_exact(&mut payload)?;
            let of = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
            if of != stream {
                continue;
            }
            // `grpc-status: 0` is a literal whose name may be Huffman-coded; its value is one of these.
            let text = [&b"\x010"[..], b"\x81\x07"];
            is_ok |= head[3] == FrameType::Headers as u8
                && text.iter().any(|text| payload.windows(text.len()).any(|window| window == *text));
            if head[3] == FrameType::RstStream as u8 {
                return Ok(false);
            }
            if head[4] & END_STREAM != 0 {
                return Ok(is_ok);
            }
        }
    }
}

/// The header block of a call, all literals without indexing (RFC 7541, section 6.2.2).
fn call_head() -> Vec<u8> {
    let path = b"/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    let mut block = vec![0x83, 0x86];
    let mut literal = |name: &[u8], value: &[u8]| {
        block.extend_from_slice(name);
        block.push(u8::try_from(value.len()).unwrap_or(0));
        block.extend_from_slice(value);
    };
    literal(&[0x04], path);
    literal(&[0x01], b"localhost");
    literal(&[0x0f, 0x10], b"application/grpc");
    block
}
