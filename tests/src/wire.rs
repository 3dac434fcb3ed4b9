//! HTTP/1.1 as bytes: nothing is normalised, so that a test sees what was sent.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

/// A field line as it stood on the wire, without the white space around its value.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Field {
    /// In the spelling of the sender.
    pub name: Vec<u8>,
    /// Bytes, whatever they mean.
    pub value: Vec<u8>,
}

/// A start line and the field lines after it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// Request line or status line, without its line end.
    pub start: Vec<u8>,
    /// In order.
    pub fields: Vec<Field>,
}

/// How the end of a body is found (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Empty,
    /// So many bytes.
    Length(u64),
    /// Chunks, and trailers after them.
    Chunked,
    /// It ends with the connection.
    UntilClose,
}

impl Field {
    /// A field.
    pub fn new(name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), value: value.into() }
    }

    /// Reads `name: value`.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let colon = line.iter().position(|&b| b == b':')?;
        Some(Self::new(&line[..colon], line[colon + 1..].trim_ascii()))
    }

    /// Whether it has this name, in any case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name.escape_ascii(), self.value.escape_ascii())
    }
}

impl Head {
    /// The values of a field, line by line.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        values(&self.fields, name)
    }

    /// The first value of a field, as text.
    pub fn text(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|field| field.is(name))?;
        std::str::from_utf8(&field.value).ok()
    }

    /// How a body that follows this head is framed, were there nothing else to consider.
    fn declared(&self) -> Option<Framing> {
        if self.all("transfer-encoding").any(|value| value.to_ascii_lowercase().ends_with(b"chunked")) {
            return Some(Framing::Chunked);
        }
        self.text("content-length").and_then(|text| text.parse().ok()).map(Framing::Length)
    }

    /// How the body of this request is framed.
    pub fn request_framing(&self) -> Framing {
        self.declared().unwrap_or(Framing::Empty)
    }

    /// How the body of this response to a request with `method` is framed.
    pub fn response_framing(&self, method: &str, status: u16) -> Framing {
        if method == "HEAD" || matches!(status, 100..=199 | 204 | 304) {
            return Framing::Empty;
        }
        self.declared().unwrap_or(Framing::UntilClose)
    }

    /// The head as bytes, with the empty line that ends it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.start.clone();
        out.extend(b"\r\n");
        for field in &self.fields {
            out.extend(&field.name);
            out.extend(b": ");
            out.extend(&field.value);
            out.extend(b"\r\n");
        }
        out.extend(b"\r\n");
        out
    }
}

/// The values of one name, line by line.
pub fn values<'a>(fields: &'a [Field], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    fields.iter().filter(move |field| field.is(name)).map(|field| field.value.as_slice())
}

/// Reads messages from a connection.
#[derive(Debug)]
pub struct Reader<R>(BufReader<R>);

impl<R: Read> Reader<R> {
    /// A reader at the start of a message.
    pub fn new(inner: R) -> Self {
        Self(BufReader::with_capacity(64 << 10, inner))
    }

    /// The next head; `None` where the connection ended before one began.
    pub fn head(&mut self) -> io::Result<Option<Head>> {
        let start = match self.line()? {
            None => return Ok(None),
            Some(line) => line,
        };
        Ok(Some(Head { start, fields: self.fields()? }))
    }

    /// Field lines up to the empty one.
    fn fields(&mut self) -> io::Result<Vec<Field>> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?.ok_or(io::ErrorKind::UnexpectedEof)?;
            if line.is_empty() {
                return Ok(fields);
            }
            let field = Field::parse(&line);
            fields.push(field.ok_or_else(|| io::Error::other(format!("no field: {}", line.escape_ascii())))?);
        }
    }

    /// Reads a body, handing its bytes on as they come; the trailers.
    pub fn body(&mut self, framing: Framing, mut sink: impl FnMut(&[u8])) -> io::Result<Vec<Field>> {
        match framing {
            Framing::Empty => {}
            Framing::Length(length) => self.pass(length, &mut sink)?,
            Framing::UntilClose => loop {
                let bytes = self.0.fill_buf()?;
                if bytes.is_empty() {
                    break;
                }
                sink(bytes);
                let length = bytes.len();
                self.0.consume(length);
            },
            Framing::Chunked => loop {
                let line = self.line()?.ok_or(io::ErrorKind::UnexpectedEof)?;
                let digits = line.split(|&b| b == b';').next().unwrap_or_default().trim_ascii();
                let size = std::str::from_utf8(digits).ok().and_then(|digits| u64::from_str_radix(digits, 16).ok());
                match size.ok_or_else(|| io::Error::other(format!("no chunk size: {}", line.escape_ascii())))? {
                    0 => return self.fields(),
                    size => self.pass(size, &mut sink)?,
                }
                self.line()?.filter(Vec::is_empty).ok_or(io::ErrorKind::InvalidData)?;
            },
        }
        Ok(Vec::new())
    }

    /// Whatever comes next; empty at the end.
    pub fn some(&mut self) -> io::Result<Vec<u8>> {
        let bytes = self.0.fill_buf()?.to_vec();
        self.0.consume(bytes.len());
        Ok(bytes)
    }

    /// So many bytes.
    pub fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// The connection.
    pub fn get_ref(&self) -> &R {
        self.0.get_ref()
    }

    fn pass(&mut self, mut left: u64, sink: &mut impl FnMut(&[u8])) -> io::Result<()> {
        while left > 0 {
            let bytes = self.0.fill_buf()?;
            if bytes.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let length = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            sink(&bytes[..length]);
            self.0.consume(length);
            left -= length as u64;
        }
        Ok(())
    }

    fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        if self.0.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        if line.pop() != Some(b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.pop_if(|b| *b == b'\r');
        Ok(Some(line))
    }
}

/// Bytes in chunks (RFC 9112 §7.1), without the last one.
pub fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut out = format!("{:x}\r\n", bytes.len()).into_bytes();
    out.extend(bytes);
    out.extend(b"\r\n");
    out
}

/// A text whose characters stand for bytes: up to U+00FF each is the byte of its number.
pub fn bytes(text: &str) -> Result<Vec<u8>, String> {
    text.chars()
        .map(|c| {
            u8::try_from(u32::from(c)).map_err(|_| format!("`{c}` is not a byte: write the bytes of UTF-8 as \\xNN"))
        })
        .collect()
}

/// Bytes in the form that [`bytes`] reads.
pub fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|&b| char::from(b)).collect()
}
