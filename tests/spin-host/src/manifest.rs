//! What a `spin.toml` says, as far as this host understands it. What it does not understand is an error, not silence.

use crate::error::Error;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// An application of one HTTP trigger and its component.
#[derive(Debug)]
pub struct Manifest {
    /// The trigger's route.
    pub route: Route,
    /// The component.
    pub component: Component,
    /// The application's variables.
    pub variables: BTreeMap<String, Variable>,
    /// The folder that paths in the manifest start from.
    pub folder: PathBuf,
}

/// `[component.NAME]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// The component's Wasm file.
    pub source: PathBuf,
    /// Files that the component can read.
    #[serde(default)]
    pub files: Vec<Mapping>,
    /// Where the component may send requests, as patterns that may hold `{{ variables }}`.
    #[serde(default)]
    pub allowed_outbound_hosts: Vec<String>,
    /// What the component sees as variables: templates over the application's.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// The labels of the stores that the component may open.
    #[serde(default)]
    pub key_value_stores: Vec<String>,
    /// The component's environment.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// For people.
    #[serde(default, rename = "description")]
    _description: Option<String>,
    /// For `spin build`.
    #[serde(default, rename = "build")]
    _build: Option<toml::Table>,
    /// For other tools.
    #[serde(default, rename = "tool")]
    _tool: Option<toml::Table>,
}

/// A file or folder of this machine, and the path under which the component sees it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// The path on this machine, relative to the manifest.
    pub source: PathBuf,
    /// The absolute path in the component.
    pub destination: String,
}

/// `[variables]`: a variable of the application.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// The value when nobody gives one.
    #[serde(default)]
    pub default: Option<String>,
    /// Whether somebody has to give a value.
    #[serde(default)]
    pub required: bool,
    /// Whether the value must not be shown. This host shows none.
    #[serde(default, rename = "secret")]
    _secret: bool,
    /// For people.
    #[serde(default, rename = "description")]
    _description: Option<String>,
}

/// The paths that a trigger takes: one, or everything below one (`/shop/...`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    base: String,
    wildcard: bool,
}

impl Manifest {
    /// Reads a manifest; a folder stands for the `spin.toml` in it.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let path = if path.is_dir() { path.join("spin.toml") } else { path.to_path_buf() };
        let wrong = |problem: String| Error::Manifest { path: path.clone(), problem };
        let text = std::fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
        let mut folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        if folder.as_os_str().is_empty() {
            folder.push(".");
        }
        Self::parse(&text, folder).map_err(|error| match error {
            Error::Manifest { problem, .. } => wrong(problem),
            other => other,
        })
    }

    fn parse(text: &str, folder: PathBuf) -> Result<Self, Error> {
        let wrong = |problem: String| Error::Manifest { path: PathBuf::new(), problem };
        let document: Document = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if document.spin_manifest_version != 2 {
            return Err(wrong(format!("spin_manifest_version is {}, not 2", document.spin_manifest_version)));
        }
        let [trigger] = <[HttpTrigger; 1]>::try_from(document.trigger.http)
            .map_err(|triggers| Error::Unsupported(format!("{} HTTP triggers, only exactly one", triggers.len())))?;
        let mut components = document.component;
        let component = components.remove(&trigger.component).ok_or_else(|| {
            wrong(format!("the trigger names the component `{}`, which there is not", trigger.component))
        })?;
        Ok(Self { route: Route::parse(&trigger.route)?, component, variables: document.variables, folder })
    }

    /// A path of the manifest as one of this machine.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }
}

impl Route {
    fn parse(text: &str) -> Result<Self, Error> {
        if text.split('/').any(|segment| segment.starts_with(':')) {
            return Err(Error::Unsupported(format!("named wildcards in a route (`{text}`)")));
        }
        Ok(match text.strip_suffix("/...") {
            Some(base) => Self { base: base.to_owned(), wildcard: true },
            None => Self { base: text.to_owned(), wildcard: false },
        })
    }

    /// Whether the path is on this route, and what of it the wildcard stands for.
    pub fn find<'p>(&self, path: &'p str) -> Option<&'p str> {
        let rest = path.strip_prefix(self.base.as_str())?;
        let whole_segments = rest.is_empty() || rest.starts_with('/');
        (whole_segments && (self.wildcard || rest.is_empty())).then_some(rest)
    }

    /// The route as written.
    pub fn pattern(&self) -> String {
        if self.wildcard { format!("{}/...", self.base) } else { self.base.clone() }
    }

    /// The route without the wildcard.
    pub fn base(&self) -> &str {
        &self.base
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    spin_manifest_version: u32,
    #[serde(rename = "application")]
    _application: toml::Table,
    #[serde(default)]
    variables: BTreeMap<String, Variable>,
    trigger: Triggers,
    component: BTreeMap<String, Component>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Triggers {
    http: Vec<HttpTrigger>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpTrigger {
    route: String,
    component: String,
    #[serde(default, rename = "id")]
    _id: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALLEST: &str = r#"
        spin_manifest_version = 2
        [application]
        name = "a"
        [[trigger.http]]
        route = "/..."
        component = "c"
        [component.c]
        source = "c.wasm"
    "#;

    #[test]
    fn the_smallest_manifest_is_read() {
        let manifest = Manifest::parse(SMALLEST, "/app".into()).expect("a manifest");
        assert_eq!(manifest.route.pattern(), "/...");
        assert_eq!(manifest.resolve(&manifest.component.source), Path::new("/app/c.wasm"));
    }

    #[test]
    fn what_the_host_does_not_know_is_refused() {
        let unknown = format!("{SMALLEST}\n ai_models = [\"x\"]");
        let problem = Manifest::parse(&unknown, "/".into()).expect_err("an unknown key").to_string();
        assert!(problem.contains("ai_models"), "{problem}");
        let two =
            SMALLEST.replace("[component.c]", "[[trigger.http]]\nroute = \"/b\"\ncomponent = \"c\"\n[component.c]");
        assert!(matches!(Manifest::parse(&two, "/".into()), Err(Error::Unsupported(_))));
    }

    #[test]
    fn routes_take_whole_segments() {
        for (route, path, rest) in [
            ("/...", "/", Some("/")),
            ("/...", "/a/b", Some("/a/b")),
            ("/shop/...", "/shop", Some("")),
            ("/shop/...", "/shop/a", Some("/a")),
            ("/shop/...", "/shopping", None),
            ("/shop", "/shop", Some("")),
            ("/shop", "/shop/a", None),
        ] {
            assert_eq!(Route::parse(route).expect("a route").find(path), rest, "{route} {path}");
        }
    }
}
