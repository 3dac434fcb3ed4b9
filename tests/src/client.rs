//! A client that sends exactly the bytes it is told to, and shows exactly what came back.

use crate::wire::{Field, Framing, Head, Reader, values};
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// A connection to a gateway, or straight to an origin.
#[derive(Debug)]
pub struct Connection {
    reader: Reader<TcpStream>,
}

/// A response as it came.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The status code.
    pub status: u16,
    /// Status line and fields.
    pub head: Head,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// The fields after a chunked body.
    pub trailers: Vec<Field>,
    /// Heads with a status of 1xx that came before.
    pub interim: Vec<Head>,
    /// Why the body ended too early, if it did.
    pub broken: Option<String>,
}

impl Seen {
    /// The values of one name, line by line.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        values(&self.head.fields, name)
    }

    /// The reason phrase.
    pub fn reason(&self) -> &[u8] {
        self.head.start.splitn(3, |&b| b == b' ').nth(2).unwrap_or_default()
    }
}

/// What nothing on this machine should need, however busy it is.
pub const PATIENCE: Duration = Duration::from_secs(30);

impl Connection {
    /// Connects.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { reader: Reader::new(stream) })
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream().write_all(bytes)
    }

    /// The next response to a request with this method, its body in memory. A body that breaks off is no error.
    pub fn receive(&mut self, method: &str) -> io::Result<Seen> {
        let (mut seen, framing) = self.receive_head(method)?;
        let mut body = Vec::new();
        match self.reader.body(framing, |bytes| body.extend(bytes)) {
            Ok(trailers) => seen.trailers = trailers,
            Err(error) => seen.broken = Some(error.to_string()),
        }
        seen.body = body;
        Ok(seen)
    }

    /// The next head that is not an interim one, and how the body after it is framed.
    pub fn receive_head(&mut self, method: &str) -> io::Result<(Seen, Framing)> {
        let mut seen = Seen::default();
        loop {
            let head = self.reader.head()?;
            let head = head.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "no response"))?;
            let digits = head.start.split(|&b| b == b' ').nth(1).and_then(|code| std::str::from_utf8(code).ok());
            let Some(status) = digits.and_then(|code| code.parse().ok()) else {
                return Err(io::Error::other(format!("no status line: {}", head.start.escape_ascii())));
            };
            if (100..200).contains(&status) && status != 101 {
                seen.interim.push(head);
                continue;
            }
            let framing = head.response_framing(method, status);
            (seen.status, seen.head) = (status, head);
            return Ok((seen, framing));
        }
    }

    /// The body after [`Connection::receive_head`], as it comes.
    pub fn receive_body(&mut self, framing: Framing, sink: impl FnMut(&[u8])) -> io::Result<Vec<Field>> {
        self.reader.body(framing, sink)
    }

    /// What comes next, unparsed.
    pub fn reader(&mut self) -> &mut Reader<TcpStream> {
        &mut self.reader
    }

    /// The socket.
    pub fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    /// Whether the other side has closed, or does within a while.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.reader.some().as_deref(), Ok([]) | Err(_))
    }

    /// Goes away politely: FIN both ways.
    pub fn close(self) {
        let _ = self.stream().shutdown(Shutdown::Both);
    }

    /// Goes away rudely: RST.
    pub fn reset(self) {
        reset(self.stream());
    }
}

/// Ends a connection with RST as soon as its last handle is dropped; what was not sent yet is lost.
pub fn reset(stream: &TcpStream) {
    let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}

/// Sends one request on a connection of its own and returns the response. The sending side stays open.
pub fn exchange(address: SocketAddr, request: &[u8], method: &str) -> io::Result<Seen> {
    let mut connection = Connection::open(address)?;
    // A server that refuses early may close before it has read everything; its answer counts, not the broken pipe.
    let sent = connection.send(request);
    match (connection.receive(method), sent) {
        (Err(error), Err(broken)) => Err(io::Error::other(format!("{error}, and before that: {broken}"))),
        (received, _) => received,
    }
}

/// A request's head and body as one message: `Host` first, then the fields as written.
pub fn request(method: &str, target: &str, host: &str, fields: &[Field], body: &[u8]) -> Vec<u8> {
    let mut all = vec![Field::new("Host", host)];
    all.extend(fields.iter().cloned());
    if !body.is_empty() && !fields.iter().any(|field| field.is("content-length") || field.is("transfer-encoding")) {
        all.push(Field::new("Content-Length", body.len().to_string()));
    }
    let mut message = Head { start: format!("{method} {target} HTTP/1.1").into_bytes(), fields: all }.to_bytes();
    message.extend(body);
    message
}
