//! How the cost on Workers grows: with routes, with header fields, with bodies. Every point has the pass-through under
//! the same load beside it.

use crate::configurations;
use crate::lookup::group;
use crate::results::{Results, Table};
use crate::rounds::{self, Variant};
use crate::run::Setup;
use crate::serving::{Answer, BODIES, Load};
use crate::workers::{MANY, Worker, Workers, matched, passed, paths};

/// Measures and writes the tables `curve-routes`, `curve-headers` and `curve-bodies`.
pub fn measure(setup: &Setup, results: &mut Results) -> Result<(), String> {
    let workers = Workers::new(setup)?;
    if !workers.has_bundle() {
        return Err("build/worker is not there: run `make workers`".to_owned());
    }
    let pass = workers.script("pass")?;
    let gateway = workers.postern("postern-pass", &configurations::pass(&workers.origin()))?;
    routes(setup, results, &workers, &pass)?;
    headers(setup, results, &pass, &gateway)?;
    bodies(setup, results, &pass, &gateway)
}

fn routes(setup: &Setup, results: &mut Results, workers: &Workers, pass: &Worker<'_>) -> Result<(), String> {
    let sizes = [10, 100, 1_000, MANY, 10 * MANY];
    let mut gateways = Vec::new();
    for size in sizes {
        let gateway = workers.postern(&format!("postern-{size}"), &configurations::full(&workers.origin(), size))?;
        gateways.push((size, gateway));
    }
    let mut variants = controlled(pass);
    for (size, gateway) in &gateways {
        let check = |path: &str, answer: &Answer| matched(*size, path, answer);
        variants.push(gateway.variant(&group(*size), Load::get(paths(*size)), check));
    }
    let compared = rounds::compare(setup, &variants, setup.curve_rounds())?;
    let mut table = Table::new("curve-routes", &["routes", "CPU µs", "÷ pass-through"]);
    for (at, size) in sizes.into_iter().enumerate() {
        table.push(vec![group(size), compared.cost(at + 2), compared.show(at + 2, 0)]);
    }
    table.remarks.push(compared.remark());
    results.keep(table);
    Ok(())
}

fn headers(setup: &Setup, results: &mut Results, pass: &Worker<'_>, gateway: &Worker<'_>) -> Result<(), String> {
    let counts = [4, 8, 16, 32, 64];
    let loads = counts.map(|count| {
        let mut load = Load::get(paths(1_000));
        // `Host` is one, too.
        load.headers.truncate(count - 1);
        for more in load.headers.len() + 1..count {
            load.headers.push((format!("X-Field-{more:02}"), "value of another field".to_owned()));
        }
        load
    });
    pairs(
        setup,
        results,
        "curve-headers",
        "header fields",
        &counts.map(|count| count.to_string()),
        &loads,
        [pass, gateway],
    )
}

fn bodies(setup: &Setup, results: &mut Results, pass: &Worker<'_>, gateway: &Worker<'_>) -> Result<(), String> {
    let name = |size: usize| format!("{} KiB", size >> 10);
    let down = BODIES.map(|size| (format!("{} down", name(size)), Load::get(vec![format!("/bytes/{size}")])));
    let up = BODIES.map(|size| {
        let load = Load { method: "POST", body: "x".repeat(size), ..Load::get(vec!["/upload".to_owned()]) };
        (format!("{} up", name(size)), load)
    });
    let (labels, loads): (Vec<_>, Vec<_>) = down.into_iter().chain(up).unzip();
    pairs(setup, results, "curve-bodies", "body", &labels, &loads, [pass, gateway])
}

/// The pass-through and the gateway under each load.
fn pairs(
    setup: &Setup,
    results: &mut Results,
    id: &str,
    first: &str,
    labels: &[String],
    loads: &[Load],
    [pass, gateway]: [&Worker<'_>; 2],
) -> Result<(), String> {
    let mut variants = controlled(pass);
    for (label, load) in labels.iter().zip(loads) {
        let size = load.paths[0].strip_prefix("/bytes/").and_then(|size| size.parse::<usize>().ok());
        let check = move |path: &str, answer: &Answer| match size {
            Some(size) if answer.status == 200 && answer.body.len() == size => Ok(()),
            Some(_) => Err("not the file".to_owned()),
            None => passed(path, answer),
        };
        variants.push(pass.variant(&format!("pass-through, {label}"), load.clone(), check));
        variants.push(gateway.variant(&format!("Postern, {label}"), load.clone(), check));
    }
    let compared = rounds::compare(setup, &variants, setup.curve_rounds())?;
    let mut table = Table::new(id, &[first, "pass-through, CPU µs", "Postern, CPU µs", "ratio"]);
    for (at, label) in labels.iter().enumerate() {
        let [pass, gateway] = [at * 2 + 2, at * 2 + 3];
        table.push(vec![label.clone(), compared.cost(pass), compared.cost(gateway), compared.show(gateway, pass)]);
    }
    table.remarks.push(compared.remark());
    results.keep(table);
    Ok(())
}

fn controlled<'a>(pass: &'a Worker<'a>) -> Vec<Variant<'a>> {
    ["pass-through", "control"].map(|label| pass.variant(label, Load::get(paths(1_000)), passed)).into()
}
