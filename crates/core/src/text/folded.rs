//! Names as they are searched.

use super::{Name, Title};

/// A name without differences of case and spacing: two users who are searched alike have equal ones. Empty if nothing
/// of the name is left.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FoldedName(String);

impl FoldedName {
    /// Folds a name, or the beginning of one.
    pub fn of(name: &str) -> Self {
        let words: Vec<&str> = name.split_whitespace().collect();
        let folded = words.join(" ").chars().flat_map(folded).collect::<String>();
        Self(folded.chars().filter(|c| !c.is_control()).collect())
    }

    /// The folded text: no control characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a user of this name is found by `prefix`.
    pub fn starts_with(&self, prefix: &Self) -> bool {
        self.0.starts_with(&prefix.0)
    }
}

/// A character without difference of case, by itself: `str::to_lowercase` treats the end of a word differently, and a
/// prefix has another one.
///
/// Lower case alone keeps letters apart that are one in upper case: ς and σ, ß and ss, ſ and s, µ and μ. So this goes through
/// upper case, which makes ı an i as well; İ is made one, too, for names that are typed on other keyboards.
fn folded(c: char) -> impl Iterator<Item = char> {
    let c = if c == 'İ' { 'i' } else { c };
    c.to_lowercase().flat_map(char::to_uppercase).flat_map(char::to_lowercase)
}

impl Title {
    /// The form in which it is searched; empty if there is none.
    pub fn folded(&self) -> FoldedName {
        FoldedName::of(self.as_str())
    }
}

impl Name {
    /// The form in which it is searched.
    pub fn folded(&self) -> FoldedName {
        FoldedName::of(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_spacing_make_no_difference() {
        for (name, folded) in [
            ("Ann  Lee", "ann lee"),
            (" ÄNNE ", "änne"),
            ("ΣΊΣΥΦΟΣ", "σίσυφοσ"),
            ("a\u{1}b\u{0}", "ab"),
            ("Σίσυφος", "σίσυφοσ"),
            ("Straße", "strasse"),
            ("GROẞ", "gross"),
            ("ſüß µ ϐ ﬁ", "süss μ β fi"),
            ("İSTANBUL IŞIK ışık", "istanbul işik işik"),
            ("ᾳ ᾼ", "αι αι"),
            ("\u{390}", "\u{3b9}\u{308}\u{301}"),
            ("Ꭰ ꭰ", "ꭰ ꭰ"),
            ("李 雷", "李 雷"),
        ] {
            assert_eq!(FoldedName::of(name).as_str(), folded);
        }
        assert!(FoldedName::of(" \u{1}").is_empty());
        assert!(FoldedName::of("ann lee").starts_with(&FoldedName::of("ANN L")));
        assert!(!FoldedName::of("ann lee").starts_with(&FoldedName::of("lee")));
        assert!(FoldedName::of("ΣΊΣΥΦΟΣ Α").starts_with(&FoldedName::of("Σίσυφος")));
        assert!(FoldedName::of("Σίσυφος").starts_with(&FoldedName::of("ΣΊΣΥΦΟΣ")));
    }

    /// Stored names are folded again when they are read.
    #[test]
    fn every_character_folds_once_and_like_its_twins() {
        let has_case =
            |c: &char| !c.to_lowercase().eq(std::iter::once(*c)) || !c.to_uppercase().eq(std::iter::once(*c));
        for c in (' '..=char::MAX).filter(has_case) {
            let folded = FoldedName::of(&c.to_string());
            assert_eq!(FoldedName::of(folded.as_str()), folded, "{c}");
            for twin in [c.to_lowercase().to_string(), c.to_uppercase().to_string()] {
                // The lower case of this one has a dot of its own.
                if c != 'İ' {
                    assert_eq!(FoldedName::of(&twin), folded, "{c} and {twin}");
                }
            }
            assert!(folded.as_str().len() <= 3 * c.len_utf8(), "{c}: keys are short");
        }
    }
}
