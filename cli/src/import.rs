//! `postern import`: writes a configuration from another gateway's.
//!
//! What cannot be carried over is told, each with what to write instead: nothing is lost in silence, and nothing is guessed. What
//! comes out is checked as any configuration is.

mod kong;
mod yaml;

use std::io::{self, Write};
use std::path::Path;

use gateway_core::config::{self, Disk, Text};
use serde_json::Value;

use self::yaml::Map;
use crate::arguments::{Import, Origin};
use crate::configuration;
use crate::outcome::{Failure, Outcome};
use crate::report::{self, Count};
use crate::terminal::{Colour, Paint};

/// What came of another gateway's configuration.
struct Imported {
    configuration: Map,
    left: Vec<Left>,
}

/// Something that is not in the new configuration.
struct Left {
    /// Where it stood: `route orders: plugin jwt`.
    place: String,
    /// What to do about it.
    instead: String,
}

/// Translates, writes, checks and tells. Exit code 1 where something was left out, or what was written has errors.
pub fn run(options: &Import, colour: Colour) -> Result<Outcome, Failure> {
    let coloured = colour.on(&io::stderr());
    let document = read(&options.file, coloured)?;
    let Imported { configuration, left } = match options.origin {
        Origin::Kong => kong::translate(&document).map_err(Failure::Told)?,
    };
    let text = format!("{HEAD}{}", configuration.write());
    let to_stdout = options.out == Path::new("-");
    if to_stdout {
        write!(io::stdout(), "{text}")?;
    } else {
        configuration::create(&options.out, &text)?;
        writeln!(io::stdout(), "wrote {}", options.out.display())?;
    }
    // The format follows from the name.
    let name = if to_stdout { Path::new("gateway.yaml") } else { options.out.as_path() };
    let compiled = config::compile(name, &Text(text));
    let count = Count::of(&compiled.problems);
    eprint!("{}", report::human(&compiled.problems, &compiled.sources, coloured));
    let paint = Paint::new(coloured);
    for Left { place, instead } in &left {
        eprintln!("{} {place}\n      {instead}", paint.yellow("left out:"));
    }
    eprintln!("{}", report::summary(name, count, coloured));
    Ok(if left.is_empty() && count.errors == 0 { Outcome::Fine } else { Outcome::Problems })
}

const HEAD: &str = "\
# Written by `postern import`; from here on it is yours. docs/moving.md says what is different:
# prefixes are whole segments (/a does not take /ab), the more special route wins wherever it stands, and upstreams see their own Host.
# yaml-language-server: $schema=gateway.schema.json

";

fn read(file: &Path, coloured: bool) -> Result<Value, Failure> {
    config::read(file, &Disk).map_err(|(problems, sources)| {
        eprint!("{}", report::human(&problems, &sources, coloured));
        Failure::told(format!("`{}` cannot be read", file.display()))
    })
}
