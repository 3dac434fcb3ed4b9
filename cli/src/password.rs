//! `postern password`: hashes passwords, as the configuration keeps them.

use std::io::{self, Write};

use gateway_core::policy::authenticate::basic::PasswordHash;

use crate::arguments::PasswordHash as Options;
use crate::outcome::{Failure, Outcome};
use crate::secrets;

/// Prints the hash of the password that comes through standard input.
pub fn hash(options: &Options) -> Result<Outcome, Failure> {
    let password = secrets::read_line("the password")?;
    if password.is_empty() {
        return Err(Failure::told("the password is empty"));
    }
    let mut salt = [0; 16];
    secrets::fill(&mut salt)?;
    writeln!(io::stdout(), "{}", PasswordHash::new(&password, &salt, options.iterations))?;
    Ok(Outcome::Fine)
}
