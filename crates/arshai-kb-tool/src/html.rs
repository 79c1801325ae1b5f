//! HTML as text: markup, scripts and styles removed, headings kept as Markdown writes them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arshai_core::{Error, Result};
use html2text::{config, render::TextDecorator};

/// Wide enough that a paragraph is rarely broken; where it is, chunking reads the break as a space.
const WIDTH: usize = 4_000;

/// The parser's time grows with the square of the depth; no page that people read comes near this.
const MAX_DEPTH: usize = 1_000;

/// Elements that have no end, or whose end is usually left out.
const ENDLESS: [&str; 31] = [
    "area", "base", "body", "br", "col", "colgroup", "dd", "dt", "embed", "head", "hr", "html", "img",
    "input", "li", "link", "meta", "optgroup", "option", "p", "param", "rp", "rt", "source", "tbody", "td",
    "tfoot", "th", "thead", "tr", "wbr",
];

/// The readable text of an HTML document.
///
/// # Errors
///
/// [`arshai_core::ErrorKind::InvalidInput`] when the document cannot be rendered.
pub(crate) fn to_text(html: &str) -> Result<String> {
    if deepest(html) > MAX_DEPTH {
        return Err(Error::invalid("the HTML is nested too deeply; simplify it")
            .with_context("levels_allowed", MAX_DEPTH));
    }
    let html = without_rules(html);
    // A parser of hostile input; a defect in it must cost one document, not the run.
    let rendered = catch_unwind(AssertUnwindSafe(|| {
        config::with_decorator(Plain)
            .raw_mode(true)
            .no_table_borders()
            .allow_width_overflow()
            .link_footnotes(false)
            .string_from_read(html.as_bytes(), WIDTH)
    }));
    match rendered {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) => Err(Error::invalid("the HTML cannot be turned into text").with_source(error)),
        Err(_panic) => {
            Err(Error::invalid("the HTML cannot be turned into text: its structure is not supported"))
        }
    }
}

/// `<hr>` is drawn as wide as the page; a page of nothing else would grow a thousandfold.
fn without_rules(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        let (before, tag) = rest.split_at(at);
        out.push_str(before);
        let is_rule = tag.get(1..3).is_some_and(|name| name.eq_ignore_ascii_case("hr"))
            && tag.get(3..4).is_none_or(|next| !next.starts_with(|c: char| c.is_ascii_alphanumeric()));
        let (replacement, skip) = if is_rule { ("<br", 3) } else { ("<", 1) };
        out.push_str(replacement);
        rest = tag.get(skip..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// How deep elements are nested, roughly: start tags are counted up and end tags down. What stands in scripts, styles
/// and comments is no tag.
fn deepest(html: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    let mut rest = html;
    while let Some((_, tag)) = rest.split_once('<') {
        rest = tag;
        if let Some(comment) = tag.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
            continue;
        }
        let (is_end, tag) = tag.strip_prefix('/').map_or((false, tag), |tag| (true, tag));
        let end = tag.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(tag.len());
        let name = tag.get(..end.min(LONGEST_NAME)).unwrap_or_default().to_ascii_lowercase();
        if !name.starts_with(|c: char| c.is_ascii_alphabetic()) || ENDLESS.contains(&name.as_str()) {
            continue;
        }
        if is_end {
            depth = depth.saturating_sub(1);
        } else if let Some(end) = RAW.iter().find_map(|(raw, end)| (*raw == name).then_some(end)) {
            rest = after_end_tag(tag, end);
        } else {
            depth = depth.saturating_add(1);
            deepest = deepest.max(depth);
        }
    }
    deepest
}

const LONGEST_NAME: usize = 16;

/// Elements in which nothing is a tag but their own end.
const RAW: [(&str, &str); 4] =
    [("script", "/script"), ("style", "/style"), ("textarea", "/textarea"), ("title", "/title")];

fn after_end_tag<'a>(html: &'a str, end: &str) -> &'a str {
    let mut rest = html;
    while let Some((_, tag)) = rest.split_once('<') {
        if tag.get(..end.len()).is_some_and(|start| start.eq_ignore_ascii_case(end)) {
            return tag;
        }
        rest = tag;
    }
    ""
}

