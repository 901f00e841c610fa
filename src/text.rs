//! Makes texts from others, and numbers, safe and readable for people. Knows nothing of their origin.

/// Whether a character is safe to show: not a control character, a line break, or a character that changes the
/// direction of the text around it (Unicode, UAX #9).
pub fn is_plain(letter: char) -> bool {
    let turns = matches!(
        letter,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    !turns && !letter.is_control()
}

/// At most `most` characters of a text, in one line; `\u{fffd}` replaces each that is not plain.
pub fn shown(text: &str, most: usize) -> String {
    text.chars().map(|c| if is_plain(c) { c } else { '\u{fffd}' }).take(most).collect()
}

/// A text of many lines, with characters that are not plain escaped as in JSON and TOML: `\u001b`.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_plain(letter) || matches!(letter, '\n' | '\t') {
            escaped.push(letter);
        } else {
            escaped.push_str(&format!("\\u{:04x}", u32::from(letter)));
        }
    }
    escaped
}

/// A number with commas as thousands separators.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_text_is_one_line_of_plain_characters() {
        let text = "a\u{1b}[2J\n\u{202e}\u{9b}\u{2028}\u{61c}ö";
        assert_eq!(shown(text, 99), "a\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}ö");
        assert_eq!(shown(text, 2), "a\u{fffd}");
    }

    #[test]
    fn escaped_text_is_the_same_to_a_program() {
        let said = "\u{9b}2J\u{202e}\u{7f} ö";
        let json = serde_json::to_string_pretty(&[said]).unwrap();
        assert!(json.contains('\u{9b}'));
        let escaped = escaped(&json);
        assert!(escaped.chars().all(|c| is_plain(c) || c == '\n'), "{escaped:?}");
        assert_eq!(serde_json::from_str::<[String; 1]>(&escaped).unwrap(), [said]);
    }

    #[test]
    fn numbers_have_thousands_separators() {
        let all = [0, 14, 999, 1_000, 10_000, 1_234_567].map(grouped);
        assert_eq!(all, ["0", "14", "999", "1,000", "10,000", "1,234,567"]);
    }
}
