//! SSML (<https://www.w3.org/TR/speech-synthesis11/>) around a text.

/// A document in which the text is text, whatever it holds.
pub(super) fn document(text: &str, voice: &str, language: &str, speed: Option<f32>) -> String {
    let (text, voice, language) = (escaped(text), escaped(voice), escaped(language));
    let text = match speed {
        Some(speed) => {
            let percent = (speed - 1.0) * 100.0;
            format!("<prosody rate=\"{percent:+.0}%\">{text}</prosody>")
        }
        None => text,
    };
    format!(
        "<speak version=\"1.0\" xmlns=\"http://www.w3.org/2001/10/synthesis\" xml:lang=\"{language}\">\
         <voice name=\"{voice}\">{text}</voice></speak>"
    )
}

/// Without the characters that XML gives a meaning, and those that it forbids.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\t' | '\n' | '\r' => out.push(c),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push(' '),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_leave_its_element() {
        let hostile = "</voice><voice name='x'>1 & 2 \u{0}\u{b}]]>";
        let document = document(hostile, "a\"/><b", "en-US", None);
        assert_eq!(document.matches('<').count(), 4, "{document}");
        assert!(
            document.contains("&lt;/voice&gt;&lt;voice name=&apos;x&apos;&gt;1 &amp; 2   ]]&gt;"),
            "{document}"
        );
        assert!(document.contains("name=\"a&quot;/&gt;&lt;b\""), "{document}");
        assert!(!document.chars().any(char::is_control));
    }

    #[test]
    fn speed_is_told_in_per_cent() {
        for (speed, rate) in [(1.25, "+25%"), (0.5, "-50%"), (1.0, "+0%")] {
            assert!(
                document("x", "v", "en-US", Some(speed)).contains(&format!("rate=\"{rate}\"")),
                "{speed}"
            );
        }
    }
}
