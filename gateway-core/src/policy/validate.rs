//! Refuses requests whose parameters or body are not as their schemas say.

use super::Visit;
use crate::error::Error;
use crate::platform::Platform;
use crate::validation::{Options, Rules};
use serde::{Deserialize, Serialize};

/// What requests must be like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Validate {
    /// Their parts.
    pub rules: Rules,
    /// How they are checked.
    pub options: Options,
}

impl Validate {
    /// Whether a request may go on. The body is read only where it has a schema, and goes on as it came.
    pub async fn check<P: Platform>(&self, visit: &mut Visit<'_, P>) -> Result<(), Error> {
        let parameters = visit.parameters;
        let path = |name: &str| parameters.get(name).map(str::to_owned);
        self.rules.check(&self.options, visit, path).await
    }
}
