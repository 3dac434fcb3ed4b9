//! Secrets on their way in and out of the tool: drawn from the system, read without being shown.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::outcome::Failure;

/// Random bytes from the system.
pub fn fill(bytes: &mut [u8]) -> Result<(), Failure> {
    getrandom::fill(bytes).map_err(|error| Failure::told(format!("the system gives no random bytes: {error}")))
}

/// So many letters and digits, each as likely as any other: 5.95 bits each. No sign is among them that a shell, an address
/// or a double click would break at.
pub fn letters(count: usize) -> Result<String, Failure> {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut text = String::with_capacity(count);
    while text.len() < count {
        let mut bytes = [0; 64];
        fill(&mut bytes)?;
        // 248 is the last multiple of 62: what lies above would make some letters likelier than others.
        let drawn = bytes.iter().filter(|byte| **byte < 248).map(|byte| char::from(ALPHABET[usize::from(byte % 62)]));
        text.extend(drawn.take(count - text.len()));
    }
    Ok(text)
}

/// One line of standard input, without its end. At a terminal it is asked for, and not shown while it is typed.
pub fn read_line(what: &str) -> Result<String, Failure> {
    let input = io::stdin();
    let hidden = if input.is_terminal() {
        let _ = write!(io::stderr(), "{what}: ");
        Hidden::hide()
    } else {
        None
    };
    let mut line = String::new();
    let read = input.lock().read_line(&mut line);
    if hidden.is_some() {
        let _ = writeln!(io::stderr());
    }
    drop(hidden);
    match read {
        Err(error) => Err(Failure::told(format!("cannot read {what} from standard input: {error}"))),
        Ok(0) => Err(Failure::told(format!("{what} is expected on standard input, and there is none"))),
        Ok(_) => Ok(line.trim_end_matches(['\r', '\n']).to_owned()),
    }
}

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Hidden {
    before: rustix::termios::Termios,
}

impl Hidden {
    fn hide() -> Option<Self> {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let before = tcgetattr(io::stdin()).ok()?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Now, &silent).ok()?;
        Some(Self { before })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // Nothing better is left to do where this fails.
        let _ = rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_drawn_evenly() {
        let text = letters(62 * 200).expect("the system gives random bytes");
        assert_eq!(text.len(), 62 * 200);
        let mut counts = [0u32; 128];
        text.bytes().for_each(|b| counts[usize::from(b)] += 1);
        // Eight standard deviations: it fails once in more runs than there will be.
        assert!(counts.iter().all(|&count| count == 0 || (88..312).contains(&count)), "{counts:?}");
        assert_ne!(letters(33).ok(), letters(33).ok());
    }
}
