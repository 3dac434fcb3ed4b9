//! `Gateway::handle` alone: what an adapter asks of the core for one request, without the platform around it.
//!
//! A round trip includes reading the packed header fields of the request and of the response, and reading out the edits.

use crate::configurations;
use crate::lookup::group;
use crate::results::{Results, Table, number};
use crate::run::Setup;
use crate::serving::HEADERS;
use crate::still::Still;
use crate::tables::{self, Shape};
use crate::{counting, timing};
use bytes::Bytes;
use gateway_core::Gateway;
use gateway_core::http::{Body, Headers, Incoming, Peer, Response, Scheme};
use gateway_core::platform::Call;
use gateway_core::testing;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

/// What is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pass,
    Full,
    Respond,
    NotFound,
    NotAllowed,
}

impl Kind {
    const ALL: [(&'static str, &'static str, Kind); 5] = [
        ("pass", "handed on, no policy", Kind::Pass),
        ("full", "handed on, rewrite, 7 header edits", Kind::Full),
        ("respond", "answered by the gateway", Kind::Respond),
        ("404", "refused: 404", Kind::NotFound),
        ("405", "refused: 405", Kind::NotAllowed),
    ];

    fn status(self) -> u16 {
        match self {
            Kind::Pass | Kind::Full | Kind::Respond => 200,
            Kind::NotFound => 404,
            Kind::NotAllowed => 405,
        }
    }
}

/// How many requests make a round.
const ROUND: usize = 500;

/// Measures and writes the tables `handling` and `handling-headers`.
pub fn measure(setup: &Setup, results: &mut Results) -> Result<(), String> {
    let mut table = Table::new("handling", &["request", "routes", "ns, median (min)", "instructions"]);
    for (name, label, kind) in Kind::ALL {
        let sizes: &[usize] = if kind == Kind::Full { &[10, 1_000, 10_000] } else { &[10_000] };
        for &size in sizes {
            let case =
                Case { name, kind, routes: if kind == Kind::Pass { 1 } else { size }, headers: HEADERS.len() + 1 };
            let [time, instructions] = case.measure(setup)?;
            table.push(vec![label.to_owned(), group(case.routes), time, instructions]);
        }
    }
    results.keep(table);

    let mut table = Table::new("handling-headers", &["header fields", "ns, median (min)", "instructions"]);
    for headers in [4, 8, 16, 32, 64] {
        let case = Case { name: "pass", kind: Kind::Pass, routes: 1, headers };
        let [time, instructions] = case.measure(setup)?;
        table.push(vec![headers.to_string(), time, instructions]);
    }
    results.keep(table);
    Ok(())
}

/// What `postern-bench count handling <kind> <routes> <headers> <rounds>` does.
pub fn count(arguments: &[&str], setup: &Setup) -> Result<(), String> {
    let [kind, routes, headers, rounds] = arguments else { return Err("four arguments".to_owned()) };
    let (name, _, kind) = *Kind::ALL.iter().find(|(name, _, _)| name == kind).ok_or("no such kind")?;
    let number = |text: &str| text.parse::<usize>().map_err(|_| format!("{text} is no number"));
    let case = Case { name, kind, routes: number(routes)?, headers: number(headers)? };
    let mut round = case.prepare(setup)?;
    (0..number(rounds)?).for_each(|_| round());
    Ok(())
}

struct Case {
    name: &'static str,
    kind: Kind,
    routes: usize,
    headers: usize,
}

impl Case {
    fn measure(&self, setup: &Setup) -> Result<[String; 2], String> {
        self.compile(setup)?;
        let mut round = self.prepare(setup)?;
        round();
        let time = timing::sample(ROUND, setup.sample_milliseconds(), &mut *round);
        let mut instructions = "–".to_owned();
        if setup.has_valgrind {
            let arguments =
                ["handling", self.name, &self.routes.to_string(), &self.headers.to_string()].map(str::to_owned);
            instructions = number(counting::count(&arguments, ROUND, &setup.scratch)?.instructions);
        }
        Ok([format!("{} ({})", number(time.median()), number(time.min())), instructions])
    }

