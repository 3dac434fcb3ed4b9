//! Bodies that are transformed: whatever comes, there is an answer; what is written is read back; chunks make no difference.

#![allow(clippy::panic, reason = "a test")]
#![cfg(feature = "compile")]

use bytes::Bytes;
use gateway_core::Gateway;
use gateway_core::config::{Text, compile};
use gateway_core::http::{Body, Headers, Incoming, Peer, Response, Scheme};
use gateway_core::shape;
use gateway_core::testing::{TestPlatform, run};
use proptest::prelude::*;
use serde_json::{Value as Tree, json};
use std::cell::RefCell;
use std::path::Path;

proptest! {
    /// A tree of elements, written as XML, is the same after it has been JSON.
    #[test]
    fn xml_comes_back_as_it_was(element in element()) {
        let xml = element.to_xml();
        let value = shape::xml::read(&xml).expect("it is XML");
        let mut again = Vec::new();
        shape::xml::write(&value, usize::MAX, &mut again).expect("it was XML");
        let again = String::from_utf8(again).expect("it is text");
        let value_again = shape::xml::read(&again).expect("it is XML again");
        prop_assert_eq!(value.to_text(), value_again.to_text(), "{} {}", xml, again);
        // The elements, their attributes and their texts, in order.
        prop_assert_eq!(Element::read(&xml), Element::read(&again));
    }

    #[test]
    fn any_bytes_of_any_kind_have_an_answer(kind in 0..KINDS.len(), bytes in bytes()) {
        let status = ask(&everything(), KINDS[kind], bytes.clone(), b"{}");
        prop_assert!([200, 400, 413, 502].contains(&status), "{}", status);
        let status = answered(&everything(), KINDS[kind], bytes);
        prop_assert!([200, 502].contains(&status), "{}", status);
    }

    /// A stream that is cut anywhere becomes what it becomes as a whole.
    #[test]
    fn chunks_make_no_difference(kind in 0..2usize, text in stream(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.sort_unstable();
        let rules = rules(["lines", "events"][kind]);
        let whole = pumped(&rules, &[&text]);
        let mut pieces = Vec::new();
        let mut start = 0;
        for cut in cuts.into_iter().chain([text.len()]) {
            pieces.push(&text[start..cut]);
            start = cut;
        }
        prop_assert_eq!(whole, pumped(&rules, &pieces));
    }

    /// Changes leave all that they do not name as it was.
    #[test]
    fn what_nobody_names_stays(value in tree(4)) {
        let document = json!({ "a": value, "gone": 1 });
        let gateway = gateway(&json!({ "edit": [{ "remove": "gone" }, { "set": { "new.b": 1 } }] }));
        let sent = seen(&gateway, "application/json", document.to_string().into_bytes()).expect("it goes on");
        let sent: Tree = serde_json::from_slice(&sent).expect("it is JSON");
        prop_assert_eq!(sent, json!({ "a": document["a"], "new": { "b": 1 } }));
    }
}

const KINDS: [&str; 7] = [
    "application/json",
    "application/xml",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=b",
    "text/csv",
    "application/x-ndjson",
    "text/event-stream",
];

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let likely = "[-<>/a&;#x=\"' \\[\\]{}:,0-9\r\n!]{0,60}|--b\r\ncontent-disposition: form-data; name=\"[a\"\\\\]{0,3}\"\r\n\r\n[a-]{0,4}\r\n--b(--)?";
    prop_oneof![prop::collection::vec(any::<u8>(), 0..60), likely.prop_map(String::into_bytes)]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    "((data: ?)?(\\{\"a\":[0-9],\"s\":1\\}|\\[1\\]|x|\u{feff}|id: 1|:c)?(\r\n|\n|\r|\n\n)?){0,12}"
        .prop_map(String::into_bytes)
}

fn tree(depth: u32) -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Null),
        any::<bool>().prop_map(Tree::from),
        any::<i64>().prop_map(Tree::from),
        any::<String>().prop_map(Tree::from)
    ];
    leaf.prop_recursive(depth, 30, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Tree::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|members| Tree::Object(members.into_iter().collect()))
        ]
    })
}

