//! What a user of the vectors relies on.

use std::sync::Arc;

use arshai_core::{
    ErrorKind,
    embed::{Embedder as _, Input},
};
use arshai_local::{MiniLmConfig, MiniLmEmbedder, TooLong, Weights};

use crate::{cosine, embedder, open, vectors, weights};

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_conformance() {
    let report = arshai_conformance::embedder::suite(Arc::new(embedder().await), Some(" ")).await;
    println!("{report}");
    report.assert_passed();
}

#[tokio::test]
async fn the_id_is_the_model_and_the_hash_of_its_weights() {
    let embedder = embedder().await;
    assert_eq!(embedder.id(), "all-MiniLM-L6-v2-int8-8199be6f699a");
    assert_eq!(embedder.dimension(), Some(384));
}

#[tokio::test]
async fn near_in_meaning_is_near_in_space() {
    let texts = [
        "A kitten sleeps on the warm windowsill.",
        "The cat is having a nap in the sun.",
        "Quarterly earnings fell short of what analysts had expected.",
    ];
    let [kitten, cat, earnings] = vectors(&embedder().await, &texts).await.try_into().unwrap();
    assert!(cosine(&kitten, &cat) > cosine(&cat, &earnings) + 0.3);
    for vector in [&kitten, &cat, &earnings] {
        let length: f32 = vector.iter().map(|value| value * value).sum();
        assert!((length - 1.0).abs() < 1e-4, "{length}");
    }
}

#[tokio::test]
async fn one_by_one_and_all_at_once_give_the_same_vectors_in_order() {
    let embedder = embedder().await;
    let texts: Vec<String> =
        (0..150).map(|n| format!("item {n} {}", "of the long list ".repeat(n * 7 % 40))).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let together = vectors(&embedder, &texts).await;
    assert_eq!(together, vectors(&embedder, &texts).await, "twice the same batch");
    for (text, vector) in texts.iter().zip(&together).step_by(7) {
        let alone = vectors(&embedder, &[text]).await.remove(0);
        assert!(cosine(&alone, vector) > 0.9999, "{text}");
    }
}

#[tokio::test]
async fn bad_texts_fail_alone_and_say_why() {
    let embedder = open(MiniLmConfig::default().with_max_text_bytes(100)).await;
    let large = "word ".repeat(30);
    let batch = embedder.embed(&["one", "", "\u{feff} \0", &large, "two"], Input::Document).await.unwrap();
    let outcomes: Vec<bool> = batch.rows().map(|row| row.is_ok()).collect();
    assert_eq!(outcomes, [true, false, false, false, true]);
    for position in 1..4 {
        assert_eq!(batch.row(position).unwrap().unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert!(batch.row(3).unwrap().unwrap_err().to_string().contains("allowed: 100"));
    assert_eq!(batch.tokens, Some(6));
}

#[tokio::test]
async fn a_long_text_is_split_cut_or_refused() {
    let (cats, ships) = ("the cat purrs on the sofa ".repeat(40), "a ship sails over the ocean ".repeat(40));
    let both = format!("{cats}{ships}");
    let with = |too_long| open(MiniLmConfig::default().with_too_long(too_long));

    let [cat, ship, split] =
        vectors(&with(TooLong::SplitAndMean).await, &[&cats, &ships, &both]).await.try_into().unwrap();
    assert!(cosine(&split, &cat) > 0.6 && cosine(&split, &ship) > 0.6, "both halves count");

    let [cat, cut] = vectors(&with(TooLong::Truncate).await, &[&cats, &both]).await.try_into().unwrap();
    assert!(cosine(&cut, &cat) > 0.999, "only the beginning counts");

    let refusing = with(TooLong::Error).await;
    let batch = refusing.embed(&["short", &both], Input::Document).await.unwrap();
    assert!(batch.row(0).unwrap().is_ok());
    assert_eq!(batch.row(1).unwrap().unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn files_that_are_no_model_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let good = weights().await;
    std::fs::copy(good.tokenizer(), folder.path().join("tokenizer.json")).unwrap();
    assert_eq!(Weights::in_folder(folder.path()), None);
    let model = std::fs::read(good.model()).unwrap();
    for broken in [&b""[..], b"not a model", &model[..model.len() / 2]] {
        std::fs::write(folder.path().join("model.onnx"), broken).unwrap();
        let weights = Weights::in_folder(folder.path()).unwrap();
        let error = MiniLmEmbedder::open(weights, MiniLmConfig::default()).await.unwrap_err();
        assert_eq!((error.kind(), error.operation()), (ErrorKind::Corrupt, Some("minilm.open")), "{error}");
    }
}
