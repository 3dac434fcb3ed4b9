//! `postern init`: writes a commented configuration to start from.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::arguments::{Init, Language};
use crate::configuration;
use crate::outcome::{Failure, Outcome};

/// Writes it, but never over a file.
pub fn run(options: &Init) -> Result<Outcome, Failure> {
    let language = match (&options.format, &options.file) {
        (Some(language), _) => *language,
        (None, Some(file)) => language_of(file)?,
        (None, None) => Language::Yaml,
    };
    let (name, text) = match language {
        Language::Yaml => ("gateway.yaml", include_str!("init/gateway.yaml")),
        Language::Toml => ("gateway.toml", include_str!("init/gateway.toml")),
        Language::Json => ("gateway.json", include_str!("init/gateway.json")),
    };
    let file = options.file.clone().unwrap_or_else(|| PathBuf::from(name));
    configuration::create(&file, text)?;

    let shown = file.display();
    let mut out = io::stdout().lock();
    writeln!(out, "wrote {shown}\n\nNext:")?;
    writeln!(out, "  postern schema > gateway.schema.json     # editors complete and check with it")?;
    writeln!(out, "  postern check --config {shown}")?;
    writeln!(out, "  postern dev --config {shown}")?;
    Ok(Outcome::Fine)
}

fn language_of(file: &Path) -> Result<Language, Failure> {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("yaml" | "yml") => Ok(Language::Yaml),
        Some("toml") => Ok(Language::Toml),
        Some("json" | "jsonc") => Ok(Language::Json),
        Some(_) | None => Err(Failure::told(format!(
            "`{}` ends neither in .yaml nor .toml nor .json; say what it is to be with --format",
            file.display()
        ))),
    }
}
