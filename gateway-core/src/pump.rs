//! Bodies that change on their way: what an adapter does to each chunk of a stream, so that nobody keeps the whole of it.

use crate::http::{Body, Headers};
use crate::platform::{Platform, ReadError};
use bytes::Bytes;
use std::fmt;

/// Changes a body chunk by chunk. It keeps no more than it needs for what has not come yet.
pub trait Transform: fmt::Debug {
    /// Takes the next bytes, however the body was cut into chunks, and adds to `out` what can be sent now.
    ///
    /// # Errors
    /// Where the body cannot be what it should be. It breaks off then, and neither this nor `finish` is called again.
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Broken>;

    /// Takes the fields behind a body that is whole, once, and adds the rest to `out`. Gives the fields that are sent behind
    /// it; platforms without such fields have none to give, and leave out these.
    ///
    /// # Errors
    /// Where the body ended too early. It breaks off then.
    fn finish(&mut self, trailers: Headers, out: &mut Vec<u8>) -> Result<Headers, Broken> {
        let _ = out;
        Ok(trailers)
    }
}

/// Why a body cannot go on, in words for the log. Whoever receives it sees that it is not whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken(pub String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a body was broken off on its way: {}", self.0)
    }
}

/// What a stream passes through: one change after another.
#[derive(Debug)]
pub struct Pump(Vec<Box<dyn Transform>>);

impl Pump {
    /// One change.
    pub fn new(transform: impl Transform + 'static) -> Self {
        Self(vec![Box::new(transform)])
    }

    /// Another one behind those that are here.
    pub fn then(mut self, transform: impl Transform + 'static) -> Self {
        self.0.push(Box::new(transform));
        self
    }

    /// What comes out for these bytes.
    ///
    /// # Errors
    /// As [`Transform::push`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Broken> {
        let mut stages = self.0.iter_mut();
        let mut out = Vec::with_capacity(bytes.len());
        match stages.next() {
            Some(first) => first.push(bytes, &mut out)?,
            None => out.extend_from_slice(bytes),
        }
        for stage in stages {
            let bytes = std::mem::take(&mut out);
            stage.push(&bytes, &mut out)?;
        }
        Ok(out)
    }

    /// What comes out at the end, and the fields behind it.
    ///
    /// # Errors
    /// As [`Transform::finish`].
    pub fn finish(&mut self, trailers: Headers) -> Result<(Vec<u8>, Headers), Broken> {
        let (mut rest, mut trailers) = (Vec::new(), trailers);
        for stage in &mut self.0 {
            let mut out = Vec::new();
            if !rest.is_empty() {
                stage.push(&rest, &mut out)?;
            }
            trailers = stage.finish(trailers, &mut out)?;
            rest = out;
        }
        Ok((rest, trailers))
    }

    /// What comes out for a whole body.
    ///
    /// # Errors
    /// As [`Transform::push`] and [`Transform::finish`].
    pub fn whole(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Broken> {
        let mut out = if bytes.is_empty() { Vec::new() } else { self.push(bytes)? };
        out.extend(self.finish(Headers::new())?.0);
        Ok(out)
    }
}

impl<S> Body<S> {
    /// This body, with one more change on its way. Whoever calls this takes `Content-Length` away.
    ///
    /// # Errors
    /// Where the body is in memory, and cannot be changed.
    pub fn pumped(self, transform: impl Transform + 'static) -> Result<Self, Broken> {
        match self {
            Body::Stream(stream) => Ok(Body::Pumped(stream, Pump::new(transform))),
            Body::Pumped(stream, pump) => Ok(Body::Pumped(stream, pump.then(transform))),
            Body::Made(flow) => Ok(Body::Made(flow.pumped(transform))),
            Body::Bytes(bytes) => in_memory(Pump::new(transform), &bytes),
            Body::Empty => in_memory(Pump::new(transform), &[]),
        }
    }
}

