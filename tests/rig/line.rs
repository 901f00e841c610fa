//! A connection to a server of the rig that forwards responses only as far as the test allows.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

pub(crate) struct Line {
    port: u16,
    gauge: Arc<Gauge>,
}

struct Gauge {
    limit: Mutex<Limit>,
    changed: Condvar,
}

/// The limit for forwarded responses.
#[derive(Clone, Copy, Default)]
struct Limit {
    /// The most bytes per connection since the last change; `None`: unlimited.
    most: Option<u64>,
    /// Whether the connection breaks at the limit.
    breaks: bool,
    /// The number of changes.
    said: u64,
}

/// The progress of one connection.
#[derive(Default)]
struct Passed {
    bytes: u64,
    said: u64,
}

impl Line {
    /// Listens on its own port, and forwards every connection to the port `server`.
    pub(crate) fn to(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let gauge = Arc::new(Gauge { limit: Mutex::default(), changed: Condvar::new() });
        let of_all = Arc::clone(&gauge);
        // The thread ends with the tests.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let gauge = Arc::clone(&of_all);
                thread::spawn(move || pass(from, to, None));
                thread::spawn(move || pass(server, client, Some(&gauge)));
            }
        });
        Self { port, gauge }
    }

    /// `host:port`, as in an image name.
    pub(crate) fn name(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.name())
    }

    /// From now on, each connection forwards at most this number of bytes, and then stalls.
    pub(crate) fn hold_after(&self, bytes: u64) {
        self.gauge.say(Some(bytes), false);
    }

    /// From now on, the first connection that forwards this number of bytes breaks there; then there is no limit.
    pub(crate) fn break_after(&self, bytes: u64) {
        self.gauge.say(Some(bytes), true);
    }

    /// From now on, there is no limit.
    pub(crate) fn open(&self) {
        self.gauge.say(None, false);
    }
}

impl Gauge {
    fn say(&self, most: Option<u64>, breaks: bool) {
        let mut limit = self.limit.lock().unwrap();
        *limit = Limit { most, breaks, said: limit.said + 1 };
        self.changed.notify_all();
    }

    /// Waits until some of `want` bytes may pass, and returns their number; 0 if the connection must break.
    fn take(&self, passed: &mut Passed, want: usize) -> usize {
        let mut limit = self.limit.lock().unwrap();
        loop {
            if passed.said != limit.said {
                *passed = Passed { bytes: 0, said: limit.said };
            }
            let left = limit.most.map_or(u64::MAX, |most| most - passed.bytes);
            if left > 0 {
                let taken = usize::try_from(left).map_or(want, |left| left.min(want));
                passed.bytes += taken as u64;
                return taken;
            }
            if limit.breaks {
                *limit = Limit { most: None, breaks: false, said: limit.said + 1 };
                return 0;
            }
            limit = self.changed.wait(limit).unwrap();
        }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, gauge: Option<&Gauge>) {
    let mut buffer = vec![0; 64 << 10];
    let mut passed = Passed::default();
    'all: while let Ok(read @ 1..) = from.read(&mut buffer) {
        let mut rest = &buffer[..read];
        while !rest.is_empty() {
            let taken = gauge.map_or(rest.len(), |gauge| gauge.take(&mut passed, rest.len()));
            if taken == 0 || to.write_all(&rest[..taken]).is_err() {
                break 'all;
            }
            rest = &rest[taken..];
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
