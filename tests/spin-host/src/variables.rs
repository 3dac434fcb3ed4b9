//! Variables: the application's, from the environment and the command line, and the component's, which are templates over them.

use crate::error::Error;
use crate::manifest::Variable;
use std::collections::BTreeMap;
use std::path::Path;

/// The variables that the component can ask for.
#[derive(Debug, Default)]
pub struct Variables {
    application: BTreeMap<String, Option<String>>,
    component: BTreeMap<String, String>,
}

/// Why a variable has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoValue {
    /// The name is not one that Spin allows.
    InvalidName(String),
    /// There is no such variable, or nobody gave it a value.
    Undefined(String),
}

impl Variables {
    /// Puts the values together. `given` outranks the environment's `SPIN_VARIABLE_NAME`, which outranks the default.
    pub fn new(
        declared: &BTreeMap<String, Variable>,
        component: &BTreeMap<String, String>,
        given: &BTreeMap<String, String>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        let wrong = |name: &str, problem: String| Error::Variable { name: name.to_owned(), problem };
        if let Some(name) = given.keys().find(|name| !declared.contains_key(*name)) {
            return Err(wrong(name, "has a value but is not declared in [variables]".into()));
        }
        let mut application = BTreeMap::new();
        for (name, variable) in declared {
            if !is_name(name) {
                return Err(wrong(name, NAMES.into()));
            }
            if variable.required == variable.default.is_some() {
                return Err(wrong(name, "must have either a default or `required = true`".into()));
            }
            let from_environment = || environment(&format!("SPIN_VARIABLE_{}", name.to_uppercase()));
            let value = given.get(name).cloned().or_else(from_environment).or_else(|| variable.default.clone());
            application.insert(name.clone(), value);
        }
        let variables = Self { application, component: component.clone() };
        for (name, template) in component {
            if !is_name(name) {
                return Err(wrong(name, NAMES.into()));
            }
            for reference in references(template) {
                let reference = reference.map_err(|problem| wrong(name, problem))?;
                if !variables.application.contains_key(reference) {
                    return Err(wrong(name, format!("refers to `{reference}`, which [variables] does not declare")));
                }
            }
        }
        Ok(variables)
    }

    /// The value of a variable of the component.
    pub fn value(&self, name: &str) -> Result<String, NoValue> {
        if !is_name(name) {
            return Err(NoValue::InvalidName(format!("`{name}`: {NAMES}")));
        }
        let undefined = |name: &str| NoValue::Undefined(name.to_owned());
        let template = self.component.get(name).ok_or_else(|| undefined(name))?;
        self.expand(template).map_err(|missing| undefined(&missing))
    }

    /// Puts values into a template, or names the variable that has none.
    pub fn expand(&self, template: &str) -> Result<String, String> {
        let mut text = String::with_capacity(template.len());
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("{{") {
            text.push_str(before);
            let (name, after) = after.split_once("}}").ok_or_else(|| template.to_owned())?;
            let value = self.application.get(name.trim()).and_then(Option::as_deref);
            text.push_str(value.ok_or_else(|| name.trim().to_owned())?);
            rest = after;
        }
        text.push_str(rest);
        Ok(text)
    }

    /// The application's variables that nobody has given a value.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        self.application.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name.as_str())
    }
}

/// Reads `--variable NAME=VALUE`, `NAME=@FILE` and `@FILE.toml`, as `spin up` takes them.
pub fn given(arguments: &[String]) -> Result<BTreeMap<String, String>, Error> {
    let mut values = BTreeMap::new();
    for argument in arguments {
        if let Some(file) = argument.strip_prefix('@') {
            let text = read(argument, file)?;
            let table: BTreeMap<String, String> = toml::from_str(&text)
                .map_err(|error| Error::Variable { name: argument.clone(), problem: error.to_string() })?;
            values.extend(table);
            continue;
        }
        let Some((name, value)) = argument.split_once('=') else {
            let problem = "is neither NAME=VALUE nor @FILE.toml".into();
            return Err(Error::Variable { name: argument.clone(), problem });
        };
        let value = match value.strip_prefix('@') {
            Some(file) => read(name, file)?,
            None => value.to_owned(),
        };
        values.insert(name.to_owned(), value);
    }
    Ok(values)
}

fn read(name: &str, file: &str) -> Result<String, Error> {
    std::fs::read_to_string(Path::new(file))
        .map_err(|error| Error::Variable { name: name.to_owned(), problem: format!("{file}: {error}") })
}

fn references(template: &str) -> impl Iterator<Item = Result<&str, String>> {
    template.split("{{").skip(1).map(move |part| match part.split_once("}}") {
        Some((name, _)) => Ok(name.trim()),
        None => Err(format!("`{template}` has no `}}}}` after `{{{{`")),
    })
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && !name.contains("__")
        && !name.ends_with('_')
}

const NAMES: &str = "a name is lower-case letters, digits and single underscores, and starts with a letter";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_outranks_the_environment_outranks_the_default() {
        let environment =
            |name: &str| (name == "SPIN_VARIABLE_B" || name == "SPIN_VARIABLE_C").then(|| "env".to_owned());
        let variables = make("c = \"given\"", environment);
        assert_eq!(variables.value("all"), Ok("default-env-given".into()));
    }

    #[test]
    fn a_required_variable_without_a_value_is_undefined_when_asked_for() {
        let variables = make("", |_| None);
        assert_eq!(variables.value("all"), Err(NoValue::Undefined("c".into())));
        assert_eq!(variables.missing().collect::<Vec<_>>(), ["c"]);
    }

    #[test]
    fn names_are_checked() {
        let variables = make("", |_| None);
        assert!(matches!(variables.value("All"), Err(NoValue::InvalidName(_))));
        assert!(matches!(variables.value("other"), Err(NoValue::Undefined(_))));
        for (name, fine) in [("a", true), ("a_b1", true), ("_a", false), ("a__b", false), ("a_", false), ("1a", false)]
        {
            assert_eq!(is_name(name), fine, "{name}");
        }
    }

    fn make(values: &str, environment: impl Fn(&str) -> Option<String>) -> Variables {
        let declared =
            toml::from_str("a = { default = \"default\" }\nb = { default = \"x\" }\nc = { required = true }");
        let component = BTreeMap::from([("all".to_owned(), "{{ a }}-{{b}}-{{ c }}".to_owned())]);
        let values = toml::from_str(values).expect("values");
        Variables::new(&declared.expect("variables"), &component, &values, environment).expect("variables")
    }
}
