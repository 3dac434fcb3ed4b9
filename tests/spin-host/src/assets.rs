//! The component's files: copied into a folder of their own, as Spin does, so that a change shows only to instances that
//! start after a reload, and never half of it.

use crate::error::Error;
use crate::manifest::Mapping;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder with copies of the component's files; removed with its last user.
#[derive(Debug)]
pub struct Assets(Option<PathBuf>);

impl Assets {
    /// Copies every mapping's source to its destination; `resolve` makes a manifest's path one of this machine.
    pub fn copy(mappings: &[Mapping], resolve: impl Fn(&Path) -> PathBuf) -> Result<Self, Error> {
        if mappings.is_empty() {
            return Ok(Self(None));
        }
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("postern-spin-host-{}-{number}", std::process::id()));
        // From here on a failure removes what has been copied.
        let assets = Self(Some(folder.clone()));
        for mapping in mappings {
            let source = resolve(&mapping.source);
            let wrong = |problem: String| Error::File { path: source.clone(), problem };
            let target = folder.join(inside(&mapping.destination).map_err(wrong)?);
            copy(&source, &target).map_err(|error| wrong(error.to_string()))?;
        }
        Ok(assets)
    }

    /// The folder, if the component has any files.
    pub fn folder(&self) -> Option<&Path> {
        self.0.as_deref()
    }
}

impl Drop for Assets {
    fn drop(&mut self) {
        if let Some(folder) = &self.0
            && let Err(error) = std::fs::remove_dir_all(folder)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            eprintln!("postern-spin-host: {} stays behind: {error}", folder.display());
        }
    }
}

fn inside(destination: &str) -> Result<&Path, String> {
    let path = Path::new(destination.strip_prefix('/').ok_or("the destination must be an absolute path")?);
    if path.components().any(|part| !matches!(part, Component::Normal(_))) {
        return Err(format!("the destination `{destination}` must not leave the component's folder"));
    }
    Ok(path)
}

fn copy(source: &Path, target: &Path) -> std::io::Result<()> {
    if source.is_dir() {
        std::fs::create_dir_all(target)?;
        for entry in std::fs::read_dir(source)? {
            let entry = entry?;
            copy(&entry.path(), &target.join(entry.file_name()))?;
        }
        return Ok(());
    }
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::copy(source, target).map(drop)
}

static COUNT: AtomicU32 = AtomicU32::new(0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_live_as_long_as_their_owner() {
        let mappings = [mapping("Cargo.toml", "/a/Cargo.toml"), mapping("src", "/src")];
        let assets = Assets::copy(&mappings, here).expect("copies");
        let folder = assets.folder().expect("a folder").to_path_buf();
        assert!(folder.join("a/Cargo.toml").is_file() && folder.join("src/main.rs").is_file());
        drop(assets);
        assert!(!folder.exists());
    }

    #[test]
    fn a_destination_stays_inside() {
        for destination in ["/../x", "x", "/a/../../x"] {
            assert!(Assets::copy(&[mapping("Cargo.toml", destination)], here).is_err(), "{destination}");
        }
        assert!(Assets::copy(&[mapping("missing", "/x")], here).is_err());
    }

    fn mapping(source: &str, destination: &str) -> Mapping {
        Mapping { source: source.into(), destination: destination.into() }
    }

    fn here(path: &Path) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
    }
}
