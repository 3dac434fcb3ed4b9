//! `postern check`: finds every problem in a configuration.

use std::io::{self, Write};

use gateway_core::config::{self, Disk, Options};

use crate::arguments::{Check, Lenience, ReportFormat};
use crate::configuration;
use crate::outcome::{Failure, Outcome};
use crate::report::{self, Count};
use crate::terminal::Colour;

/// Checks and shows; the problems are what was asked for, so they go to standard output.
pub fn run(options: &Check, colour: Colour) -> Result<Outcome, Failure> {
    let entry = configuration::find(&options.configuration)?;
    let compiled = config::compile_with(&entry, &Disk, &lenience(&options.lenience));
    let count = Count::of(&compiled.problems);

    let mut out = io::stdout().lock();
    match options.format {
        ReportFormat::Human => {
            let coloured = colour.on(&out);
            let text = report::human(&compiled.problems, &compiled.sources, coloured);
            out.write_all(text.as_bytes())?;
            writeln!(out, "{}", report::summary(&entry, count, coloured))?;
            if let Some(needs) = report::needs(&compiled) {
                writeln!(out, "{needs}")?;
            }
        }
        ReportFormat::Json => {
            let document = report::json(&compiled);
            writeln!(out, "{document:#}")?;
        }
        ReportFormat::Github => {
            let text = report::github(&compiled.problems, &compiled.sources);
            out.write_all(text.as_bytes())?;
        }
    }
    Ok(match count {
        Count { errors: 0, warnings: 0 } => Outcome::Fine,
        Count { errors: 0, .. } if !options.deny_warnings => Outcome::Fine,
        Count { .. } => Outcome::Problems,
    })
}

/// What the compiler is told to overlook.
pub fn lenience(lenience: &Lenience) -> Options {
    let everywhere = Options::default();
    Options {
        allow: lenience.allow.clone(),
        runtimes: lenience.platform.map_or(everywhere.runtimes, |platform| vec![platform.into()]),
    }
}
