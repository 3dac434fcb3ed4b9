//! `postern compile`: turns a configuration into the file that the gateway loads.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use gateway_core::config::{self, Disk};

use crate::arguments::Compile;
use crate::check::lenience;
use crate::configuration;
use crate::outcome::{Failure, Outcome};
use crate::report::{self, Count};
use crate::terminal::Colour;

/// Compiles and writes; problems are beside the point, so they go to standard error.
pub fn run(options: &Compile, colour: Colour) -> Result<Outcome, Failure> {
    let entry = configuration::find(&options.configuration)?;
    let compiled = config::compile_with(&entry, &Disk, &lenience(&options.lenience));

    let mut err = io::stderr().lock();
    let coloured = colour.on(&err);
    let text = report::human(&compiled.problems, &compiled.sources, coloured);
    err.write_all(text.as_bytes())?;
    let Some(artefact) = &compiled.artefact else {
        writeln!(err, "{}", report::summary(&entry, Count::of(&compiled.problems), coloured))?;
        return Ok(Outcome::Problems);
    };
    replace(&options.out, artefact)?;
    if let Some(needs) = report::needs(&compiled) {
        writeln!(err, "{needs}")?;
    }
    Ok(Outcome::Fine)
}

/// Writes a file so that nobody ever reads half of it.
pub fn replace(file: &Path, content: &[u8]) -> Result<(), Failure> {
    let told = |error: io::Error| Failure::told(format!("cannot write `{}`: {error}", file.display()));
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(told)?;
    }
    let mut scratch = file.as_os_str().to_owned();
    scratch.push(format!(".{}.new", std::process::id()));
    let scratch = Path::new(&scratch);
    fs::write(scratch, content).map_err(told)?;
    fs::rename(scratch, file).map_err(|error| {
        // What cannot be moved is of no use; that it cannot be removed either would say nothing new.
        let _ = fs::remove_file(scratch);
        told(error)
    })
}
