//! Rules for characters in a text.

/// Why a text is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// It is empty or holds only white space.
    #[error("must not be blank")]
    Blank,
    /// It has more than this many bytes.
    #[error("must be at most {0} bytes")]
    TooLong(usize),
    /// It contains white space or a control character where none is allowed.
    #[error("must not hold white space or control characters")]
    Character,
    /// Nothing in it is visible.
    #[error("must hold a visible character")]
    Invisible,
    /// It contains a character that displays or logs interpret instead of showing it.
    #[error("must not hold the character U+{:04X}", *.0 as u32)]
    Forbidden(char),
    /// It is `.` or `..`, which clients collapse in a path.
    #[error("must not be . or ..")]
    Dots,
    /// It is not a web address.
    #[error("must begin with http:// or https:// and hold the characters of an address alone")]
    NotWeb,
}

pub(super) fn bounded(text: &str, max: usize) -> Result<(), TextError> {
    if text.len() > max { Err(TextError::TooLong(max)) } else { Ok(()) }
}

pub(super) fn not_blank(text: &str) -> Result<(), TextError> {
    if text.trim().is_empty() { Err(TextError::Blank) } else { Ok(()) }
}

/// Refuses everything but `http` and `https` URLs, since clients load them. ASCII only, without
/// characters that would end an HTML attribute.
pub(super) fn is_web_address(url: &str) -> Result<(), TextError> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let is_good = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '<' | '>' | '\\' | '`');
    match rest {
        Some(rest) if !rest.is_empty() && rest.chars().all(is_good) => Ok(()),
        _ => Err(TextError::NotWeb),
    }
}

/// Refuses the first forbidden character.
fn refuse(text: &str, is_forbidden: impl Fn(char) -> bool) -> Result<(), TextError> {
    match text.chars().find(|c| is_forbidden(*c)) {
        Some(c) => Err(TextError::Forbidden(c)),
        None => Ok(()),
    }
}

/// Refuses line separators, and control characters other than those in `allowed`.
pub(super) fn no_controls(text: &str, allowed: &[char]) -> Result<(), TextError> {
    let is_control = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    refuse(text, |c| is_control(c) && !allowed.contains(&c))
}

/// Refuses overrides of the text direction. For text on its own lines.
pub(super) fn no_overrides(text: &str) -> Result<(), TextError> {
    refuse(text, |c| matches!(c, '\u{202d}' | '\u{202e}'))
}

/// Refuses all embeddings, overrides and isolates of direction: a name is inserted into sentences, where
/// their effect would continue. Marks (U+200E, U+200F, U+061C) have no such effect.
pub(super) fn no_directions(text: &str) -> Result<(), TextError> {
    refuse(text, |c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
}

/// Refuses characters that only make a text differ from one that looks alike: fillers, which no line of text needs; tags
/// outside of flags; and invisible ones at the beginning or the end.
pub(super) fn no_fillers(text: &str) -> Result<(), TextError> {
    let mut before = None;
    for c in text.chars() {
        let is_tag = matches!(c, '\u{e0000}'..='\u{e007f}');
        let is_of_flag =
            is_tag && before.is_some_and(|before| matches!(before, '🏴' | '\u{e0020}'..='\u{e007e}'));
        let is_filler = matches!(c, '\u{2060}'..='\u{2064}' | '\u{206a}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}');
        if is_filler || (is_tag && !is_of_flag) {
            return Err(TextError::Forbidden(c));
        }
        before = Some(c);
    }
    let words = text.trim();
    // Marks of direction have an effect there.
    let is_mark = |c: &char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{61c}');
    let first = words.chars().next().filter(|c| is_invisible(*c) && !is_mark(c));
    let last = words.chars().next_back().filter(|c| matches!(c, '\u{200b}' | '\u{ad}'));
    first.or(last).map_or(Ok(()), |c| Err(TextError::Forbidden(c)))
}

pub(super) fn visible(text: &str) -> Result<(), TextError> {
    if text.chars().all(is_invisible) { Err(TextError::Invisible) } else { Ok(()) }
}

/// White space, control characters, Unicode's Default_Ignorable_Code_Point, and the blank Braille
/// pattern.
pub(super) fn is_invisible(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}
