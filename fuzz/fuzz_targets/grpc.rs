//! Path templates, frames, JSON values one behind the other, and answers of upstreams: what others write, in whatever form it
//! comes.

#![no_main]

use gateway_core::grpc::dialect::{Dialect, Reader, Start};
use gateway_core::grpc::frame::{Frames, from_text};
use gateway_core::grpc::template::{Template, Tree};
use gateway_core::grpc::values::Values;
use gateway_core::http::Headers;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, String, String, Vec<u8>, Vec<u8>)| {
    let (choice, template, path, head, body) = input;
    if let Ok(template) = Template::parse(&template) {
        let mut tree = Tree::default();
        assert_eq!(tree.add("GET", &template, 0), Ok(()));
        assert_eq!(tree.add("GET", &template, 1), Err(0));
        tree.find("GET", &path);
        let _ = template.capture(&path);
    }
    let _ = from_text(&body);
    for opens in [true, false] {
        let cut = |size: usize| {
            let mut values = Values::new(1 << 10, opens);
            let mut all = Vec::new();
            for chunk in body.chunks(size) {
                all.extend(values.push(chunk)?);
            }
            all.extend(values.finish()?);
            Ok::<_, gateway_core::grpc::values::Bad>(all)
        };
        // However it is cut, the same comes out.
        assert_eq!(cut(usize::from(choice).max(1)), cut(usize::MAX));
    }
    let mut frames = Frames::new(1 << 10);
    let mut count = 0;
    for chunk in body.chunks(usize::from(choice).max(1)) {
        match frames.push(chunk) {
            Ok(some) => count += some.len(),
            Err(_) => return,
        }
    }
    // However it is cut, the same comes out.
    assert_eq!(Frames::new(1 << 10).push(&body).map(|frames| frames.len()), Ok(count));
    let headers = Headers::from_block(head);
    for dialect in [Dialect::Grpc, Dialect::GrpcWeb, Dialect::Connect] {
        for streams in [true, false] {
            if let Ok(Start::Body(mut reader)) = Reader::start(dialect, streams, 200, &headers, 1 << 10)
                && reader.push(&body).is_ok()
            {
                let _ = reader.finish(headers.clone());
            }
        }
    }
});
