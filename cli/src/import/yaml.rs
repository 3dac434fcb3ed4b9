//! YAML as people write it: short things on one line, texts without quotes where they need none.

/// A value to be written.
#[derive(Debug, Clone, PartialEq)]
pub enum Yaml {
    /// A text.
    Text(String),
    /// A number or a truth value, as it is written.
    Plain(String),
    /// A list.
    List(Vec<Yaml>),
    /// Named values.
    Map(Map),
}

/// Named values in the order in which they are written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Map(Vec<(String, Yaml)>);

impl Map {
    /// The same and one more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Yaml>) -> Self {
        self.push(name, value);
        self
    }

    /// The same and one more, where there is one.
    #[must_use]
    pub fn with_some<T: Into<Yaml>>(self, name: &str, value: Option<T>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds one.
    pub fn push(&mut self, name: &str, value: impl Into<Yaml>) {
        self.0.push((name.to_owned(), value.into()));
    }

    /// Adds all of another.
    pub fn extend(&mut self, other: &Map) {
        self.0.extend(other.0.iter().cloned());
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is one of this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// The whole text, an empty line between the parts.
    pub fn write(&self) -> String {
        let parts = self.0.iter().map(|(name, value)| {
            let mut out = String::new();
            entry(name, value, 0, &mut out);
            out
        });
        parts.collect::<Vec<_>>().join("\n")
    }
}

/// What a line may have, without what stands before it.
const LINE: usize = 110;

fn entry(name: &str, value: &Yaml, indent: usize, out: &mut String) {
    let line = flow(value);
    // What the configuration consists of stands below each other, even where it is short.
    let is_short = indent > 0 && line.len() + indent <= LINE && !value.has_maps();
    out.push_str(&format!("{:indent$}{}:", "", scalar(name)));
    match value {
        Yaml::Map(map) if !map.is_empty() && !is_short => {
            out.push('\n');
            map.0.iter().for_each(|(name, value)| entry(name, value, indent + 2, out));
        }
        Yaml::List(items) if !items.is_empty() && !is_short => {
            out.push('\n');
            items.iter().for_each(|value| item(value, indent + 2, out));
        }
        _ => out.push_str(&format!(" {line}\n")),
    }
}

fn item(value: &Yaml, indent: usize, out: &mut String) {
    let line = flow(value);
    match value {
        // Policies are such: `- cors: …`.
        Yaml::Map(map)
            if map.0.len() == 1 || line.len() + indent > LINE || map.0.iter().any(|(_, value)| value.has_maps()) =>
        {
            let mut inner = String::new();
            map.0.iter().for_each(|(name, value)| entry(name, value, indent + 2, &mut inner));
            out.push_str(&format!("{:indent$}- {}", "", inner.trim_start()));
        }
        _ => out.push_str(&format!("{:indent$}- {line}\n", "")),
    }
}

fn flow(value: &Yaml) -> String {
    match value {
        Yaml::Text(text) => scalar(text),
        Yaml::Plain(text) => text.clone(),
        Yaml::List(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Yaml::Map(map) if map.is_empty() => "{}".to_owned(),
        Yaml::Map(map) => {
            let pairs = map.0.iter().map(|(name, value)| format!("{}: {}", scalar(name), flow(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A text without quotes where every reader takes it for the same text, else as JSON writes it, which YAML reads alike.
fn scalar(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b))
        && !matches!(text.to_ascii_lowercase().as_str(), "true" | "false" | "null");
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let is_measure = unit.len() < text.len() && matches!(unit, "ms" | "s" | "B" | "KB" | "MB");
    let is_words = text.contains(' ')
        && text.split(' ').all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric()));
    if is_plain || is_measure || is_words { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

impl Yaml {
    /// Whether it is a list of maps, which stand below each other.
    fn has_maps(&self) -> bool {
        matches!(self, Yaml::List(items) if items.iter().any(|item| matches!(item, Yaml::Map(_))))
    }
}

impl From<&str> for Yaml {
    fn from(text: &str) -> Self {
        Yaml::Text(text.to_owned())
    }
}

impl From<String> for Yaml {
    fn from(text: String) -> Self {
        Yaml::Text(text)
    }
}

impl From<u64> for Yaml {
    fn from(number: u64) -> Self {
        Yaml::Plain(number.to_string())
    }
}

impl From<bool> for Yaml {
    fn from(value: bool) -> Self {
        Yaml::Plain(value.to_string())
    }
}

impl From<Map> for Yaml {
    fn from(map: Map) -> Self {
        Yaml::Map(map)
    }
}

impl<T: Into<Yaml>> From<Vec<T>> for Yaml {
    fn from(items: Vec<T>) -> Self {
        Yaml::List(items.into_iter().map(Into::into).collect())
    }
}

/// One of them, or a list where there are several.
pub fn one_or_many<T: Into<Yaml>>(mut items: Vec<T>) -> Yaml {
    match items.len() {
        1 => items.remove(0).into(),
        _ => items.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_things_stand_on_a_line_and_texts_are_quoted_where_they_must() {
        let route = Map::default()
            .with("name", "a")
            .with("path", "/a/{b}")
            .with("headers", Map::default().with("x-a", Map::default().with("exact", "1")));
        let map = Map::default().with("via", "gateway").with("routes", vec![route]).with(
            "limits",
            Map::default()
                .with("rate", "100 per minute")
                .with("on", true)
                .with("no", "no")
                .with("list", vec!["GET", "yes"]),
        );
        assert_eq!(
            map.write(),
            "via: gateway\n\nroutes:\n  - { name: a, path: \"/a/{b}\", headers: { x-a: { exact: \"1\" } } }\n\nlimits:\n  rate: 100 per minute\n  on: true\n  no: no\n  list: [GET, yes]\n"
        );
    }
}
