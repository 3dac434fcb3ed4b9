//! `postern push`, `postern status` and `postern rollback`: versions of the configuration that need no deployment, through the
//! admin interface of a gateway that runs.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use gateway_core::config::{self, Disk};
use gateway_core::rollout::{identify, is_identifier};
use serde_json::{Value, json};

use crate::admin::{self, Admin};
use crate::arguments::{ExplanationFormat, Push, Rollback, Status};
use crate::configuration;
use crate::outcome::{Failure, Outcome};
use crate::report::{self, Count};
use crate::terminal::{Colour, Paint};

/// Compiles a configuration, stores it, and has it serve.
pub fn push(options: &Push, colour: Colour) -> Result<Outcome, Failure> {
    let artefact = match &options.artefact {
        Some(file) => {
            fs::read(file).map_err(|error| Failure::told(format!("cannot read {}: {error}", file.display())))?
        }
        None => {
            let entry = configuration::find(&options.configuration)?;
            let compiled = config::compile(&entry, &Disk);
            let coloured = colour.on(&io::stderr());
            if !compiled.problems.is_empty() {
                eprint!("{}", report::human(&compiled.problems, &compiled.sources, coloured));
                eprintln!("{}", report::summary(&entry, Count::of(&compiled.problems), coloured));
            }
            // A configuration with errors has no artefact that could be pushed, whoever wants it.
            let Some(artefact) = compiled.artefact else { return Ok(Outcome::Problems) };
            artefact
        }
    };
    let artefact = Bytes::from(artefact);
    let version = identify(&artefact);
    let admin = Admin::new(&options.admin)?;
    let unchecked = options.force.then(|| "true".to_owned());
    let query = [("note", options.note.clone()), ("unchecked", unchecked)];
    admin.put(&format!("versions/{version}"), &query, "application/octet-stream", &artefact)?;
    let asked = options.percent.map_or_else(|| json!({}), |percent| json!({ "percent": percent }));
    let standing = admin.change("POST", &format!("versions/{version}/activate"), &asked)?;
    show(&standing, options.format, colour)?;
    if options.watch {
        return watch(&admin, &version, options.format, colour);
    }
    Ok(Outcome::Fine)
}

/// Shows how things stand.
pub fn status(options: &Status, colour: Colour) -> Result<Outcome, Failure> {
    let admin = Admin::new(&options.admin)?;
    let standing = admin.get("versions", &[])?;
    show(&standing, options.format, colour)?;
    match standing["trial"]["version"].as_str() {
        Some(version) if options.watch => watch(&admin, version, options.format, colour),
        Some(_) | None => Ok(Outcome::Fine),
    }
}

/// Takes back what is on trial, or goes back to what was in service before, or to a version that is named.
pub fn rollback(options: &Rollback, colour: Colour) -> Result<Outcome, Failure> {
    let admin = Admin::new(&options.admin)?;
    let reason = options.reason.as_deref().unwrap_or("by an operator");
    let standing = match options.to.as_deref() {
        None => admin.change("POST", "versions/rollback", &json!({ "reason": reason })),
        Some(version) if version == "bundled" || is_identifier(version) => {
            admin.change("POST", &format!("versions/{version}/activate"), &json!({ "percent": 100, "reason": reason }))
        }
        Some(other) => {
            return Err(Failure::told(format!("`{other}` is no version: `postern status` shows which there are")));
        }
    }?;
    show(&standing, options.format, colour)?;
    Ok(Outcome::Fine)
}

/// How often somebody who watches looks.
const PAUSE: Duration = Duration::from_secs(1);

/// Shows what happens, until the version serves everybody or nobody.
fn watch(admin: &Admin, version: &str, format: ExplanationFormat, colour: Colour) -> Result<Outcome, Failure> {
    let mut known = None;
    loop {
        let standing = match admin.get("versions", &[]) {
            Ok(standing) => standing,
            // Whoever watches for hours does not stop because of one answer.
            Err(admin::Refusal::Later(why)) => {
                eprintln!("{why}");
                thread::sleep(PAUSE);
                continue;
            }
            Err(refusal) => return Err(refusal.into()),
        };
        let events = standing["events"].as_array().map_or(&[][..], Vec::as_slice);
        let from = known.and_then(|known| events.iter().position(|event| event == &known).map(|at| at + 1));
        let mut out = io::stdout().lock();
        let paint = Paint::new(colour.on(&out));
        // What had happened before has been shown.
        for event in from.map_or(&[][..], |from| events.get(from..).unwrap_or_default()) {
            match format {
                ExplanationFormat::Human => writeln!(out, "{}", line(event, paint))?,
                ExplanationFormat::Json => writeln!(out, "{event}")?,
            }
        }
        known = events.last().cloned();
        if standing["trial"]["version"] != version {
            return Ok(if standing["stable"] == version { Outcome::Fine } else { Outcome::Problems });
        }
        drop(out);
        thread::sleep(PAUSE);
    }
}

