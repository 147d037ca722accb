//! IRC logs, line by line, as bytes.

/// A parsed line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// `[HH:MM] <nick> text`, or `[HH:MM]  * nick action`, whose text is `* nick action`.
    Say { nick: &'a [u8], text: &'a [u8] },
    /// `=== nick [host] has joined #channel`.
    Join { nick: &'a [u8] },
    /// `=== nick [host] has left #channel`, or `has quit`.
    Leave { nick: &'a [u8] },
    /// `=== old is now known as new`.
    Rename { old: &'a [u8], new: &'a [u8] },
    /// Any other line that starts with `===`: topics, modes.
    Notice,
    /// An empty line.
    Empty,
    /// A message without a nick: `[HH:MM] <> text`.
    Nameless,
    /// Anything else.
    Unknown,
}

/// The lines of a file, without their ends (`\n` or `\r\n`); the last one may lack its own.
pub(super) fn lines(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    let complete = file.strip_suffix(b"\n").unwrap_or(file);
    let lines = (!file.is_empty()).then(|| complete.split(|byte| *byte == b'\n'));
    lines.into_iter().flatten().map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// Parses a line.
pub(super) fn parse(line: &[u8]) -> Line<'_> {
    if line.is_empty() {
        return Line::Empty;
    }
    if let Some(notice) = line.strip_prefix(b"===") {
        return parse_notice(notice.strip_prefix(b" ").unwrap_or(notice));
    }
    let Some(said) = after_time(line) else { return Line::Unknown };
    match said.first() {
        Some(b'<') => parse_message(&said[1..]),
        Some(b'*') => parse_action(said),
        _ => Line::Unknown,
    }
}

/// The text after `[HH:MM]` and spaces; seconds are optional.
fn after_time(line: &[u8]) -> Option<&[u8]> {
    let time = line.strip_prefix(b"[")?;
    let end = time.iter().position(|byte| *byte == b']')?;
    let is_time = end > 0 && time[..end].iter().all(|byte| byte.is_ascii_digit() || *byte == b':');
    is_time.then(|| trim_spaces(&time[end + 1..], true, false))
}

/// `nick> text`. A nick may contain `>` if it contains no space, or spaces if it contains
/// no `>`. Spaces around it are padding.
fn parse_message(said: &[u8]) -> Line<'_> {
    let ends = |at: &usize| said[*at] == b'>' && matches!(said.get(at + 1), None | Some(b' '));
    let Some(end) = (0..said.len()).find(ends) else { return Line::Unknown };
    let nick = &said[..end];
    if nick.contains(&b'>') && nick.contains(&b' ') {
        return Line::Unknown;
    }
    let nick = trim_spaces(nick, true, true);
    let text = said.get(end + 2..).unwrap_or_default();
    if nick.is_empty() { Line::Nameless } else { Line::Say { nick, text } }
}

/// `* nick action`.
fn parse_action(said: &[u8]) -> Line<'_> {
    let Some(action) = said.strip_prefix(b"* ") else { return Line::Unknown };
    let action = trim_spaces(action, true, false);
    let nick = action.split(|byte| *byte == b' ').next().unwrap_or_default();
    if nick.is_empty() { Line::Nameless } else { Line::Say { nick, text: said } }
}

fn parse_notice(notice: &[u8]) -> Line<'_> {
    if let Some((old, new)) = split_once(notice, b" is now known as ") {
        let (old, new) = (trim_spaces(old, true, true), trim_spaces(new, true, true));
        return if old.is_empty() || new.is_empty() { Line::Notice } else { Line::Rename { old, new } };
    }
    if let Some(nick) = who(notice, b" has joined") {
        return Line::Join { nick };
    }
    match who(notice, b" has left").or_else(|| who(notice, b" has quit")) {
        Some(nick) => Line::Leave { nick },
        None => Line::Notice,
    }
}

/// The nick in `nick [host] has joined ...`; without a host only a nick without spaces, or
/// any sentence would match.
fn who<'a>(notice: &'a [u8], did: &[u8]) -> Option<&'a [u8]> {
    let (who, _) = split_once(notice, did)?;
    let who = trim_spaces(who, true, true);
    let nick = match split_once(who, b" [") {
        Some((nick, _)) if who.ends_with(b"]") => trim_spaces(nick, true, true),
        _ if who.contains(&b' ') => return None,
        _ => who,
    };
    (!nick.is_empty()).then_some(nick)
}

