//! A newcomer's way: an empty folder, `cargo new`, the crate by path with three features, the program of README.md; and the
//! same program with Milvus, Redis and an OpenAI-compatible server in place of the file.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use arshai::{
    memory::{MemoryKey, MemoryStoreExt as _},
    vector::VectorStore as _,
};

use crate::place::{fresh, memory_at, milvus, url};

const QUESTION: &str = "How long is a conversation kept?";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_s_package_runs_the_program_of_the_readme_and_then_the_same_on_servers() {
    let folder = tempfile::tempdir().unwrap();
    cargo(folder.path(), &["new", "--offline", "--vcs", "none", "--name", "newcomer", "newcomer"], &[]);
    let package = folder.path().join("newcomer");
    let readme = fs::read_to_string(workspace().join("README.md")).unwrap();
    let program = program_of(&readme);
    assert!((20..=40).contains(&program.lines().count()), "README.md promises some 25 lines");
    write_manifest(&package, &readme);
    fs::write(package.join("src/main.rs"), program).unwrap();
    fs::create_dir(package.join("src/bin")).unwrap();
    fs::write(package.join("src/bin/on_servers.rs"), on_servers(program)).unwrap();
    let pages = copy_guide(&package.join("docs"));

    let printed = cargo(&package, &["run", "--quiet", "--offline", "--bin", "newcomer"], &[]);
    println!("{printed}");
    assert!(printed.starts_with(&format!("{pages} documents in ")), "{printed}");
    assert!(printed.contains("[1] docs/"), "an answer with a citation: {printed}");
    assert!(package.join("quickstart.db").is_file());

    let collection = fresh("newcomer");
    let (store, memory, embeddings) = (url("milvus"), url("redis"), url("embeddings"));
    let variables = [
        ("ARSHAI_STORE", store.as_str()),
        ("ARSHAI_MEMORY", &memory),
        ("ARSHAI_EMBEDDER", "openai:all-MiniLM-L6-v2"),
        ("OPENAI_BASE_URL", &embeddings),
        ("ARSHAI_COLLECTION", &collection),
    ];
    let printed = cargo(&package, &["run", "--quiet", "--offline", "--bin", "on_servers"], &variables);
    println!("{printed}");
    assert!(printed.starts_with(&format!("{pages} documents in ")), "{printed}");
    assert!(printed.contains("[1] docs/"), "an answer with a citation: {printed}");
    assert!(milvus("milvus").drop_collection(&collection).await.unwrap(), "it was in Milvus");
    let key = MemoryKey::new(&collection).unwrap();
    let memory = memory_at(&memory).await;
    let kept = memory.retrieve(&key).await.unwrap().unwrap();
    assert!(kept.text.contains(QUESTION), "it was in Redis: {}", kept.text);
    memory.delete(&key).await.unwrap();
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// The one program in README.md.
fn program_of(readme: &str) -> &str {
    let [program] = readme.split("```rust\n").skip(1).collect::<Vec<_>>().try_into().unwrap();
    program.split("```").next().unwrap()
}

/// The same program with other backends: no line changes but those that name them.
fn on_servers(program: &str) -> String {
    let exchanges = [
        (
            "    let file = SqliteFile::open(SqliteConfig::new(\"quickstart.db\")).await?;\n",
            "    let config = arshai::Config::from_env()?;\n",
        ),
        ("KnowledgeBase::new(Arc::new(file.vectors()), \"docs\")", "config.knowledge_base().await?"),
        ("Arc::new(file.memory())", "config.memory().await?"),
        ("kept?\")).await?", "kept?\").conversation(config.collection())).await?"),
        ("    file.close().await\n", "    Ok(())\n"),
    ];
    let mut changed = program.to_owned();
    for (ours, other) in exchanges {
        assert_eq!(changed.matches(ours).count(), 1, "{ours} in the program of README.md");
        changed = changed.replacen(ours, other, 1);
    }
    changed
}

/// What README.md says to write, with the path in place of the version, and our versions and profile.
fn write_manifest(package: &Path, readme: &str) {
    let path = workspace().join("crates").join("arshai").display().to_string();
    let told = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let ours = format!("arshai = {{ path = {path:?}, features = [\"redis\", \"milvus\", \"openai\"] }}\n");
    let told = told.replacen("arshai = \"0.1\"\n", &ours, 1);
    assert!(told.contains(&path), "{told}");
    let file = package.join("Cargo.toml");
    let new = fs::read_to_string(&file).unwrap();
    // A profile changes no result, and with ours much is compiled already.
    let manifest = fs::read_to_string(workspace().join("Cargo.toml")).unwrap();
    let from = manifest.find("[profile.dev]").unwrap();
    let profile = &manifest[from..manifest.find("[profile.release]").unwrap()];
    fs::write(&file, format!("{}\n{profile}", new.replacen("[dependencies]\n", &told, 1))).unwrap();
    fs::copy(workspace().join("Cargo.lock"), package.join("Cargo.lock")).unwrap();
}

/// Copies the guide, as the documents that are asked; how many.
fn copy_guide(to: &Path) -> usize {
    fs::create_dir(to).unwrap();
    let mut pages = 0;
    for page in fs::read_dir(workspace().join("docs")).unwrap() {
        let page = page.unwrap();
        if page.path().extension().is_some_and(|extension| extension == "md") {
            fs::copy(page.path(), to.join(page.file_name())).unwrap();
            pages += 1;
        }
    }
    pages
}

/// What a command of cargo prints, in a folder, with none of our variables but these.
fn cargo(folder: &Path, words: &[&str], variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if ["ARSHAI_", "CARGO_", "MILVUS_", "OPENAI_", "REDIS_"].iter().any(|ours| name.starts_with(ours))
            && name != "CARGO_HOME"
        {
            command.env_remove(name);
        }
    }
    // Where this test was built; what the package shares with the workspace is not compiled again.
    let program = std::env::current_exe().unwrap();
    command.env("CARGO_TARGET_DIR", program.ancestors().nth(3).unwrap());
    let output = command.current_dir(folder).args(words).envs(variables.iter().copied()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {words:?} in {}: {said}", folder.display());
    String::from_utf8(output.stdout).unwrap()
}
