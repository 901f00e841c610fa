//! One GET on its own connection, whose response the test reads at its own pace.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longer than any server of the tests is silent.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer whose body is not read yet.
pub(crate) struct Reader {
    stream: TcpStream,
    head: String,
    /// The part of the body that arrived with the head.
    early: Vec<u8>,
    left: u64,
}

impl Reader {
    /// Sends a request to a server on loopback, and reads the head of the answer.
    pub(crate) fn get(port: u16, path: &str, headers: &[(&str, &str)]) -> io::Result<Self> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut ask = format!("GET {path} HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n");
        for (name, value) in headers {
            ask += &format!("{name}: {value}\r\n");
        }
        stream.write_all((ask + "\r\n").as_bytes())?;
        let mut came = Vec::new();
        let end = loop {
            if let Some(end) = came.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end;
            }
            let mut piece = [0; 4096];
            match stream.read(&mut piece)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                read => came.extend_from_slice(&piece[..read]),
            }
        };
        let early = came.split_off(end + 4);
        let head = String::from_utf8(came).expect("the head is not text");
        let mut reader = Self { stream, head, early, left: 0 };
        reader.left = reader.header("content-length").parse().expect("there is no length");
        Ok(reader)
    }

    pub(crate) fn status(&self) -> u16 {
        self.head[9..12].parse().expect("there is no status")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }

    /// The number of bytes of the body that remain.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// Reads available bytes of the body; none at its end, and an error if it ends too early.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if most == 0 {
            return Ok(0);
        }
        let read = if self.early.is_empty() {
            self.stream.read(&mut buffer[..most])?
        } else {
            let early = most.min(self.early.len());
            buffer[..early].copy_from_slice(&self.early[..early]);
            self.early.drain(..early);
            early
        };
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        Ok(read)
    }

    /// Reads at most `most` bytes of the body, which must match the beginning of `expected`. Returns an error if they
    /// do not arrive; other bytes fail the test.
    pub(crate) fn reads(&mut self, expected: &[u8], most: usize) -> io::Result<usize> {
        let mut buffer = vec![0; most.min(256 << 10)];
        let mut position = 0;
        while position < most {
            let wanted = buffer.len().min(most - position);
            let read = self.read(&mut buffer[..wanted])?;
            if read == 0 {
                break;
            }
            let same = expected.get(position..position + read) == Some(&buffer[..read]);
            assert!(same, "wrong bytes after {position} of {}: {}", expected.len(), self.head);
            position += read;
        }
        Ok(position)
    }

    /// Reads the rest of the body, which must be exactly `expected`.
    pub(crate) fn ends_with(&mut self, expected: &[u8]) -> io::Result<()> {
        let read = self.reads(expected, usize::MAX)?;
        assert_eq!(read, expected.len(), "the body is incomplete: {}", self.head);
        Ok(())
    }
}