#[derive(Debug, Clone, PartialEq)]
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    content: Vec<Content>,
}

#[derive(Debug, Clone, PartialEq)]
enum Content {
    Text(String),
    Element(Element),
}

fn element() -> impl Strategy<Value = Element> {
    let name = || "[a-c](:d)?";
    let attributes = || prop::collection::btree_map("[x-z]", "[ \\PC\t\n]{0,6}", 0..3);
    let leaf = (name(), attributes(), "[ \\PC\t\n]{0,6}").prop_map(|(name, attributes, text)| Element {
        name,
        attributes: attributes.into_iter().collect(),
        content: if text.is_empty() { Vec::new() } else { vec![Content::Text(text)] },
    });
    leaf.prop_recursive(3, 20, 4, move |inner| {
        let content = prop_oneof![
            4 => inner.prop_map(Content::Element),
            1 => "[a-zé<&]{1,4}".prop_map(Content::Text),
        ];
        (name(), attributes(), prop::collection::vec(content, 0..5)).prop_map(|(name, attributes, content)| Element {
            name,
            attributes: attributes.into_iter().collect(),
            content,
        })
    })
}

impl Element {
    fn to_xml(&self) -> String {
        let escape = |text: &str| {
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
            text.replace('\t', "&#9;").replace('\n', "&#10;").replace('\r', "&#13;")
        };
        let attributes: String =
            self.attributes.iter().map(|(name, value)| format!(" {name}=\"{}\"", escape(value))).collect();
        let content: String = self
            .content
            .iter()
            .map(|content| match content {
                Content::Text(text) => escape(text),
                Content::Element(element) => element.to_xml(),
            })
            .collect();
        format!("<{}{attributes}>{content}</{}>", self.name, self.name)
    }

