//! Agreement with the full-precision model, by `reference.py`.

use arshai_core::embed::{Embedder as _, Input};
use arshai_local::{MiniLmConfig, TooLong};
use serde_json::Value;

use crate::{cosine, open, tokenizer::Tokenizer, vectors, weights};

#[tokio::test]
async fn vectors_agree_with_the_full_precision_model() {
    let entries: Vec<Value> = serde_json::from_str(include_str!("reference.json")).unwrap();
    let texts: Vec<&str> = entries.iter().map(|entry| entry["text"].as_str().unwrap()).collect();
    let values: Vec<f32> = include_bytes!("reference.f32")
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
        .collect();
    let expected: Vec<&[f32]> = values.chunks_exact(384).collect();
    assert_eq!((texts.len(), expected.len()), (50, 50));

    let embedder = open(MiniLmConfig::default().with_too_long(TooLong::Truncate)).await;
    let found = vectors(&embedder, &texts).await;
    let scores: Vec<f32> =
        found.iter().zip(&expected).map(|(found, expected)| cosine(found, expected)).collect();
    let mean = scores.iter().sum::<f32>() / 50.0;
    let (worst, least) = texts.iter().zip(&scores).min_by(|(_, a), (_, b)| a.total_cmp(b)).unwrap();
    println!("cosine to full precision: mean {mean:.5}, least {least:.5} for {worst:?}");
    assert!(*least >= 0.98, "{least} for {worst:?}");
    assert!(mean >= 0.99, "{mean}");
}

#[tokio::test]
async fn token_ids_are_those_of_the_tokenizers_package() {
    let tokenizer = Tokenizer::read(&std::fs::read(weights().await.tokenizer()).unwrap()).unwrap();
    let (mut compared, mut unknown) = (0, 0);
    for entry in serde_json::from_str::<Vec<Value>>(include_str!("reference.json")).unwrap() {
        let text = entry["text"].as_str().unwrap();
        let expected: Vec<i32> = serde_json::from_value(entry["ids"].clone()).unwrap();
        let mut found = vec![tokenizer.begin];
        found.extend(tokenizer.ids(text));
        found.push(tokenizer.end);
        assert_eq!(found, expected, "{text:?}");
        compared += found.len();
        unknown += found.iter().filter(|id| **id == tokenizer.unknown()).count();
    }
    assert!(
        compared > 2_000 && unknown > 5,
        "{compared} ids, {unknown} unknown, are too few to prove anything"
    );
}

/// What is counted for the user is what the model is given.
#[tokio::test]
async fn the_tokens_of_a_batch_are_counted() {
    let entries: Vec<Value> = serde_json::from_str(include_str!("reference.json")).unwrap();
    let embedder = open(MiniLmConfig::default().with_max_tokens(512)).await;
    for entry in entries {
        let text = entry["text"].as_str().unwrap();
        let batch = embedder.embed(&[text], Input::Document).await.unwrap();
        assert_eq!(batch.tokens, Some(entry["ids"].as_array().unwrap().len() as u64), "{text:?}");
    }
}
