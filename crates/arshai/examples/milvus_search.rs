//! Fills a collection in Milvus and searches it, without async. `MILVUS_HOST` and `MILVUS_PORT` say where it is.
#![expect(clippy::print_stdout, reason = "an example for the terminal")]

use arshai::{
    Backends, Filter,
    blocking::{Blocking, Runtime, VectorStore as _},
    filter::Field,
    vector::{CollectionSpec, Query, Record, Search},
};

pub(crate) fn main() -> arshai::Result<()> {
    let runtime = Runtime::new()?;
    // Opened by name: the same lines fill and search `memory://` or `sqlite://PATH`.
    let store = runtime.block_on(Backends::built_in().stores.open("milvus"))??;
    let store = Blocking::new(store, runtime);

    let name = "example_milvus_search";
    store.drop_collection(name)?;
    store.open(&CollectionSpec::new(name).with_dense(3).without_text_search())?;
    let record = |source: &str, text: &str, dense: [f32; 3]| {
        let mut record = Record::new(text).with_id(source).with_dense(dense.to_vec());
        record.metadata.insert("source".to_owned(), source.into());
        record
    };
    let records = vec![
        record("moon.md", "The moon orbits the earth.", [0.9, 0.1, 0.0]),
        record("tea.md", "Green tea is steeped for two minutes.", [0.0, 0.9, 0.1]),
        record("bread.md", "Bread needs flour and water.", [0.1, 0.0, 0.9]),
    ];
    store.upsert(name, records)?.into_complete()?;

    // What was written is seen at once.
    let search = Search::new(Query::dense([1.0, 0.0, 0.0]))
        .filter(Filter::ne(Field::metadata("source"), "tea.md"))
        .limit(2);
    for hits in store.search(name, &search)? {
        for hit in hits {
            println!("{:.3} {} {}", hit.score, hit.id, hit.text);
        }
    }
    store.drop_collection(name)?;
    store.close()
}
