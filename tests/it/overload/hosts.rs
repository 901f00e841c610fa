//! Requests without one valid host (RFC 9112, 3.2), byte for byte.

use http::StatusCode;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{get, http2};
use crate::whole_gate::World;
use crate::wire::{rest, soon, status};

async fn exchange(address: std::net::SocketAddr, request: &str) -> String {
    let mut stream = soon(TcpStream::connect(address)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    rest(&mut stream).await
}

#[tokio::test]
async fn a_request_without_one_valid_host_is_a_400() {
    let world = World::new().await;
    let admin = world.admin();
    let admin = admin.strip_prefix("http://").unwrap().parse().unwrap();
    for (address, path) in [(world.public(), "/v2/"), (admin, "/livez")] {
        for (version, hosts, expected) in [
            ("1.1", "Host: x\r\n", 200),
            ("1.1", "Host:\r\n", 200),
            ("1.0", "", 200),
            ("1.1", "", 400),
            ("1.1", "Host: x\r\nHost: x\r\n", 400),
            ("1.1", "Host: x\r\nhost: y\r\n", 400),
            ("1.0", "Host: x\r\nHost: y\r\n", 400),
            ("1.1", "Host: x y\r\n", 400),
            ("1.1", "Host: x@y\r\n", 400),
            ("1.1", "Host: x/y\r\n", 400),
        ] {
            let request = format!("GET {path} HTTP/{version}\r\n{hosts}Connection: close\r\n\r\n");
            let answer = exchange(address, &request).await;
            // The HTTP version of an answer is that of its request.
            let answer = answer.replacen("HTTP/1.0", "HTTP/1.1", 1);
            assert_eq!(status(&answer), expected, "{address}: {request:?}: {answer}");
        }
    }
    // No later request on the same connection is answered.
    let second = "GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n";
    let answer = exchange(world.public(), &format!("GET /v2/ HTTP/1.1\r\n\r\n{second}")).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    assert!(answer.contains("no Host header"), "{answer}");

    let (mut sender, _connection) = http2(world.public(), 1 << 16).await;
    let good = sender.send_request(get(world.public(), "/v2/")).await.unwrap();
    assert_eq!(good.status(), StatusCode::OK);
    let mut two = get(world.public(), "/v2/");
    two.headers_mut().append("host", "x".parse().unwrap());
    two.headers_mut().append("host", "y".parse().unwrap());
    assert_eq!(sender.send_request(two).await.unwrap().status(), StatusCode::BAD_REQUEST);
}
