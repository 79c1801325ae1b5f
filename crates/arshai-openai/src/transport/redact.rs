//! What of a request must not be repeated, and texts without it.

use std::{collections::HashMap, sync::Arc};

use reqwest::Request;
use serde_json::Value;

use crate::config::Endpoint;

/// Characters of a server's message that are shown.
const MOST_SHOWN: usize = 300;
/// So many letters and digits in a row in common with the request are taken for a piece of the prompt.
const TELLTALE: usize = 12;
/// Read beyond what is shown, so that a piece at its end is known for what it is.
const MARGIN: usize = 10 * TELLTALE;
/// Fields whose texts are names and settings.
const SETTINGS: [&str; 6] = ["model", "role", "type", "encoding_format", "response_format", "tool_choice"];
/// Fields whose texts are content however short they are.
const CONTENT: [&str; 6] = ["content", "text", "input", "arguments", "prompt", "instructions"];

tokio::task_local! {
    static CURRENT: Arc<Sent>;
}

/// What was sent, as far as it must not come back in an error.
pub(crate) struct Sent {
    endpoint: Arc<Endpoint>,
    what: What,
}

enum What {
    /// Nothing of the caller's.
    Nothing,
    /// A request whose body holds it.
    Request(Box<Request>),
    /// Texts that the body does not show.
    Hidden(Vec<String>),
    /// Not known here: no message of the server can be shown.
    Unknown,
}

impl Sent {
    pub(super) fn new(endpoint: &Arc<Endpoint>, request: Option<Request>, hidden: Option<&[String]>) -> Self {
        let what = match (hidden, request) {
            (Some(hidden), _) => What::Hidden(hidden.to_owned()),
            (None, Some(request)) => What::Request(Box::new(request)),
            (None, None) => What::Unknown,
        };
        Self { endpoint: Arc::clone(endpoint), what }
    }

    pub(super) fn nothing(endpoint: &Arc<Endpoint>) -> Self {
        Self { endpoint: Arc::clone(endpoint), what: What::Nothing }
    }

    /// What the reply that is being read in this task answers.
    pub(super) fn current(endpoint: &Arc<Endpoint>) -> Arc<Self> {
        CURRENT
            .try_with(Arc::clone)
            .unwrap_or_else(|_| Arc::new(Self { endpoint: Arc::clone(endpoint), what: What::Unknown }))
    }

    /// Makes it what the reply that is read in `reading` answers.
    pub(super) async fn scope<F: Future>(self, reading: F) -> F::Output {
        CURRENT.scope(Arc::new(self), reading).await
    }

    /// These texts of a server, without the secrets and without what they repeat of the request.
    pub(super) fn clean<const N: usize>(&self, texts: [&mut String; N]) {
        let mut said = Said::default();
        match &self.what {
            What::Nothing => {}
            What::Request(request) => said.read(request),
            What::Hidden(texts) => texts.iter().for_each(|text| said.add(text, true)),
            What::Unknown => {
                for text in texts {
                    if !is_a_name(text) {
                        "(not shown)".clone_into(text);
                    }
                    *text = plain(&self.endpoint.redacted(text));
                }
                return;
            }
        }
        for text in texts {
            *text = said.left_out_of(&self.endpoint.redacted(text));
        }
    }
}

