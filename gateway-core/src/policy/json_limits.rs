//! Refuses JSON bodies that are larger in some way than their readers expect.

use super::Visit;
use crate::error::Error;
use crate::json;
use crate::platform::Platform;
use crate::validation::{self, content};
use serde::{Deserialize, Serialize};

/// What a JSON body may be at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JsonLimits {
    /// In it.
    pub limits: json::Limits,
    /// How many bytes are read.
    pub bytes: u64,
}

impl JsonLimits {
    /// Whether a request may go on. Bodies of another kind are not read.
    pub async fn check<P: Platform>(&self, visit: &mut Visit<'_, P>) -> Result<(), Error> {
        if visit.has_no_body() {
            return Ok(());
        }
        // Whoever takes a body without a type, or with two, may well take it for JSON.
        let lines = visit.headers.all("content-type").count();
        if lines == 1 && !visit.headers.text("content-type").is_some_and(looks_like_json) {
            return Ok(());
        }
        if !validation::is_plain(visit.headers) {
            return Err(Error::UnsupportedContentCoding);
        }
        let bytes = visit.read_body(self.bytes).await?;
        if bytes.is_empty() {
            return Ok(());
        }
        let Ok(text) = std::str::from_utf8(&bytes) else {
            return Err(Error::MalformedBody { reason: "The body is not UTF-8.".to_owned() });
        };
        json::read(text, &self.limits).map(drop).map_err(|refused| validation::refused(refused, &self.limits))
    }
}

/// Whether any part of the field names JSON: a reader behind us may take the part that suits it.
fn looks_like_json(line: &str) -> bool {
    let types = line.split(',').filter_map(|part| part.split(';').next());
    types.map(|media_type| media_type.trim().to_ascii_lowercase()).any(|media_type| content::is_json(&media_type))
}