    /// By a reader that knows nothing of JSON. Space between elements is not kept.
    fn read(xml: &str) -> Element {
        use quick_xml::events::Event;
        let mut reader = quick_xml::Reader::from_str(xml);
        let mut open: Vec<Element> = Vec::new();
        let text = |open: &mut Vec<Element>, more: &str| {
            if let Some(inner) = open.last_mut() {
                match inner.content.last_mut() {
                    Some(Content::Text(before)) => before.push_str(more),
                    _ => inner.content.push(Content::Text(more.to_owned())),
                }
            }
        };
        loop {
            match reader.read_event().expect("it is XML") {
                Event::Start(start) => {
                    let attributes = start.attributes().map(|attribute| {
                        let attribute = attribute.expect("an attribute");
                        let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0).expect("a value");
                        (attribute.key.as_ref().to_owned(), value.into_owned())
                    });
                    open.push(Element {
                        name: start.name().as_ref().to_owned(),
                        attributes: attributes.collect(),
                        content: Vec::new(),
                    });
                }
                Event::End(_) => {
                    let mut element = open.pop().expect("it was opened");
                    let blank = |content: &Content| matches!(content, Content::Text(text) if text.trim_matches([' ', '\t', '\n', '\r']).is_empty());
                    if element.content.iter().any(|content| matches!(content, Content::Element(_))) {
                        element.content.retain(|content| !blank(content));
                    }
                    match open.last_mut() {
                        Some(outer) => outer.content.push(Content::Element(element)),
                        None => return element,
                    }
                }
                Event::Text(more) => text(&mut open, &more.xml10_content()),
                Event::GeneralRef(reference) => {
                    let character =
                        reference.resolve_char_ref().expect("a reference").unwrap_or_else(|| {
                            match reference.xml10_content().as_ref() {
                                "amp" => '&',
                                "lt" => '<',
                                "gt" => '>',
                                "quot" => '"',
                                "apos" => '\'',
                                other => panic!("{other}"),
                            }
                        });
                    text(&mut open, &character.to_string());
                }
                Event::Decl(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

fn load(policies: Tree) -> Gateway {
    let configuration = json!({
        "upstreams": { "origin": { "targets": [{ "url": "http://origin" }] } },
        "routes": [{ "name": "all", "upstream": "origin", "policies": policies }],
    });
    let compiled = compile(Path::new("gateway.json"), &Text(configuration.to_string()));
    Gateway::load(Bytes::from(compiled.artefact.expect("it compiles")), |_| None).expect("it loads")
}

fn gateway(request: &Tree) -> Gateway {
    load(json!([{ "transform": { "request": { "body": request } } }]))
}

/// Every format on both ways.
fn everything() -> Gateway {
    let formats = ["json", "xml", "form", "multipart", "csv"].map(|format| {
        let body = json!({ "from": format, "limit": 1000, "query": "@", "edit": [{ "set": { "new": "{body.*}" } }] });
        json!({ "transform": { "request": { "body": body }, "response": { "body": body } } })
    });
    let streams = ["lines", "events"].map(|kind| {
        let body = json!({ "stream": kind, "limit": 30, "edit": [{ "remove": "a" }] });
        json!({ "transform": { "request": { "body": body }, "response": { "body": body } } })
    });
    load(formats.into_iter().chain(streams).collect())
}

fn incoming(media_type: &str, body: Vec<u8>) -> Incoming<Vec<u8>> {
    let mut headers = Headers::new();
    headers.receive("content-type", media_type.as_bytes());
    Incoming {
        method: "POST".to_owned(),
        scheme: Scheme::Http,
        authority: "a.example".to_owned(),
        target: "/".to_owned(),
        headers,
        body: Body::Stream(body),
        peer: Peer::default(),
    }
}

fn ask(gateway: &Gateway, media_type: &str, body: Vec<u8>, answer: &[u8]) -> u16 {
    let platform = TestPlatform::new(|_| {
        Ok(Response { status: 200, headers: Headers::new(), body: Body::Stream(answer.to_vec()) })
    });
    run(gateway.handle(&platform, incoming(media_type, body))).response.status
}

fn answered(gateway: &Gateway, media_type: &str, body: Vec<u8>) -> u16 {
    let platform = TestPlatform::new(|_| {
        let mut headers = Headers::new();
        headers.receive("content-type", media_type.as_bytes());
        Ok(Response { status: 200, headers, body: Body::Stream(body.clone()) })
    });
    run(gateway.handle(&platform, incoming("text/plain", Vec::new()))).response.status
}

/// What the upstream gets.
fn seen(gateway: &Gateway, media_type: &str, body: Vec<u8>) -> Option<Bytes> {
    let got = RefCell::new(None);
    let platform = TestPlatform::new(|call| {
        if let Body::Bytes(bytes) = call.body {
            *got.borrow_mut() = Some(bytes);
        }
        Ok(Response { status: 200, headers: Headers::new(), body: Body::Empty })
    });
    run(gateway.handle(&platform, incoming(media_type, body)));
    drop(platform);
    got.into_inner()
}

fn rules(stream: &str) -> Gateway {
    load(json!([{ "transform": { "response": { "body": {
        "stream": stream, "limit": 40, "invalid": "drop", "edit": [{ "remove": "s" }]
    } } } }]))
}

/// What becomes of a stream that comes in these pieces.
fn pumped(gateway: &Gateway, pieces: &[&[u8]]) -> Result<Vec<u8>, String> {
    let media_type = ["application/x-ndjson", "text/event-stream"];
    let mut outcome = Err("nothing was pumped".to_owned());
    for media_type in media_type {
        let platform = TestPlatform::new(|_| {
            let mut headers = Headers::new();
            headers.receive("content-type", media_type.as_bytes());
            Ok(Response { status: 200, headers, body: Body::Stream(Vec::new()) })
        });
        let reply = run(gateway.handle(&platform, incoming("text/plain", Vec::new())));
        let Body::Pumped(_, mut pump) = reply.response.body else { continue };
        outcome = pieces
            .iter()
            .try_fold(Vec::new(), |mut out, piece| {
                out.extend(pump.push(piece)?);
                Ok(out)
            })
            .and_then(|mut out| {
                out.extend(pump.finish(Headers::new())?.0);
                Ok(out)
            })
            .map_err(|broken: gateway_core::pump::Broken| broken.0);
    }
    outcome
}