fn in_memory<S>(mut pump: Pump, bytes: &[u8]) -> Result<Body<S>, Broken> {
    Ok(Body::Bytes(pump.whole(bytes)?.into()))
}

/// Reads a whole body, with its changes if it has any; neither what comes nor what becomes of it may be longer than the limit.
///
/// # Errors
/// As [`Platform::read`].
pub async fn read<P: Platform>(platform: &P, body: Body<P::Stream>, limit: usize) -> Result<Bytes, ReadError> {
    let bytes = match body {
        Body::Empty => Bytes::new(),
        Body::Bytes(bytes) => bytes,
        Body::Stream(stream) => platform.read(stream, limit).await?,
        Body::Pumped(stream, mut pump) => {
            let bytes = platform.read(stream, limit).await?;
            pump.whole(&bytes).map_err(|broken| ReadError::Broken(broken.0))?.into()
        }
        // Nobody makes it before the reply has left, so waiting for it would never end.
        Body::Made(_) => return Err(ReadError::Broken("it is made only while it is sent".to_owned())),
    };
    if bytes.len() > limit { Err(ReadError::TooLarge) } else { Ok(bytes) }
}

/// Ends a response's body that nobody will read: see [`Platform::discard`].
pub fn discard<P: Platform>(platform: &P, body: Body<P::Stream>) {
    match body {
        Body::Stream(stream) | Body::Pumped(stream, _) => platform.discard(stream),
        Body::Made(flow) => flow.leave(),
        Body::Empty | Body::Bytes(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes each line twice, as soon as it is whole.
    #[derive(Debug, Default)]
    struct Twice(Vec<u8>);

    impl Transform for Twice {
        fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
            for &byte in bytes {
                self.0.push(byte);
                if byte == b'\n' {
                    out.extend(self.0.repeat(2));
                    self.0.clear();
                }
            }
            if self.0.len() > 4 { Err(Broken("a line is too long".to_owned())) } else { Ok(()) }
        }

        fn finish(&mut self, mut trailers: Headers, out: &mut Vec<u8>) -> Result<Headers, Broken> {
            out.extend(self.0.repeat(2));
            trailers.append("x-twice", "yes");
            Ok(trailers)
        }
    }

    #[test]
    fn what_is_whole_goes_on_at_once_and_the_rest_at_the_end() {
        let mut pump = Pump::new(Twice::default());
        assert_eq!(pump.push(b"a\nb"), Ok(b"a\na\n".to_vec()));
        assert_eq!(pump.push(b"\nc"), Ok(b"b\nb\n".to_vec()));
        let (rest, trailers) = pump.finish(Headers::new()).expect("the end");
        assert_eq!((rest.as_slice(), trailers.text("x-twice")), (&b"cc"[..], Some("yes")));
    }

    #[test]
    fn each_change_sees_what_the_one_before_has_made() {
        let mut pump = Pump::new(Twice::default()).then(Twice::default());
        assert_eq!(pump.push(b"a\nb"), Ok(b"a\na\na\na\n".to_vec()));
        let (rest, trailers) = pump.finish(Headers::new()).expect("the end");
        assert_eq!((rest.as_slice(), trailers.all("x-twice").count()), (&b"bbbb"[..], 2));
    }

    #[test]
    fn a_body_in_memory_is_changed_at_once() {
        let body = Body::<()>::Bytes("a\nb".into()).pumped(Twice::default());
        assert!(matches!(body, Ok(Body::Bytes(bytes)) if bytes == "a\na\nbb"));
        let broken = Body::<()>::Bytes("abcde".into()).pumped(Twice::default());
        assert_eq!(broken.map(|_| ()), Err(Broken("a line is too long".to_owned())));
        let body = Body::Stream(()).pumped(Twice::default()).and_then(|body| body.pumped(Twice::default()));
        assert!(matches!(body, Ok(Body::Pumped((), pump)) if pump.0.len() == 2));
    }
}
