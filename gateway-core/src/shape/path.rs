//! Where something is in a document: `user.name`, `items.0`, `items.*.price`.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Steps from the whole to a part, or to several.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Path(Vec<Step>);

/// One step down.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// The member of this name, or the item of this number.
    Name(String),
    /// `*`: every member, or every item.
    Every,
}

impl Path {
    /// Reads steps with dots between. `\` takes the meaning from what comes after it: `a\.b` is one name. `None` where a
    /// step is empty.
    pub fn parse(text: &str) -> Option<Self> {
        let (mut steps, mut name, mut plain) = (Vec::new(), String::new(), true);
        let mut end = |name: &mut String, plain: &mut bool| {
            let step = match std::mem::take(name) {
                empty if empty.is_empty() => return None,
                star if star == "*" && *plain => Step::Every,
                name => Step::Name(name),
            };
            *plain = true;
            steps.push(step);
            Some(())
        };
        let mut characters = text.chars();
        while let Some(c) = characters.next() {
            match c {
                '.' => end(&mut name, &mut plain)?,
                '\\' => {
                    name.push(characters.next()?);
                    plain = false;
                }
                c => name.push(c),
            }
        }
        end(&mut name, &mut plain)?;
        Some(Self(steps))
    }

    /// The steps.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first step, where that is a name: what a document is called.
    pub fn root(&self) -> &str {
        match self.0.first() {
            Some(Step::Name(name)) => name,
            Some(Step::Every) | None => "",
        }
    }

    /// Whether it may lead to several places.
    pub fn is_wild(&self) -> bool {
        self.0.contains(&Step::Every)
    }

    /// Whether what is in this place is in the other one too.
    pub fn is_within(&self, other: &Path) -> bool {
        self.0.starts_with(&other.0)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(".")?;
            }
            match step {
                Step::Every => f.write_str("*")?,
                Step::Name(name) if name == "*" => f.write_str("\\*")?,
                Step::Name(name) => f.write_str(&name.replace('\\', "\\\\").replace('.', "\\."))?,
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for Path {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is not a path"))
    }
}

impl From<Path> for String {
    fn from(path: Path) -> String {
        path.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_and_written() {
        let name = |name: &str| Step::Name(name.to_owned());
        for (text, steps) in [
            ("a", vec![name("a")]),
            ("a.0.*", vec![name("a"), name("0"), Step::Every]),
            (r"a\.b.\*.c\\d", vec![name("a.b"), name("*"), name(r"c\d")]),
            ("*a", vec![name("*a")]),
        ] {
            let path = Path::parse(text).expect("a path");
            assert_eq!(path.steps(), steps, "{text}");
            assert_eq!(Path::parse(&path.to_string()), Some(path), "{text}");
        }
        for text in ["", ".", "a.", ".a", "a..b", "a\\"] {
            assert_eq!(Path::parse(text), None, "{text}");
        }
    }
}
