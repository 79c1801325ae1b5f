//! Embeds texts on an OpenAI-compatible server, without async. `OPENAI_BASE_URL` and `OPENAI_API_KEY` say which, and
//! `ARSHAI_EMBEDDER` the model, such as `openai:text-embedding-3-small`.
#![expect(clippy::print_stdout, reason = "an example for the terminal")]

use arshai::{
    Config,
    blocking::{Blocking, Embedder as _, Runtime},
    embed::Input,
    vector::Metric,
};

pub(crate) fn main() -> arshai::Result<()> {
    let runtime = Runtime::new()?;
    let config = Config::from_env()?;
    let Some(embedder) = runtime.block_on(config.embedder())?? else {
        println!("ARSHAI_EMBEDDER names nobody");
        return Ok(());
    };
    let embedder = Blocking::new(embedder, runtime);

    let question = embedder.embed_query("How long is tea steeped?")?;
    println!("{}: {} values", embedder.id(), question.len());
    let texts = ["Green tea is steeped for two minutes.", "The moon orbits the earth.", ""];
    let batch = embedder.embed(&texts, Input::Document)?;
    // One bad text fails alone.
    for (text, row) in texts.iter().zip(batch.rows()) {
        match row {
            Ok(vector) => println!("{:.3} {text}", Metric::Cosine.score(vector, &question)),
            Err(error) => println!("{text:?} has no vector: {error}"),
        }
    }
    embedder.close()
}
