//! Makes foreign text safe to print, and formats numbers with their nouns.

use std::borrow::Cow;
use std::fmt::Write;

/// Returns the text on one line, with control characters escaped.
///
/// Labels, file names and text from other machines may contain line breaks, terminal control sequences, and marks
/// that reorder the text beside them. None of these reaches the terminal.
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, is_control)
}

/// Like [`printable`], but keeps line breaks and tabs.
pub(crate) fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_control(c) && !matches!(c, '\n' | '\t'))
}

fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escaped(text: &str, is_control: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_control) {
        return text.into();
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_control(c) {
            let _ = write!(safe, "{}", c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe.into()
}

/// Returns a number with its noun: "1 image", "2 images", "3 classes".
pub fn count(n: usize, noun: &str) -> String {
    let plural = match noun {
        _ if n == 1 => "",
        _ if noun.ends_with(['s', 'x']) || noun.ends_with("ch") || noun.ends_with("sh") => "es",
        _ => "s",
    };
    format!("{n} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_controls_the_terminal() {
        assert_eq!(printable("Zürich – 猫 🐈"), "Zürich – 猫 🐈");
        assert!(matches!(printable("cat"), Cow::Borrowed(_)));
        assert_eq!(printable("a\x1b[31mb\nc\rd\u{7f}\u{9b}2J"), "a\\u{1b}[31mb\\nc\\rd\\u{7f}\\u{9b}2J");
        assert_eq!(printable("gpj.\u{202e}exe"), "gpj.\\u{202e}exe");
        assert_eq!(printable_lines("a\tb\nc\x07"), "a\tb\nc\\u{7}");
    }

    #[test]
    fn nouns_agree_with_their_number() {
        let of = |noun: &str| [0, 1, 2].map(|n| count(n, noun)).join(", ");
        assert_eq!(of("image"), "0 images, 1 image, 2 images");
        assert_eq!(of("class"), "0 classes, 1 class, 2 classes");
        assert_eq!(of("batch"), "0 batches, 1 batch, 2 batches");
    }
}
