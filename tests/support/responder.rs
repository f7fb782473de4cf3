//! An HTTP server for what stands beside STS: the container and instance endpoints, the SSO portal.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// An HTTP server on loopback that remembers what it was asked.
pub struct Responder {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Responder {
    /// Starts it; `answer` gives the body for a request's head, or nothing for a 404. A body with a `__type` is a refusal.
    pub fn start(answer: impl Fn(&str) -> Option<String> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let head = read_head(&mut stream);
                let body = answer(&head);
                let status = match &body {
                    None => "404 Not Found",
                    Some(body) if body.contains("\"__type\"") => "401 Unauthorized",
                    Some(_) => "200 OK",
                };
                let body = body.unwrap_or_default();
                seen.lock().unwrap().push(head);
                let more = "Content-Type: application/json\r\nX-Aws-Ec2-Metadata-Token-Ttl-Seconds: 21600\r\nConnection: close";
                // A client that has gone got what it wanted.
                let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{more}\r\n\r\n{body}", body.len());
            }
        });
        Self { address, requests }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Gives the heads of the requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn read_head(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}
