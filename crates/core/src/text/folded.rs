//! Names as they are searched.

use icu_normalizer::ComposingNormalizerBorrowed;

use super::rules::is_invisible;
use super::{Name, Title};
use crate::limits::FOLDED_GROWTH;

/// Canonical composition.
const NFC: ComposingNormalizerBorrowed<'static> = ComposingNormalizerBorrowed::new_nfc();

/// Compatibility decomposition and composition: ﬁ is fi, and the wide Ａ is A.
const NFKC: ComposingNormalizerBorrowed<'static> = ComposingNormalizerBorrowed::new_nfkc();

/// A name without differences of case, spacing and encoding, and without what is invisible: two users who are searched
/// alike have equal ones. Empty if nothing of the name is left.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FoldedName(String);

impl FoldedName {
    /// Folds a name, or the beginning of one.
    pub fn of(name: &str) -> Self {
        let seen: String = name.chars().filter(|c| c.is_whitespace() || !is_invisible(*c)).collect();
        let folded: String = NFC.normalize(&seen).chars().map(folded).collect();
        let words: Vec<&str> = folded.split_whitespace().collect();
        Self(NFC.normalize(&words.join(" ")).into_owned())
    }

    /// A folded name in a key, perhaps of a version that folded otherwise: that key is not where the name is found now.
    pub fn stored(folded: &str) -> Self {
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

/// A character without difference of case and encoding, by itself: `str::to_lowercase` treats the end of a word
/// differently, and a prefix has another one.
fn folded(c: char) -> String {
    if c.is_ascii() {
        return c.to_ascii_lowercase().into();
    }
    let longest = FOLDED_GROWTH * c.len_utf8();
    let compatible = NFKC.normalize(c.encode_utf8(&mut [0; 4])).chars().flat_map(lower).collect::<String>();
    // Some stand for whole sentences, and remain themselves.
    let folded = if compatible.len() > longest { lower(c).collect() } else { compatible };
    folded.chars().filter(|c| c.is_whitespace() || !is_invisible(*c)).collect()
}

/// Lower case alone keeps letters apart that are one in upper case: ς and σ, ß and ss, ſ and s, µ and μ. So this goes through
/// upper case, which makes ı an i as well; İ is made one, too, for names that are typed on other keyboards.
fn lower(c: char) -> impl Iterator<Item = char> {
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
            ("\u{390}", "\u{390}"),
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

    #[test]
    fn what_looks_alike_is_alike() {
        let check =
            |name: &str, like: &str| assert_eq!(FoldedName::of(name), FoldedName::of(like), "{name:?}");
        check("A\u{308}nne", "\u{e4}nne");
        check("I\u{307}stanbul", "İstanbul");
        check("q\u{323}\u{307}", "q\u{307}\u{323}");
        check("\u{1112}\u{1161}\u{11ab}", "\u{d55c}");
        check("an\u{200b}n", "ann");
        check("\u{feff}\u{200b}\u{e0041}Ann", "ann");
        check("A\u{200b}\u{308}nne", "änne");
        check("a\u{200b} \u{200b} b", "a b");
        check("Ａｎｎ", "ann");
        check("ｶﾞ", "ガ");
        check("❤\u{fe0f}", "❤");
        check("Ann \u{200b}", "ann");
        assert!(FoldedName::of("\u{200b} \u{3164}").is_empty());
        assert_ne!(FoldedName::of("änne"), FoldedName::of("anne"));
        assert_eq!(FoldedName::stored("a\u{308}\u{1}").as_str(), "a\u{308}");
    }

    /// Names are folded again in the tokens of pages.
    #[test]
    fn every_character_folds_once_and_like_its_twins() {
        for c in ' '..=char::MAX {
            let folded = FoldedName::of(c.encode_utf8(&mut [0; 4]));
            assert_eq!(FoldedName::of(folded.as_str()), folded, "{c}");
            assert!(folded.as_str().len() <= FOLDED_GROWTH * c.len_utf8(), "{c}: keys are short");
            if c.to_lowercase().eq([c]) && c.to_uppercase().eq([c]) {
                continue;
            }
            for twin in [c.to_lowercase().to_string(), c.to_uppercase().to_string()] {
                // The lower case of this one has a dot of its own.
                if c != 'İ' {
                    assert_eq!(FoldedName::of(&twin), folded, "{c} and {twin}");
                }
            }
        }
    }
}
