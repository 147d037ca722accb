//! Where the web app may load pictures from.

use anyhow::{Context, ensure};

use crate::origin::Origin;

/// Any origin with TLS.
const ANY_HTTPS: &str = "https:";

/// Origins of pictures of users and rooms that the web app shows. Whoever serves a picture learns who looks at it, so
/// the operator names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageOrigins {
    any_https: bool,
    origins: Vec<Origin>,
}

impl ImageOrigins {
    pub(super) fn new(given: &[String]) -> anyhow::Result<Self> {
        let mut images = Self::default();
        for source in given.iter().map(|source| source.trim()).filter(|source| !source.is_empty()) {
            if source.eq_ignore_ascii_case(ANY_HTTPS) {
                images.any_https = true;
                continue;
            }
            let origin: Origin = source.parse().with_context(|| format!("image-origin {source:?}"))?;
            // It becomes part of a header, in which other characters have a meaning.
            let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
            ensure!(origin.host().chars().all(is_name), "image-origin {source:?}: has no plain host name");
            images.origins.push(origin);
        }
        Ok(images)
    }

    /// Them as sources of a content security policy: `https:`, and origins with their port.
    pub(crate) fn sources(&self) -> Vec<String> {
        let any = self.any_https.then(|| ANY_HTTPS.to_owned());
        any.into_iter().chain(self.origins.iter().map(ToString::to_string)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(given: &[&str]) -> anyhow::Result<Vec<String>> {
        let given: Vec<_> = given.iter().map(ToString::to_string).collect();
        Ok(ImageOrigins::new(&given)?.sources())
    }

    #[test]
    fn origins_of_images_are_sources_of_a_policy() {
        assert_eq!(sources(&[]).unwrap(), [""; 0]);
        let given = ["https://Pictures.example/", " http://127.0.0.1:8000 ", "", "HTTPS:"];
        let expected = ["https:", "https://pictures.example:443", "http://127.0.0.1:8000"];
        assert_eq!(sources(&given).unwrap(), expected);
    }

    #[test]
    fn what_would_change_the_rest_of_the_policy_is_refused() {
        for wrong in [
            "*",
            "http:",
            "data:",
            "https://*.example",
            "https://a.example/avatars",
            "https://a.example;script-src",
            "https://a,b.example",
            "https://'self'",
            "https://a.example b.example",
        ] {
            let error = format!("{:#}", sources(&[wrong]).expect_err(wrong));
            assert!(error.contains("image-origin"), "{error}");
        }
    }
}
