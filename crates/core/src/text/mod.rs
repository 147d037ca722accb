//! Free text as validated values.
//!
//! `parse_new` validates new input. `parse` validates what any version has ever accepted: stored
//! text, or text accepted by another node, stays readable when the rules for new text become
//! stricter. `stored` validates nothing: a row that a later version wrote under looser rules is
//! not damage.

mod emoji;
mod folded;
mod rules;
use std::sync::Arc;

pub use self::emoji::Emoji;
pub use self::folded::FoldedName;
pub use self::rules::TextError;
use self::rules::{
    bounded, is_web_address, no_controls, no_directions, no_fillers, no_overrides, not_blank, visible,
};
use crate::limits::{MAX_IMAGE_URL_BYTES, MAX_NAME_BYTES, MAX_TEXT_BYTES, MAX_TOPIC_BYTES};

macro_rules! text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// A text as stored next to the log, possibly by a version with other rules.
            pub fn stored(text: &str) -> Self {
                Self(text.into())
            }
        }
    };
}

text! {
    /// The text of a message: not blank, at most [`MAX_TEXT_BYTES`].
    Text
}
text! {
    /// A user's display name: not blank, at most [`MAX_NAME_BYTES`].
    Name
}
text! {
    /// A room's title: at most [`MAX_NAME_BYTES`]; may be empty.
    Title
}
text! {
    /// An image URL: `http` or `https`, at most [`MAX_IMAGE_URL_BYTES`]; may be empty.
    ImageUrl
}
text! {
    /// A room's topic: at most [`MAX_TOPIC_BYTES`]; may be empty.
    Topic
}

text! {
    /// Why someone was banned or muted: at most [`MAX_TOPIC_BYTES`]; may be empty.
    Reason
}

impl Text {
    /// Validates the text of a new message: visible, no control characters except line breaks and
    /// tabs, no direction overrides.
    pub fn parse_new(text: &str) -> Result<Self, TextError> {
        let parsed = Self::parse(text)?;
        no_controls(text, &['\n', '\r', '\t'])?;
        no_overrides(text)?;
        visible(text)?;
        Ok(parsed)
    }

    /// Validates the text of a message that was accepted before.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        bounded(text, MAX_TEXT_BYTES)?;
        not_blank(text)?;
        Ok(Self(text.into()))
    }

    /// The text of a deleted message, or of a message without one.
    pub fn empty() -> Self {
        Self("".into())
    }
}

impl Name {
    /// Validates a new display name: visible, a single line, no characters that affect the text after it, and none that
    /// only make it differ from one that looks alike.
    pub fn parse_new(name: &str) -> Result<Self, TextError> {
        let parsed = Self::parse(name)?;
        no_controls(name, &[])?;
        no_directions(name)?;
        visible(name)?;
        no_fillers(name)?;
        Ok(parsed)
    }

    /// Validates a display name that was accepted before.
    pub fn parse(name: &str) -> Result<Self, TextError> {
        bounded(name, MAX_NAME_BYTES)?;
        not_blank(name)?;
        Ok(Self(name.into()))
    }
}

impl Title {
    /// Validates a new title: empty, or like a name.
    pub fn parse_new(title: &str) -> Result<Self, TextError> {
        let parsed = Self::parse(title)?;
        no_controls(title, &[])?;
        no_directions(title)?;
        if !title.is_empty() {
            visible(title)?;
        }
        no_fillers(title)?;
        Ok(parsed)
    }

    /// Validates a title that was accepted before.
    pub fn parse(title: &str) -> Result<Self, TextError> {
        bounded(title, MAX_NAME_BYTES)?;
        Ok(Self(title.into()))
    }
}

impl Reason {
    /// Checks a new reason: as a topic.
    pub fn parse_new(reason: &str) -> Result<Self, TextError> {
        Topic::parse_new(reason).map(|topic| Self(topic.0))
    }

    /// Checks a reason that was accepted before.
    pub fn parse(reason: &str) -> Result<Self, TextError> {
        Topic::parse(reason).map(|topic| Self(topic.0))
    }
}

impl Default for Reason {
    fn default() -> Self {
        Self(Topic::default().0)
    }
}

