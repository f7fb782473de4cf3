//! The HTTP/1.1 of the stand-in: reads requests with a `Content-Length`, writes answers. It never knows what they mean.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use super::encoding::{decode, http_date, pairs, request_id};

const MAX_HEAD: usize = 64 * 1024;
const MAX_BODY: usize = 1024 * 1024;

/// The socket, owned by its thread and shared with whoever may have to shut it.
pub(super) struct Wire(pub(super) Arc<TcpStream>);

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buffer)
    }
}

impl Write for Wire {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        (&*self.0).write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self.0).flush()
    }
}

#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    /// As sent: still percent-encoded, without the query.
    pub(super) path: String,
    pub(super) query: String,
    /// Names in lower case, in order of arrival.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    pub(super) keep_alive: bool,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Query and form parameters, decoded.
    pub(super) fn params(&self) -> BTreeMap<String, String> {
        let body = String::from_utf8_lossy(&self.body);
        let pairs = pairs(&self.query).chain(pairs(&body));
        pairs.map(|(key, value)| (decode(key, true), decode(value, true))).collect()
    }
}

pub(super) enum Incoming {
    Request(Request),
    Malformed(&'static str),
    End,
}

pub(super) fn read_request(stream: &mut (impl Read + Write), buffered: &mut Vec<u8>) -> io::Result<Incoming> {
    let head_length = loop {
        if let Some(at) = buffered.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if buffered.len() > MAX_HEAD {
            return Ok(Incoming::Malformed("the request's head is too long"));
        }
        if !read_more(stream, buffered)? {
            return Ok(Incoming::End);
        }
    };
    let rest = buffered.split_off(head_length + 4);
    let head = std::mem::replace(buffered, rest);
    let mut request = match parse_head(&head[..head_length]) {
        Ok(request) => request,
        Err(why) => return Ok(Incoming::Malformed(why)),
    };
    let length = match body_length(&request) {
        Ok(length) => length,
        Err(why) => return Ok(Incoming::Malformed(why)),
    };
    if length > buffered.len() && request.header("expect").is_some() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        stream.flush()?;
    }
    while buffered.len() < length {
        if !read_more(stream, buffered)? {
            return Ok(Incoming::End);
        }
    }
    let rest = buffered.split_off(length);
    request.body = std::mem::replace(buffered, rest);
    Ok(Incoming::Request(request))
}

fn read_more(stream: &mut impl Read, buffered: &mut Vec<u8>) -> io::Result<bool> {
    let mut chunk = [0; 4096];
    let read = stream.read(&mut chunk)?;
    buffered.extend_from_slice(&chunk[..read]);
    Ok(read > 0)
}

pub(super) fn parse_head(head: &[u8]) -> Result<Request, &'static str> {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version), None) = (first.next(), first.next(), first.next(), first.next())
    else {
        return Err("the request line is not `METHOD TARGET HTTP/1.1`");
    };
    if !target.starts_with('/') || !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
        return Err("the request line is not `METHOD TARGET HTTP/1.1`");
    }
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or("a header has no colon")?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body: Vec::new(),
        keep_alive: version == "HTTP/1.1",
    };
    match request.header("connection").map(str::to_ascii_lowercase).as_deref() {
        Some("close") => request.keep_alive = false,
        Some("keep-alive") => request.keep_alive = true,
        _ => {}
    }
    Ok(request)
}

fn body_length(request: &Request) -> Result<usize, &'static str> {
    if request.header("transfer-encoding").is_some() {
        return Err("Transfer-Encoding is not supported, send Content-Length");
    }
    let length = match request.header("content-length") {
        None => 0,
        Some(text) => text.parse().map_err(|_| "Content-Length is not a number")?,
    };
    if length > MAX_BODY { Err("the request's body is too long") } else { Ok(length) }
}

pub(super) struct Answer {
    pub(super) status: u16,
    content_type: &'static str,
    pub(super) body: String,
    pub(super) truncated: bool,
}

impl Answer {
    pub(super) fn new(status: u16, content_type: &'static str, body: String) -> Self {
        Self { status, content_type, body, truncated: false }
    }

    pub(super) fn xml(status: u16, body: String) -> Self {
        Self::new(status, "text/xml", body)
    }

    pub(super) fn text(status: u16, body: String) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    pub(super) fn to_bytes(&self, date: i64, keep_alive: bool) -> Vec<u8> {
        let reason = match self.status {
            200 => "OK",
            302 => "Found",
            400 => "Bad Request",
            403 => "Forbidden",
            404 => "Not Found",
            409 => "Conflict",
            _ => "Internal Server Error",
        };
        format!(
            "HTTP/1.1 {} {reason}\r\nx-amzn-RequestId: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nDate: {}\r\n\
             Connection: {}\r\n\r\n{}",
            self.status,
            request_id(),
            self.content_type,
            self.body.len(),
            http_date(date),
            if keep_alive { "keep-alive" } else { "close" },
            self.body,
        )
        .into_bytes()
    }
}