/// Whether it is a code rather than words.
fn is_a_name(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

/// The beginning of a text in one line without control characters.
pub(super) fn plain(text: &str) -> String {
    cut(text.chars().map(tame), text.chars().nth(MOST_SHOWN).is_some())
}

fn cut(characters: impl Iterator<Item = char>, is_longer: bool) -> String {
    let mut out: String = characters.take(MOST_SHOWN).collect();
    if is_longer {
        out.push('…');
    }
    out
}

fn tame(character: char) -> char {
    if character.is_control() { ' ' } else { character }
}

/// The texts of a request.
#[derive(Default)]
struct Said {
    texts: Vec<String>,
    /// Texts too short to be told by a piece of them.
    short: Vec<Vec<char>>,
}

impl Said {
    fn read(&mut self, request: &Request) {
        let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
        match serde_json::from_slice(body) {
            Ok(value) => self.gather(&value, "", false),
            Err(_) => self.add(&String::from_utf8_lossy(body), false),
        }
    }

    fn gather(&mut self, value: &Value, name: &str, is_content: bool) {
        match value {
            Value::String(_) if SETTINGS.contains(&name) => {}
            Value::String(text) => self.add(text, is_content),
            Value::Array(items) => items.iter().for_each(|item| self.gather(item, name, is_content)),
            Value::Object(fields) => {
                for (name, field) in fields {
                    self.gather(field, name, is_content || CONTENT.contains(&name.as_str()));
                }
            }
            _ => {}
        }
    }

    fn add(&mut self, text: &str, is_content: bool) {
        if letters(text.chars()).nth(TELLTALE - 1).is_some() {
            let escaped = [escaped(text, false), escaped(text, true)];
            self.texts.extend(escaped.into_iter().filter(|escaped| escaped != text));
            self.texts.push(text.to_owned());
        } else if is_content && !text.trim().is_empty() {
            self.short.push(text.trim().chars().map(tame).map(lower).collect());
        }
    }

    /// A server's message without what it repeats.
    fn left_out_of(&self, message: &str) -> String {
        let message = message.trim();
        let characters: Vec<char> = message.chars().map(tame).take(MOST_SHOWN + MARGIN).collect();
        let mut repeated = vec![false; characters.len()];
        self.mark_pieces(&characters, &mut repeated);
        let lowered: Vec<char> = characters.iter().copied().map(lower).collect();
        for short in &self.short {
            mark_words(short, &lowered, &mut repeated);
        }
        let mut out = Vec::with_capacity(characters.len());
        let mut inside = false;
        for (character, repeated) in characters.into_iter().zip(repeated) {
            match (repeated, inside) {
                (false, _) => out.push(character),
                (true, false) => out.extend("[…]".chars()),
                (true, true) => {}
            }
            inside = repeated;
        }
        let is_longer = out.len() > MOST_SHOWN || message.chars().nth(MOST_SHOWN + MARGIN).is_some();
        cut(out.into_iter(), is_longer)
    }

    /// Marks what has enough letters in a row in common with a text, whatever stands between them.
    fn mark_pieces(&self, message: &[char], repeated: &mut [bool]) {
        let places: Vec<usize> =
            message.iter().enumerate().filter(|(_, c)| c.is_alphanumeric()).map(|(place, _)| place).collect();
        let mut pieces: HashMap<u64, Vec<usize>> = HashMap::new();
        for (start, hash) in hashes(letters(message.iter().copied())).enumerate() {
            pieces.entry(hash).or_default().push(start);
        }
        if pieces.is_empty() {
            return;
        }
        let found = self.texts.iter().flat_map(|text| hashes(letters(text.chars())));
        for start in found.filter_map(|hash| pieces.get(&hash)).flatten() {
            let (from, to) = (places.get(*start), places.get(*start + TELLTALE - 1));
            if let (Some(from), Some(to)) = (from, to) {
                repeated.iter_mut().take(*to + 1).skip(*from).for_each(|mark| *mark = true);
            }
        }
    }
}

/// Marks a short text where it stands by itself.
fn mark_words(text: &[char], message: &[char], repeated: &mut [bool]) {
    let is_letter = |place: Option<usize>| {
        place.and_then(|place| message.get(place)).is_some_and(|c: &char| c.is_ascii_alphanumeric())
    };
    let (first, last) = (text.first(), text.last());
    let is_word = |end: Option<&char>| end.is_some_and(char::is_ascii_alphanumeric);
    for (at, window) in message.windows(text.len().max(1)).enumerate() {
        let is_within = (is_word(first) && is_letter(at.checked_sub(1)))
            || (is_word(last) && is_letter(Some(at + text.len())));
        if window == text && !is_within {
            repeated.iter_mut().skip(at).take(text.len()).for_each(|mark| *mark = true);
        }
    }
}

fn lower(character: char) -> char {
    character.to_lowercase().next().unwrap_or(character)
}

/// Letters and digits alone: quotes, breaks and spaces change on the way.
fn letters(text: impl Iterator<Item = char>) -> impl Iterator<Item = char> {
    text.filter(|character| character.is_alphanumeric()).map(lower)
}

/// A number for each run of as many letters as are telling.
fn hashes(letters: impl Iterator<Item = char>) -> impl Iterator<Item = u64> {
    const BASE: u64 = 0x0000_0100_0000_01b3;
    let leaving = (0..TELLTALE).fold(1_u64, |power, _| power.wrapping_mul(BASE));
    let mut ring = [0_u64; TELLTALE];
    let (mut hash, mut count) = (0_u64, 0_usize);
    letters.filter_map(move |letter| {
        let letter = u64::from(u32::from(letter)) + 1;
        let place = ring.get_mut(count % TELLTALE)?;
        hash = hash.wrapping_mul(BASE).wrapping_add(letter).wrapping_sub(place.wrapping_mul(leaving));
        *place = letter;
        count += 1;
        (count >= TELLTALE).then_some(hash)
    })
}

/// As it stands within JSON, with or without letters beyond ASCII.
fn escaped(text: &str, is_ascii: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if is_ascii && !character.is_ascii() => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            _ => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(message: &str, sent: &Value) -> String {
        let mut said = Said::default();
        said.gather(sent, "", false);
        said.left_out_of(message)
    }

    #[test]
    fn what_a_server_repeats_of_the_prompt_is_left_out() {
        let sent = json!({ "input": ["my diagnosis is confidential"] });
        let echo = "Invalid input 'my diagnosis is confidential', try again";
        assert_eq!(shown(echo, &sent), "Invalid input '[…]', try again");
        let field = "encoding_format is not known";
        assert_eq!(shown(field, &json!({ "encoding_format": "base64" })), field);
        assert_eq!(shown("maximum is 512 tokens\n\u{1b}[31m", &sent), "maximum is 512 tokens  [31m");
    }

    #[test]
    fn a_prompt_is_known_again_with_other_breaks_quotes_and_letters() {
        let sent = json!({ "messages": [{ "role": "user", "content": "my\n\"rare\"\tillness, é" }] });
        for echo in [
            "no: my \"rare\" illness, é!",
            r#"no: my\n\"rare\"\tillness, é!"#,
            r#"no: my\n\"rare\"\tillness, \u00e9!"#,
            "no: MY 'RARE'\r\n  ILLNESS, É!",
        ] {
            let shown = shown(echo, &sent).to_lowercase();
            assert!(
                !shown.contains("rare") && !shown.contains("ill") && shown.starts_with("no: "),
                "{shown}"
            );
        }
    }

    #[test]
    fn a_short_prompt_is_left_out_where_it_stands_by_itself() {
        for (prompt, message, left) in [
            ("AIDS", "cannot answer 'aids' here", "cannot answer '[…]' here"),
            ("pin\n1234", "no pin 1234", "no […]"),
            ("a", "a banana", "[…] banana"),
            ("病", "输入病无效", "输入[…]无效"),
            ("🤒", "no 🤒", "no […]"),
        ] {
            assert_eq!(shown(message, &json!({ "input": [prompt] })), left);
            assert_eq!(shown(message, &json!({ "messages": [{ "content": [{ "text": prompt }] }] })), left);
        }
        assert_eq!(shown("the user said", &json!({ "messages": [{ "role": "user" }] })), "the user said");
    }

    #[test]
    fn short_texts_that_the_body_does_not_show_are_left_out_each_by_itself() {
        let config = crate::OpenAiConfig::new("http://127.0.0.1:1/v1");
        let endpoint = Arc::new(Endpoint::new(&config).unwrap());
        let hidden = ["we met in the old town".to_owned(), "Kowalski".to_owned(), "AB 12".to_owned()];
        let mut message = "no model knows Kowalski (AB 12) in the old town".to_owned();
        Sent::new(&endpoint, None, Some(&hidden)).clean([&mut message]);
        assert_eq!(message, "no model knows […] ([…]) […]");
    }

    #[test]
    fn a_models_name_is_no_content_and_hides_none() {
        let sent = json!({ "model": "a", "input": ["my diagnosis is confidential"] });
        assert_eq!(shown("my diagnosis is confidential", &sent), "[…]");
        let sent = json!({ "model": "text-embedding-3-small", "input": ["x"] });
        assert_eq!(shown("no text-embedding-3-small", &sent), "no text-embedding-3-small");
    }

    #[test]
    fn a_prompt_at_the_end_of_what_is_shown_is_left_out() {
        let sent = json!({ "input": "my diagnosis is confidential" });
        for filler in MOST_SHOWN - 30..MOST_SHOWN {
            let message = format!("{} my diagnosis is confidential", "-".repeat(filler));
            let shown = shown(&message, &sent);
            assert!(!shown.contains("my"), "{filler}: {shown}");
        }
    }
}
