//! Names as they are searched.

use super::Name;

/// A name without differences of case and spacing: two users who are searched alike have equal ones. Empty if nothing
/// of the name is left.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FoldedName(String);

impl FoldedName {
    /// Folds a name, or the beginning of one.
    pub fn of(name: &str) -> Self {
        let words: Vec<&str> = name.split_whitespace().collect();
        // By character: `str::to_lowercase` treats the end of a word differently, and a prefix has another one.
        let lower = words.join(" ").chars().flat_map(char::to_lowercase).collect::<String>();
        Self(lower.chars().filter(|c| !c.is_control()).collect())
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
            ("李 雷", "李 雷"),
        ] {
            assert_eq!(FoldedName::of(name).as_str(), folded);
        }
        assert!(FoldedName::of(" \u{1}").is_empty());
        assert!(FoldedName::of("ann lee").starts_with(&FoldedName::of("ANN L")));
        assert!(!FoldedName::of("ann lee").starts_with(&FoldedName::of("lee")));
    }
}
