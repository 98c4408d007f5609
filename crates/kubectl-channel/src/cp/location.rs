//! Where something is copied from or to.

use std::path::PathBuf;

/// A path on this machine, or in a pod.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Location {
    Local(PathBuf),
    Pod {
        namespace: Option<String>,
        /// Empty for an embedded pod.
        pod: String,
        path: String,
    },
}

impl Location {
    /// As kubectl reads it, but that what begins with `.` or `/` is local, whatever colons are in it. An embedded pod has
    /// no name: its paths begin with `:`.
    pub(super) fn parse(text: &str, embedded: bool) -> Result<Self, String> {
        let is_local = text.starts_with(['.', '/']);
        let Some((pod, path)) =
            text.split_once(':').filter(|(pod, _)| !is_local && (!embedded || pod.is_empty()))
        else {
            return match text {
                "" => Err("an empty path names nothing".into()),
                local => Ok(Self::Local(local.into())),
            };
        };
        let (namespace, pod) = match pod.split_once('/') {
            Some((namespace, pod)) => (Some(namespace.to_owned()), pod),
            None => (None, pod),
        };
        let is_name = |name: &str| !name.is_empty() && !name.contains('/');
        let names_a_pod = is_name(pod) && namespace.as_deref().is_none_or(is_name);
        if !embedded && !names_a_pod {
            return Err(format!("{text:?} is neither POD:PATH nor NAMESPACE/POD:PATH, nor a local path"));
        }
        if path.is_empty() {
            return Err(format!("{text:?} has no path behind the colon"));
        }
        Ok(Self::Pod { namespace, pod: pod.to_owned(), path: path.to_owned() })
    }
}

/// A path, cut into the directory and the name in it. Without a name, it is what is inside that is meant: `dir/.`, `/`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut<'a> {
    /// Never empty.
    pub(super) directory: &'a str,
    pub(super) name: Option<&'a str>,
}

impl<'a> Cut<'a> {
    pub(super) fn new(path: &'a str) -> Self {
        let bare = path.trim_end_matches('/');
        let (directory, name) = match bare.rsplit_once('/') {
            _ if bare.is_empty() => ("/", ""),
            Some(("", name)) => ("/", name),
            Some((directory, name)) => (directory, name),
            None => (".", bare),
        };
        match name {
            "" | "." => Self { directory, name: None },
            ".." => Self { directory: bare, name: None },
            name => Self { directory, name: Some(name) },
        }
    }
}

/// `name` in `directory`.
pub(super) fn join(directory: &str, name: &str) -> String {
    let slash = if directory.ends_with('/') { "" } else { "/" };
    format!("{directory}{slash}{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(namespace: Option<&str>, pod: &str, path: &str) -> Location {
        let (pod, path) = (pod.to_owned(), path.to_owned());
        Location::Pod { namespace: namespace.map(str::to_owned), pod, path }
    }

    #[test]
    fn locations() {
        let parse = |text| Location::parse(text, false).unwrap();
        assert_eq!(parse("web:/a:b"), pod(None, "web", "/a:b"));
        assert_eq!(parse("prod/web:a"), pod(Some("prod"), "web", "a"));
        assert_eq!(parse("file"), Location::Local("file".into()));
        assert_eq!(parse("./a:b"), Location::Local("./a:b".into()));
        assert_eq!(parse("/a:b"), Location::Local("/a:b".into()));
        for wrong in ["", ":a", "web:", "a/b/c:d", "ns/:d"] {
            assert!(Location::parse(wrong, false).is_err(), "{wrong}");
        }
    }

    #[test]
    fn embedded_locations() {
        let parse = |text| Location::parse(text, true).unwrap();
        assert_eq!(parse(":/a"), pod(None, "", "/a"));
        assert_eq!(parse("a:b"), Location::Local("a:b".into()));
        assert!(Location::parse(":", true).is_err());
    }

    #[test]
    fn cuts() {
        for (path, directory, name) in [
            ("/a/b", "/a", Some("b")),
            ("/a/b//", "/a", Some("b")),
            ("/a", "/", Some("a")),
            ("a", ".", Some("a")),
            ("a/.", "a", None),
            ("a/..", "a/..", None),
            ("..", "..", None),
            (".", ".", None),
            ("/", "/", None),
        ] {
            assert_eq!(Cut::new(path), Cut { directory, name }, "{path}");
        }
    }
}