    /// Leaves the artefact in the scratch folder: under valgrind the compiler would take minutes.
    fn compile(&self, setup: &Setup) -> Result<(), String> {
        let origin = "http://127.0.0.1:9000";
        let configuration = match self.kind {
            Kind::Pass => configurations::pass(origin),
            Kind::Full | Kind::NotFound | Kind::NotAllowed => configurations::full(origin, self.routes),
            Kind::Respond => configurations::respond(self.routes),
        };
        let file = self.file(setup);
        std::fs::write(&file, configurations::artefact(&configuration)?)
            .map_err(|error| format!("{}: {error}", file.display()))
    }

    fn file(&self, setup: &Setup) -> std::path::PathBuf {
        setup.scratch.join(format!("handling-{}-{}.bin", self.name, self.routes))
    }

    /// A round of requests, each of which has been seen to be answered as it must.
    fn prepare(&self, setup: &Setup) -> Result<Box<dyn FnMut()>, String> {
        let file = self.file(setup);
        let artefact = std::fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let gateway = Gateway::load(Bytes::from(artefact), |_| None).map_err(|error| error.to_string())?;
        let requests = match self.kind {
            Kind::Pass => tables::requests(Shape::Plain, 1_000, ROUND),
            Kind::Full | Kind::Respond | Kind::NotAllowed => tables::requests(Shape::Plain, self.routes, ROUND),
            Kind::NotFound => tables::misses(Shape::Plain, self.routes, ROUND),
        };
        let method = if self.kind == Kind::NotAllowed { "DELETE" } else { "GET" };
        let block = block(self.headers);
        let platform = Still { now: 1_750_000_000_000, answer: answered };
        let answer = move |path: &str| {
            let incoming = Incoming {
                method: method.to_owned(),
                scheme: Scheme::Https,
                authority: "api.example.com".to_owned(),
                target: path.to_owned(),
                headers: Headers::from_block(block.clone()),
                body: Body::Empty,
                peer: Peer { address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), ..Peer::default() },
            };
            testing::run(gateway.handle(&platform, incoming)).response
        };
        for request in &requests {
            let response = answer(&request.path);
            let matched = response.headers.text("x-matched-route");
            let wanted = request.route.map(configurations::route_name);
            let named = matches!(self.kind, Kind::Full | Kind::Respond);
            if response.status != self.kind.status() || named && matched != wanted.as_deref() {
                return Err(format!("{}: {} by {matched:?}", request.path, response.status));
            }
        }
        Ok(Box::new(move || {
            for request in &requests {
                let response = answer(black_box(&request.path));
                response.headers.edits().for_each(|edit| {
                    black_box(edit);
                });
                black_box(response);
            }
        }))
    }
}

/// So many fields as an adapter packs them, a browser's first.
fn block(fields: usize) -> Vec<u8> {
    let usual = [("Host", "api.example.com")].into_iter().chain(HEADERS).take(fields);
    let mut text: String = usual.map(|(name, value)| format!("{}\0{value}\n", name.to_ascii_lowercase())).collect();
    for more in HEADERS.len() + 1..fields {
        text.push_str(&format!("x-field-{more:02}\x00value of another field\n"));
    }
    text.into_bytes()
}

/// What the upstream always answers.
fn answered(call: Call<()>) -> Response<()> {
    call.headers.edits().for_each(|edit| {
        black_box(edit);
    });
    black_box(&call);
    let block = "server\0nginx\ndate\0Mon, 17 Nov 2025 10:00:00 GMT\ncontent-type\0application/json\ncontent-length\x0081\n\
                 x-origin-target\0/\nx-origin-saw\0x\nx-origin-secret\x001\n";
    let headers = Headers::from_block(block.as_bytes().to_vec());
    Response { status: 200, headers, body: Body::Stream(()) }
}