fn split_once<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(separator.len()).position(|window| window == separator)?;
    Some((&bytes[..at], &bytes[at + separator.len()..]))
}

fn trim_spaces(mut bytes: &[u8], start: bool, end: bool) -> &[u8] {
    while let (true, Some(rest)) = (start, bytes.strip_prefix(b" ")) {
        bytes = rest;
    }
    while let (true, Some(rest)) = (end, bytes.strip_suffix(b" ")) {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: impl AsRef<[u8]>, expected: Line<'_>) {
        assert_eq!(parse(line.as_ref()), expected);
    }

    fn say<'a>(nick: &'a (impl AsRef<[u8]> + ?Sized), text: &'a (impl AsRef<[u8]> + ?Sized)) -> Line<'a> {
        Line::Say { nick: nick.as_ref(), text: text.as_ref() }
    }

    #[test]
    fn messages_and_actions() {
        check("[01:02] <scott_> *not", say("scott_", "*not"));
        check("[01:02:03] <a>  two spaces ", say("a", " two spaces "));
        check("[04:48]  * unperson sits and listens", say("unperson", "* unperson sits and listens"));
        check("[04:48]  * unperson", say("unperson", "* unperson"));
        check(b"[01:02] <\xff\xfe> \xff", say(b"\xff\xfe", b"\xff"));
    }

    #[test]
    fn any_nick() {
        check("[01:02] <zcat[1] > padded", say("zcat[1]", "padded"));
        check("[01:02] <a>b> c> d", say("a>b", "c> d"));
        check("[01:02] <<x>> y", say("<x>", "y"));
        check("[01:02] <John Doe> y", say("John Doe", "y"));
        check("[01:02] <nick>no space -> there", Line::Unknown);
        check("[01:02] <> text", Line::Nameless);
        check("[01:02] <  > text", Line::Nameless);
        check("[01:02]  *  ", Line::Nameless);
    }

    #[test]
    fn texts_may_be_empty() {
        check("[14:17] <Tex_Nick>", say("Tex_Nick", ""));
        check("[14:17] <Tex_Nick> ", say("Tex_Nick", ""));
        check("[14:17] <Tex_Nick>   ", say("Tex_Nick", "  "));
    }

    #[test]
    fn comings_and_goings() {
        check("=== cart [~samuel@200.150.139.248]  has joined #ubuntu", Line::Join { nick: b"cart" });
        check("=== [cc]smart [n=[cc] smar@gw.net]  has joined #ubuntu", Line::Join { nick: b"[cc]smart" });
        check("=== cart [~s@h]  has left #ubuntu []", Line::Leave { nick: b"cart" });
        check("=== cart [~s@h] has quit [Quit: bye [x]]", Line::Leave { nick: b"cart" });
        check("=== cart has joined #ubuntu", Line::Join { nick: b"cart" });
        check("=== r4ndy- is now known as r4ndy", Line::Rename { old: b"r4ndy-", new: b"r4ndy" });
        check("=== mode/#ubuntu [+o Seveas]  by ChanServ", Line::Notice);
        check("=== radix has the idea that nobody has joined", Line::Notice);
        check("===", Line::Notice);
    }

    #[test]
    fn other_lines_are_unknown() {
        check("", Line::Empty);
        check(" ", Line::Unknown);
        check("hello", Line::Unknown);
        check("[] <a> b", Line::Unknown);
        check("[01:02]", Line::Unknown);
        check("[01:02] -server- hello", Line::Unknown);
        check("[xx:yy] <a> b", Line::Unknown);
    }

    #[test]
    fn lines_end_in_either_way() {
        let split = |file: &'static [u8]| lines(file).collect::<Vec<_>>();
        assert_eq!(split(b"a\nb\r\n\nc"), [&b"a"[..], b"b", b"", b"c"]);
        assert_eq!(split(b"a\n"), [b"a"]);
        assert_eq!(split(b"\n"), [b""]);
        assert!(split(b"").is_empty());
    }
}