/// Words without decoration, except what carries structure.
#[derive(Debug, Clone)]
struct Plain;

impl TextDecorator for Plain {
    type Annotation = ();

    fn decorate_link_start(&mut self, _url: &str) -> (String, ()) {
        Default::default()
    }

    fn decorate_link_end(&mut self) -> String {
        String::new()
    }

    fn decorate_em_start(&self) -> (String, ()) {
        Default::default()
    }

    fn decorate_em_end(&self) -> String {
        String::new()
    }

    fn decorate_strong_start(&self) -> (String, ()) {
        Default::default()
    }

    fn decorate_strong_end(&self) -> String {
        String::new()
    }

    fn decorate_strikeout_start(&self) -> (String, ()) {
        Default::default()
    }

    fn decorate_strikeout_end(&self) -> String {
        String::new()
    }

    fn decorate_code_start(&self) -> (String, ()) {
        Default::default()
    }

    fn decorate_code_end(&self) -> String {
        String::new()
    }

    fn decorate_preformat_first(&self) {}

    fn decorate_preformat_cont(&self) {}

    fn decorate_image(&mut self, _src: &str, title: &str) -> (String, ()) {
        (title.to_owned(), ())
    }

    fn header_prefix(&self, level: usize) -> String {
        format!("{} ", "#".repeat(level.clamp(1, 6)))
    }

    fn quote_prefix(&self) -> String {
        String::new()
    }

    fn unordered_item_prefix(&self) -> String {
        "- ".to_owned()
    }

    fn ordered_item_prefix(&self, number: i64) -> String {
        format!("{number}. ")
    }

    fn make_subblock_decorator(&self) -> Self {
        Self
    }

    fn decorate_superscript_start(&self) -> (String, ()) {
        Default::default()
    }

    fn decorate_superscript_end(&self) -> String {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_scripts_and_styles_are_gone_and_words_stay() {
        let html = "<html><head><title>T</title><style>p { color: red }</style>\
            <script>alert('x')</script></head><body><h2>Brewing &amp; tea</h2>\
            <p>Green <b>tea</b> is <a href=\"https://example.org/x\">steeped</a>.</p>\
            <ul><li>one</li><li>two</li></ul><hr><noscript>n</noscript></body></html>";
        let text = to_text(html).unwrap();
        assert!(text.contains("## Brewing & tea"), "{text}");
        assert!(text.contains("Green tea is steeped."), "{text}");
        assert!(text.contains("- one"), "{text}");
        for noise in ["alert", "color", "example.org", "<", "─"] {
            assert!(!text.contains(noise), "{noise} in {text}");
        }
    }

    #[test]
    fn a_long_paragraph_is_not_wrapped() {
        let words = "word ".repeat(300);
        let text = to_text(&format!("<p>{words}</p>")).unwrap();
        assert_eq!(text.trim().lines().count(), 1);
    }

    #[test]
    fn a_page_of_rules_stays_small() {
        let text = to_text(&"<HR/>".repeat(2_000)).unwrap();
        assert!(text.len() < 20_000, "{}", text.len());
    }

    #[test]
    fn depth_that_would_take_for_ever_is_refused_and_scripts_and_open_paragraphs_are_no_depth() {
        let deep = to_text(&"<div><b>".repeat(100_000)).unwrap_err();
        assert!(deep.to_string().contains("nested too deeply"), "{deep}");
        let (script, comment) = ("for(;i<n;)".repeat(2_000), "<b>".repeat(2_000));
        let page = format!("<SCRIPT>{script}</Script ><!-- {comment} --><p>words");
        assert_eq!(to_text(&page).unwrap().trim(), "words");
        assert!(to_text(&"<p>words<br><li>item".repeat(2_000)).unwrap().contains("words"));
    }

    #[test]
    fn deep_nesting_and_broken_markup_do_not_panic() {
        for html in [format!("{}x", "<div>".repeat(900)), "<table><tr><td><p".to_owned(), "\u{0}<".to_owned()]
        {
            let _ = to_text(&html);
        }
    }
}
