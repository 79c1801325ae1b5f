use proptest::prelude::*;
use unicode_segmentation::UnicodeSegmentation as _;

use super::*;

fn texts<'a>(text: &'a str, format: Format, settings: &ChunkSettings) -> Vec<&'a str> {
    chunk(text, format, settings).iter().map(|chunk| chunk.text(text)).collect()
}

fn headings(text: &str, format: Format) -> Vec<String> {
    let settings = ChunkSettings::new(30, 0);
    let chunks = chunk(text, format, &settings).into_iter();
    let mut paths: Vec<String> = chunks.map(|c| c.heading.map_or(String::new(), |h| h.to_string())).collect();
    paths.dedup();
    paths
}

#[test]
fn white_space_alone_gives_no_chunk() {
    for format in [Format::Text, Format::Markdown, Format::Rst, Format::Html] {
        assert_eq!(chunk(" \n\t\r\n ", format, &ChunkSettings::default()), []);
    }
}

#[test]
fn markdown_headings_nest_and_end() {
    let text = "intro words that are long\n\n# A\n\nunder a, some words\n\n## B ##\n\nunder b, some words\n\nD\n==\n\nunder d, some words";
    assert_eq!(headings(text, Format::Markdown), ["", "A", "A > B", "D"]);
}

#[test]
fn a_heading_in_code_is_code() {
    let text = "# Real\n\n```sh\n# not a heading\n```\n\nafter";
    assert_eq!(headings(text, Format::Markdown).last().map(String::as_str), Some("Real"));
}

#[test]
fn front_matter_is_no_heading() {
    let text = "---\ntitle: x\n---\n\nbody words";
    assert_eq!(chunk(text, Format::Markdown, &ChunkSettings::default())[0].heading, None);
}

#[test]
fn rst_levels_follow_the_order_of_styles() {
    let text = "=====\nTitle\n=====\n\nunder the title, words\n\nPart\n----\n\nunder the part, words\n\nOther\n-----\n\nunder other, words";
    assert_eq!(headings(text, Format::Rst), ["Title", "Title > Part", "Title > Other"]);
}

#[test]
fn a_heading_stays_with_its_section() {
    let text = format!("{}\n\n# Next\n\n{}", "a ".repeat(10), "b ".repeat(12));
    let chunks = texts(&text, Format::Markdown, &ChunkSettings::new(40, 0));
    assert!(chunks.iter().any(|chunk| chunk.starts_with("# Next\n\nb")), "{chunks:?}");
}

#[test]
fn a_long_paragraph_below_a_heading_does_not_leave_it_alone() {
    let text = format!("# Head\n\n{}", "Some words here. ".repeat(6));
    let chunks = texts(&text, Format::Markdown, &ChunkSettings::new(100, 0));
    assert!(chunks[0].starts_with("# Head\n\nSome words"), "{chunks:?}");
}

#[test]
fn long_prose_is_cut_at_sentences_not_at_line_breaks() {
    let text = "The first sentence goes\non here. The second one is\nhere too. And a third.";
    let chunks = texts(text, Format::Text, &ChunkSettings::new(39, 0));
    assert_eq!(chunks, ["The first sentence goes\non here.", "The second one is\nhere too.", "And a third."]);
}

#[test]
fn chunks_of_one_section_overlap_by_whole_sentences() {
    let text = (0..40).map(|n| format!("Sentence number {n} is here. ")).collect::<String>();
    let chunks = texts(&text, Format::Text, &ChunkSettings::new(200, 60));
    for pair in chunks.windows(2) {
        let [before, after] = pair else { continue };
        let shared = (1..=60).rev().filter_map(|n| after.get(..n)).find(|start| before.ends_with(start));
        assert!(
            shared.is_some_and(|shared| shared.starts_with("Sentence") && shared.ends_with('.')),
            "{pair:?}"
        );
    }
}

#[test]
fn a_family_emoji_is_not_split() {
    let family = "👨\u{200d}👩\u{200d}👧\u{200d}👦";
    let text = family.repeat(50);
    for piece in texts(&text, Format::Text, &ChunkSettings::new(20, 5)) {
        assert!(piece.starts_with('👨') && piece.ends_with('👦'), "{piece:?}");
    }
}

#[test]
fn sentences_beyond_the_window_are_cut_as_those_within() {
    let text = "A sentence of some words stands here. ".repeat(400);
    let chunks = texts(&text, Format::Text, &ChunkSettings::new(60, 0));
    assert_eq!(chunks.len(), 400);
    assert!(chunks.iter().all(|chunk| *chunk == "A sentence of some words stands here."));
}

#[test]
fn text_without_a_sentence_end_does_not_take_for_ever() {
    // Quadratic rules would need minutes for this.
    let text = format!("a.{}", ")".repeat(300_000));
    assert!(chunk(&text, Format::Text, &ChunkSettings::default()).len() > 200);
}

fn any_text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("\n".to_owned()),
        Just("\n\n".to_owned()),
        Just("# Heading\n".to_owned()),
        Just("Under\n-----\n".to_owned()),
        Just("```\ncode\n\nmore\n```\n".to_owned()),
        Just("- item\n- item\n".to_owned()),
        Just("| a | b |\r\n".to_owned()),
        "\\PC{0,40}",
        "[a-z]{1,12}[ .]{1,2}",
        Just("日本語の文章です。次の文。".to_owned()),
        Just("e\u{301}\u{302}".repeat(8)),
        Just("x".repeat(90)),
    ];
    proptest::collection::vec(part, 0..60).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn chunks_cover_the_text_within_the_maximum(
        text in any_text(),
        format in prop_oneof![Just(Format::Text), Just(Format::Markdown), Just(Format::Rst), Just(Format::Html)],
        max in 1_usize..80,
        overlap in 0_usize..60,
    ) {
        let settings = ChunkSettings::new(max, overlap);
        let chunks = chunk(&text, format, &settings);
        prop_assert_eq!(&chunks, &chunk(&text, format, &settings));
        let mut covered = 0;
        let mut last_start = None;
        for chunk in &chunks {
            let slice = text.get(chunk.range.clone()).expect("a chunk lies on character borders");
            prop_assert!(slice.chars().count() <= max, "{slice:?}");
            prop_assert_eq!(slice.trim(), slice);
            prop_assert!(!slice.is_empty());
            prop_assert!(last_start < Some(chunk.range.start));
            last_start = Some(chunk.range.start);
            if chunk.range.start > covered {
                prop_assert_eq!(text[covered..chunk.range.start].trim(), "");
            }
            prop_assert!(chunk.range.end > covered);
            covered = chunk.range.end;
        }
        prop_assert_eq!(text[covered..].trim(), "");
    }

    #[test]
    fn graphemes_shorter_than_a_chunk_stay_whole(words in proptest::collection::vec("(\\PC){1,12}|e\u{301}|🇩🇪|👩\u{200d}🚀", 1..60)) {
        let text = words.concat();
        let borders: Vec<usize> = text.grapheme_indices(true).map(|(at, _)| at).chain([text.len()]).collect();
        for chunk in chunk(&text, Format::Text, &ChunkSettings::new(40, 10)) {
            let inside = |at: &usize| {
                // White space is trimmed off, also when a mark sits on it.
                !borders.contains(at) && !text[..*at].ends_with(char::is_whitespace)
            };
            let longest = chunk.text(&text).graphemes(true).map(|g| g.chars().count()).max().unwrap_or(0);
            prop_assert!(longest > 19 || !inside(&chunk.range.start), "{:?}", chunk.text(&text));
        }
    }
}
