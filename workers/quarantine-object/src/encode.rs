//! Keys where S3, CloudFront and a shell read them.

use std::collections::BTreeSet;

use incident::ObjectKey;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

/// What RFC 3986 leaves unreserved, and the slash, stay as they are.
const SOURCE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// What RFC 1738 calls unsafe, and the question mark: CloudFront does not find a path of which more
/// is encoded.
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}')
    .add(b'~');

/// `CopySource`, which S3 decodes: a bare `?`, `+` or `%` of the key would name another object.
pub(crate) fn copy_source(bucket: &str, key: &str, version: Option<&str>) -> String {
    let key = utf8_percent_encode(key, SOURCE);
    match version {
        Some(version) => {
            let version = utf8_percent_encode(version, SOURCE);
            format!("{bucket}/{key}?versionId={version}")
        }
        None => format!("{bucket}/{key}"),
    }
}

/// One set of tags as the header that creates an object takes it.
pub(crate) fn tagging<'a>(tags: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
    let tags = tags.map(|(key, value)| format!("{}={}", encode(key), encode(value)));
    tags.collect::<Vec<_>>().join("&")
}

/// A word that a shell takes as it is.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._/:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    if !word.contains(char::is_control) {
        return format!("'{}'", word.replace('\'', r"'\''"));
    }
    let escaped = word.chars().map(|c| match c {
        '\\' | '\'' => format!(r"\{c}"),
        c if c.is_control() => format!(r"\u{:04x}", u32::from(c)),
        c => c.to_string(),
    });
    format!("$'{}'", escaped.collect::<String>())
}

/// The paths that CloudFront must forget.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    each: BTreeSet<String>,
    bytes: usize,
    all: bool,
}

impl Paths {
    /// Beyond either, everything is forgotten: an answer has its limits, and so has CloudFront.
    const MOST: usize = 300;
    const MOST_BYTES: usize = 32 * 1024;

    /// The object's own path; that of its folder, where it is the folder's index; and everything,
    /// where it is the site's, which a site of one page shows under every path.
    pub(crate) fn add(&mut self, key: &ObjectKey) {
        const INDEX: &str = "index.html";
        if key.as_str() == INDEX {
            self.all = true;
        }
        let path = format!("/{}", utf8_percent_encode(key.as_str(), PATH));
        if let Some(folder) = path.strip_suffix(INDEX).filter(|path| path.ends_with('/')) {
            self.put(folder.to_owned());
        }
        self.put(path);
    }

    fn put(&mut self, path: String) {
        if self.all || self.each.contains(&path) {
            return;
        }
        self.bytes += path.len();
        self.each.insert(path);
        self.all = self.each.len() > Self::MOST || self.bytes > Self::MOST_BYTES;
    }

    /// The paths, each once.
    pub(crate) fn list(self) -> Vec<String> {
        if self.all {
            vec!["/*".to_owned()]
        } else {
            self.each.into_iter().collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(keys: &[&str]) -> Vec<String> {
        let mut paths = Paths::default();
        for key in keys {
            paths.add(&key.parse().unwrap());
        }
        paths.list()
    }

    #[test]
    fn a_copy_source_is_encoded_whole() {
        insta::assert_snapshot!(
            copy_source("site", "/a b+c%20/é?versionId=1", Some("v.1_-~/+")),
            @"site//a%20b%2Bc%2520/%C3%A9%3FversionId%3D1?versionId=v.1_-~/%2B"
        );
        assert_eq!(copy_source("site", "a/b", None), "site/a/b");
    }

    #[test]
    fn only_what_is_unsafe_is_encoded_for_the_cache() {
        insta::assert_snapshot!(
            paths(&["/a b+c%20/é?v=1", "img/(x)@2,~.png"]).join("\n"),
            @r"
        //a%20b+c%2520/%C3%A9%3Fv=1
        /img/(x)@2,%7E.png
        "
        );
    }

    #[test]
    fn an_index_is_cached_as_its_folder_too_and_the_sites_own_under_any_path() {
        assert_eq!(paths(&["docs/index.html"]), ["/docs/", "/docs/index.html"]);
        assert_eq!(paths(&["myindex.html"]), ["/myindex.html"]);
        assert_eq!(paths(&["a", "index.html", "b"]), ["/*"]);
    }

    #[test]
    fn too_many_paths_or_too_long_ones_are_everything() {
        let many: Vec<_> = (0..301).map(|n| n.to_string()).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert_eq!(paths(&many[..300]).len(), 300);
        assert_eq!(paths(&[&many[..300], &["0"]].concat()).len(), 300);
        assert_eq!(paths(&many), ["/*"]);
        let long: Vec<_> = (0..11)
            .map(|n| format!("{}{n:02}", "é".repeat(500)))
            .collect();
        let long: Vec<_> = long.iter().map(String::as_str).collect();
        assert_eq!(paths(&long[..10]).len(), 10);
        assert_eq!(paths(&long), ["/*"]);
    }

    #[test]
    fn tags_are_one_query() {
        let tags = [("a b", "c&d"), ("é", "")];
        assert_eq!(tagging(tags.into_iter()), "a%20b=c%26d&%C3%A9=");
    }

    #[test]
    fn a_shell_reads_the_key_as_it_is() {
        for (word, expected) in [
            ("img/a.png", "img/a.png"),
            ("a b", "'a b'"),
            ("it's $(x)", r"'it'\''s $(x)'"),
            ("", "''"),
            ("a\n'\\", r"$'a\u000a\'\\'"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}