impl Topic {
    /// Validates a new topic: empty, or visible; line feeds and tabs are allowed as in a text.
    pub fn parse_new(topic: &str) -> Result<Self, TextError> {
        let parsed = Self::parse(topic)?;
        no_controls(topic, &['\n', '\t'])?;
        no_directions(topic)?;
        if !topic.is_empty() {
            visible(topic)?;
        }
        Ok(parsed)
    }

    /// Validates a topic that was accepted before.
    pub fn parse(topic: &str) -> Result<Self, TextError> {
        bounded(topic, MAX_TOPIC_BYTES)?;
        Ok(Self(topic.into()))
    }
}

impl ImageUrl {
    /// Validates a new URL: empty, or a web address without white space.
    pub fn parse_new(url: &str) -> Result<Self, TextError> {
        bounded(url, MAX_IMAGE_URL_BYTES)?;
        if !url.is_empty() {
            is_web_address(url)?;
        }
        Ok(Self(url.into()))
    }
}

impl Default for ImageUrl {
    fn default() -> Self {
        Self("".into())
    }
}

impl Default for Title {
    fn default() -> Self {
        Self("".into())
    }
}

impl Default for Topic {
    fn default() -> Self {
        Self("".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parsed = Result<(), TextError>;

    fn text(text: &str) -> Parsed {
        Text::parse_new(text).map(|_| ())
    }

    fn name(name: &str) -> Parsed {
        Name::parse_new(name).map(|_| ())
    }

    fn title(title: &str) -> Parsed {
        Title::parse_new(title).map(|_| ())
    }

    fn topic(topic: &str) -> Parsed {
        Topic::parse_new(topic).map(|_| ())
    }

    fn emoji(emoji: &str) -> Parsed {
        Emoji::parse_new(emoji).map(|_| ())
    }

    const ALL: [fn(&str) -> Parsed; 5] = [text, name, title, topic, emoji];

    #[test]
    fn control_characters_are_refused() {
        for c in ['\0', '\u{1}', '\u{7}', '\u{1b}', '\u{7f}', '\u{85}', '\u{9b}'] {
            for (index, parse) in ALL.iter().enumerate() {
                assert!(parse(&format!("a{c}b")).is_err(), "{c:?} {index}");
            }
            assert_eq!(text(&format!("a{c}")), Err(TextError::Forbidden(c)));
        }
        for c in ['\r', '\n', '\t', '\u{2028}', '\u{2029}'] {
            assert_eq!(name(&format!("a{c}b")), Err(TextError::Forbidden(c)));
            assert_eq!(title(&format!("a{c}b")), Err(TextError::Forbidden(c)));
        }
        assert_eq!(text("fn main() {\r\n\t}\n"), Ok(()));
        assert_eq!(topic("first\n\tsecond"), Ok(()));
        assert_eq!(topic("first\r\nsecond"), Err(TextError::Forbidden('\r')));
        assert_eq!(TextError::Forbidden('\r').to_string(), "must not hold the character U+000D");
    }

    #[test]
    fn directions_do_not_reach_beyond_a_text() {
        for c in ['\u{202d}', '\u{202e}'] {
            for parse in ALL {
                assert_eq!(parse(&format!("a{c}b")), Err(TextError::Forbidden(c)));
            }
        }
        for c in ['\u{202a}', '\u{202b}', '\u{202c}', '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}'] {
            for parse in [name, title, topic, emoji] {
                assert_eq!(parse(&format!("a{c}b")), Err(TextError::Forbidden(c)));
            }
            assert_eq!(text(&format!("a{c}b")), Ok(()), "a message is on lines of its own");
        }
        for good in ["שלום", "\u{200f}مرحبا", "می\u{200c}خواهم", "a\u{200e}"] {
            for parse in [text, name, title, topic] {
                assert_eq!(parse(good), Ok(()), "{good:?}");
            }
        }
    }

    #[test]
    fn pictures_have_addresses_of_the_web() {
        for good in ["", "https://example.org/a.png?size=2#x", "http://10.0.0.1:8080/a"] {
            assert!(ImageUrl::parse_new(good).is_ok(), "{good}");
        }
        let bad =
            ["javascript:alert(1)", "data:image/png;base64,AA", "//example.org/a", "https://", "ftp://a/b"];
        for bad in
            bad.into_iter().chain(["https://a b", "https://a/\u{202e}", "https://a/\"x\"", " https://a"])
        {
            assert_eq!(ImageUrl::parse_new(bad), Err(TextError::NotWeb), "{bad}");
        }
        let long = format!("https://a/{}", "x".repeat(MAX_IMAGE_URL_BYTES));
        assert_eq!(ImageUrl::parse_new(&long), Err(TextError::TooLong(MAX_IMAGE_URL_BYTES)));
    }

    #[test]
    fn something_must_be_visible() {
        let invisible = [
            "\u{200b}",
            "\u{feff}",
            "\u{3164}",
            "\u{ad}",
            "\u{2060}",
            "\u{2800}",
            "\u{115f}",
            "\u{ffa0}",
            "\u{fe0f}",
            "\u{e0100}",
            "\u{180e}",
            "\u{200d}\u{200d}",
            "\u{e0041}",
        ];
        for invisible in invisible {
            for parse in ALL {
                assert_eq!(parse(invisible), Err(TextError::Invisible), "{invisible:?}");
            }
            for parse in [text, name, title, topic] {
                assert_eq!(parse(&format!(" {invisible} ")), Err(TextError::Invisible), "{invisible:?}");
            }
        }
        for parse in [title, topic] {
            assert_eq!(parse(""), Ok(()));
            assert_eq!(parse("  "), Err(TextError::Invisible));
        }
        for blank in ["", " ", "\u{a0}\u{3000}"] {
            assert_eq!(text(blank), Err(TextError::Blank));
            assert_eq!(name(blank), Err(TextError::Blank));
        }
        for emoji in
            ["👍", "👍\u{fe0f}", "👩\u{200d}💻", "🏴\u{e0067}\u{e0062}\u{e007f}", "❤\u{fe0f}", "+1", "a"]
        {
            for parse in ALL {
                assert_eq!(parse(emoji), Ok(()), "{emoji:?}");
            }
        }
    }

    #[test]
    fn names_do_not_differ_by_what_nobody_sees() {
        for parse in [name, title] {
            for c in [
                '\u{200b}',
                '\u{feff}',
                '\u{e0041}',
                '\u{2060}',
                '\u{3164}',
                '\u{fe0f}',
                '\u{200d}',
                '\u{ad}',
            ] {
                for begun in [format!("{c}Garden"), format!(" {c}Garden")] {
                    assert_eq!(parse(&begun), Err(TextError::Forbidden(c)), "{begun:?}");
                }
            }
            for c in ['\u{feff}', '\u{2060}', '\u{ffa0}', '\u{e0041}', '\u{e0001}'] {
                assert_eq!(parse(&format!("Gar{c}den")), Err(TextError::Forbidden(c)), "{c:?}");
                assert_eq!(parse(&format!("Garden{c}")), Err(TextError::Forbidden(c)), "{c:?}");
            }
            assert_eq!(parse("Garden\u{200b} "), Err(TextError::Forbidden('\u{200b}')));
            assert_eq!(parse("🏴 \u{e0067}\u{e007f}"), Err(TextError::Forbidden('\u{e0067}')), "of no flag");
            // Khmer has this between words, and flags of regions are made of tags.
            for good in ["ភាសា\u{200b}ខ្មែរ", "🏴\u{e0067}\u{e0062}\u{e007f} club", " Garden ", "❤\u{fe0f}"]
            {
                assert_eq!(parse(good), Ok(()), "{good:?}");
            }
        }
        assert_eq!(title(""), Ok(()));
        assert_eq!(text("\u{feff}Garden"), Ok(()), "a message is no name");
    }

    #[test]
    fn reactions_can_be_part_of_a_path() {
        assert_eq!(emoji("."), Err(TextError::Dots));
        assert_eq!(emoji(".."), Err(TextError::Dots));
        assert_eq!(emoji("..."), Ok(()));
    }

    #[test]
    fn previously_accepted_texts_stay_readable() {
        assert!(Text::parse("a\0\u{202e}b").is_ok());
        assert!(Text::parse("\u{200b}").is_ok());
        assert!(Name::parse("a\r\n\0").is_ok());
        assert!(Title::parse("\u{feff}\n").is_ok());
        assert!(Topic::parse("\0").is_ok());
        assert!(Emoji::parse("..").is_ok() && Emoji::parse("\u{200b}").is_ok());
    }
}
