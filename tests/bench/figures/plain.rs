//! A client of HTTP/1.1 that only reads: one connection, one thread, one buffer. It must never be the bottleneck, so it
//! implements only the necessary parts of HTTP.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use url::Url;

use super::reader::{Answers, Sink};

/// Large enough that system calls do not count, small enough for a core's cache.
const BUFFER: usize = 256 << 10;
const MAX_HEAD: usize = 16 << 10;

pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(url: &Url) -> Self {
        let address = (url.host_str().unwrap(), url.port_or_known_default().unwrap());
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: vec![0; BUFFER] }
    }

    /// Requests `url` and reads the whole answer.
    pub(crate) fn get(&mut self, url: &Url, sink: &mut Sink, answers: &mut Answers) {
        let request = format!(
            "GET {} HTTP/1.1\r\nhost: {}\r\naccept: */*\r\n\r\n",
            url.path(),
            url.authority()
        );
        let asked = Instant::now();
        self.stream.write_all(request.as_bytes()).unwrap();
        let mut filled = 0;
        let end = loop {
            let got = self.stream.read(&mut self.buffer[filled..]).unwrap();
            assert!(got > 0, "{url}: the connection ended in the headers");
            filled += got;
            if let Some(at) = find(&self.buffer[..filled], b"\r\n\r\n") {
                break at + 4;
            }
            assert!(filled < MAX_HEAD, "{url}: the headers are too long");
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
        assert_eq!(head.get(9..12), Some("200"), "{url}: {head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.expect("a blob has a length").trim().parse().unwrap();

        let mut read = filled - end;
        let mut first = (read > 0).then(|| asked.elapsed());
        sink.take(&self.buffer[end..filled]);
        while read < length {
            let got = self.stream.read(&mut self.buffer).unwrap();
            assert!(got > 0, "{url}: the connection ended after {read} of {length} bytes");
            first.get_or_insert_with(|| asked.elapsed());
            sink.take(&self.buffer[..got]);
            read += got;
        }
        assert_eq!(read, length, "{url}: longer than announced");
        answers.add(read, first.unwrap_or_else(|| asked.elapsed()));
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