fn show(standing: &Value, format: ExplanationFormat, colour: Colour) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match format {
        ExplanationFormat::Human => {
            let mut text = String::new();
            // Writing into a String cannot fail.
            let _ = write_human(&mut text, standing, Paint::new(colour.on(&out)));
            out.write_all(text.as_bytes())?;
        }
        ExplanationFormat::Json => writeln!(out, "{standing:#}")?,
    }
    Ok(())
}

fn write_human(out: &mut String, standing: &Value, paint: Paint) -> std::fmt::Result {
    let bundled = text(&standing["bundled"]);
    match standing["stable"].as_str() {
        Some(stable) => writeln!(out, "{} {}", paint.bold("In service"), paint.green(&admin::clean(stable)))?,
        None => writeln!(out, "{} {}, which was deployed", paint.bold("In service"), paint.green(&bundled))?,
    }
    let trial = &standing["trial"];
    if let Some(version) = trial["version"].as_str() {
        let percent = &trial["percent"];
        writeln!(out, "{}   {} for {percent} % of all callers", paint.bold("On trial"), admin::clean(version))?;
        for (name, of) in [("old", "in service"), ("new", "on trial")] {
            let counted = &trial["counted"][name];
            writeln!(out, "  {of:10} {} requests, {} errors", counted["requests"], counted["errors"])?;
        }
    }
    if let Some(refused) = standing["instance"]["refused"].as_object() {
        let (version, reason) = (text(&refused["version"]), text(&refused["reason"]));
        writeln!(out, "{} the instance that answered does not serve {version}: {reason}", paint.red("refused:"))?;
    }
    let versions = standing["versions"].as_array().map_or(&[][..], Vec::as_slice);
    if !versions.is_empty() {
        writeln!(out, "\n{}", paint.bold("Versions"))?;
        for kept in versions {
            let note = kept["note"].as_str().map(|note| format!("  {}", admin::clean(note))).unwrap_or_default();
            writeln!(out, "  {}  {}  {} bytes{note}", text(&kept["version"]), moment(&kept["since"]), kept["size"])?;
            if let Some(why) = kept["failed"].as_str() {
                writeln!(out, "    {} {}", paint.red("failed:"), admin::clean(why))?;
            }
        }
    }
    let events = standing["events"].as_array().map_or(&[][..], Vec::as_slice);
    if !events.is_empty() {
        writeln!(out, "\n{}", paint.bold("What has happened"))?;
        for event in events.iter().skip(events.len().saturating_sub(SHOWN)) {
            writeln!(out, "  {}", line(event, paint))?;
        }
    }
    Ok(())
}

/// How many events are shown.
const SHOWN: usize = 15;

/// One event.
fn line(event: &Value, paint: Paint) -> String {
    let what = text(&event["what"]).replace('_', " ");
    let padded = format!("{what:11}");
    let what = match what.as_str() {
        "rolled back" | "refused" => paint.red(&padded),
        "active" => paint.green(&padded),
        _ => padded,
    };
    let version = event["version"].as_str().map_or_else(|| "what was deployed".to_owned(), admin::clean);
    let detail = text(&event["detail"]);
    format!("{}  {what}  {version}  {detail}", moment(&event["at"])).trim_end().to_owned()
}

fn text(value: &Value) -> String {
    admin::clean(value.as_str().unwrap_or_default())
}

/// Milliseconds since the Unix epoch, as people read them.
fn moment(at: &Value) -> String {
    let at = at.as_i64().and_then(chrono::DateTime::from_timestamp_millis);
    at.map_or_else(String::new, |at| at.format("%Y-%m-%d %H:%M:%S").to_string())
}
